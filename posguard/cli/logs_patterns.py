"""`posguard logs patterns`: what the log's lines are known by, and what patterns of one's own would hit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.logs_sources import Zone
from posguard.cli.options import AsJson
from posguard.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.logs.patterns import Pattern
    from posguard.logs.trying import Tried

Check = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="FILE", help="Try the patterns of this file instead of listing those in use."
    ),
]
Logs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]...", help="Logs in which --check looks for hits: files, folders or globs."
    ),
]


def patterns(
    paths: Logs = None,
    *,
    check: Check = None,
    zone: Zone = "",
    as_json: AsJson = False,
) -> None:
    """List the patterns in use; with --check, say what those of a file would hit, and use nothing.

    Exit code 0: the file can be used. 3: it cannot, and the line says which pattern and why.

    \b
    Examples:
      posguard logs patterns
      posguard logs patterns --check mine.toml
      posguard logs patterns --check mine.toml /var/log/bot/bot.log
    """
    from posguard.cli.logs_sources import chosen_patterns
    from posguard.errors import UsageError

    if check is None:
        if paths:
            raise UsageError(
                "A PATH goes with --check FILE. Nothing was read.", hint="posguard logs analyze reads logs."
            )
        _list(chosen_patterns(None), as_json=as_json)
        return
    tried = _try(check, paths or [], zone)
    _tell(tried, counted=bool(paths), as_json=as_json)
    if any(one.wrong for one in tried):
        raise typer.Exit(ExitCode.INCONCLUSIVE)


def _try(file: Path, paths: list[str], zone: str) -> list[Tried]:
    from posguard.cli import output
    from posguard.cli.logs_sources import refuse_blank, source_of
    from posguard.logs.extract import extract
    from posguard.logs.patterns import load_patterns, read_patterns
    from posguard.logs.trying import count_hits, try_examples

    together = load_patterns(file)
    tried = try_examples(read_patterns(file), together)
    if paths:
        refuse_blank(paths)
        # A hit does not depend on the zone.
        source = source_of("tried", paths, zone or "UTC")
        with output.progress("reading …"):
            count_hits(tried, extract(paths, source, patterns=together))
    return tried


def _list(known: Sequence[Pattern], *, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.logs_patterns_shapes import PatternList, PatternShape

    if as_json:
        output.emit(PatternList(patterns=tuple(PatternShape.of(one) for one in known)))
        return
    output.table(
        ("pattern", "kind", "category", "found by"),
        [
            (one.name, one.kind, one.category, (one.literal or one.level).decode("utf-8", "replace"))
            for one in known
        ],
    )


def _tell(tried: list[Tried], *, counted: bool, as_json: bool) -> None:
    from posguard.cli import output
    from posguard.cli.logs_patterns_shapes import PatternCheck, TriedShape

    if as_json:
        output.emit(
            PatternCheck(
                usable=not any(one.wrong for one in tried),
                patterns=tuple(TriedShape.of(one) for one in tried),
            )
        )
        return
    for one in tried:
        example = (
            f"WRONG: {one.wrong}" if one.wrong else "example hit" if one.pattern.example else "no example"
        )
        hits = f", {one.hits} hits" if counted else ""
        print(f"{one.pattern.name} ({one.pattern.kind}, {one.pattern.category}): {example}{hits}")
        for event in one.shown:
            print(f"    {event.path} at byte {event.offset}: {event.message}")
