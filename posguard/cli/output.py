"""What goes to the screen: results on stdout, everything else on stderr; tables by Rich on a terminal, plain text when piped."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import BaseModel

_SECRET_NAME = re.compile(r"DSN|KEY|SECRET|PASSWORD|TOKEN|VENUES|ROUTES|HEARTBEAT|_CONN_", re.IGNORECASE)
_WIDEST = 100
_SHORT = 24
_STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "unknown": "bright_black",
    "inconclusive": "bright_black",
    "conclusive": "green",
}


def one_line(text: str) -> str:
    """`text` with every run of white space turned into one blank."""
    return " ".join(text.split())


def clean(text: str) -> str:
    """`text` without control characters: what a database or a venue holds must not steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def without_secrets(text: str) -> str:
    """`text` without the values of the environment's secrets and without passwords in addresses."""
    from posguard.settings import redact

    for name, value in os.environ.items():
        if len(value) > 3 and name.startswith(("POSGUARD_", "AIRFLOW_")) and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return redact(text)


def emit(shape: BaseModel) -> None:
    """Prints a result as JSON: Decimals and times are strings, nothing else is on stdout."""
    print(shape.model_dump_json(indent=2))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Prints rows: a Rich table on a terminal; when piped, columns two blanks apart, whole and without colour."""
    if title:
        print(f"\n{title}")
    if not sys.stdout.isatty():
        _plain_table(columns, rows)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        short = max((len(row[number]) for row in rows), default=0) <= _SHORT
        shown.add_column(column, overflow="fold", no_wrap=short)
    for row in rows:
        shown.add_row(*(Text(clean(cell), style=_STYLES.get(cell, "")) for cell in row))
    Console().print(shown)


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = [tuple(columns), *(tuple(one_line(clean(cell)) or "-" for cell in row) for row in rows)]
    # A cell longer than most screens does not push the columns after it out of sight in every other row.
    widths = [max(len(row[i]) for row in cells if len(row[i]) <= _WIDEST) for i in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def warn(text: str) -> None:
    """One line on stderr."""
    print(f"posguard: {one_line(text)}", file=sys.stderr)


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr with what is being done; silent where stderr is no terminal. Yields the function that changes the text."""
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


@contextmanager
def bar(text: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr; silent where stderr is no terminal. Yields the function that takes how much is done, and news."""
    if not sys.stderr.isatty():
        yield lambda _done, _news: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(text, total=total, news="")
        yield lambda done, news: shown.update(task, completed=done, news=news)


def log_to_stderr(*, verbose: bool) -> None:
    """Sends all logging to stderr: errors alone, or with `verbose` everything from INFO."""
    import logging

    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")


def load_drivers() -> None:
    """Imports what speaks with exchanges and databases before the loop runs: seconds in which nothing could answer."""
    import posguard.exchange.gateway
    import posguard.postgres.pool  # noqa: F401


def structured_log_to_stderr() -> None:
    """Makes structlog (stamina's retries use it) write where logging writes; by itself it would print on stdout."""
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # the renderer's own tracebacks would show local variables, secrets among them
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLogger().level),
        # asked for anew at each line: who calls a command inside a program may have changed it since
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
