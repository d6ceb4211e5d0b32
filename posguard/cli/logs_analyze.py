"""`posguard logs analyze`: the races of the bot's logs, and the numbers."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.logs_sources import Paths, PatternsFile, Zone
from posguard.cli.options import AsJson, OnDemo, OneExchange, OneSymbol
from posguard.errors import ExitCode, LogError, OperatorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from posguard.cli.logs_sources import Reading
    from posguard.logs.analysis import Analysis
    from posguard.logs.extract import Extraction
    from posguard.logs.patterns import Pattern
    from posguard.model.log_event import LogEvent
    from posguard.model.scope import Scope

Contexts = dict[int, tuple[list[str], list[str]]]
_CONTEXTS = 200  # errors whose neighbouring lines are read again
_PART = 8192


class Format(StrEnum):
    """How an analysis is written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


Since = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Events from this time on: 2025-10-22T21:00, UTC.")
]
UpTo = Annotated[str, typer.Option("--to", metavar="TIME", help="Events before this time.")]
Lines = Annotated[
    int | None, typer.Option("--lines", min=1, metavar="N", help="The last N lines of each source alone.")
]
Export = Annotated[
    Path | None,
    typer.Option("--export", metavar="FILE", help="Write it there; .json, .csv or .html chooses the format."),
]
AsFormat = Annotated[Format | None, typer.Option("--format", help="text by default.")]
Levels = Annotated[
    bool | None,
    typer.Option(
        "--levels/--no-levels",
        help="Count all lines, records and levels: several times as slow. By default with JSON and HTML alone.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Every race, the ten lines around each error, events by kind.")
]


def analyze(
    paths: Paths = None,
    *,
    since: Since = "",
    until: UpTo = "",
    lines: Lines = None,
    zone: Zone = "",
    symbol: OneSymbol = None,
    exchange: OneExchange = None,
    export: Export = None,
    as_format: AsFormat = None,
    levels: Levels = None,
    verbose: Verbose = False,
    patterns: PatternsFile = None,
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Find the races in the bot's logs: duplicate-key errors with what led to them, and double creates that left no error.

    Reads only. Exit code 0 where nothing was found, 1 with a race, 3 where a log cannot be read.

    \b
    Examples:
      posguard logs analyze
      posguard logs analyze /var/log/bot/bot.log* --tz Europe/Berlin --symbol APTUSDT
      posguard logs analyze --from 2025-10-22T21:00 --to 2025-10-23 --export races.html
    """
    from posguard.cli.logs_sources import chosen_patterns, readings
    from posguard.model.scope import Scope

    written = _format(as_format, export, as_json=as_json)
    scope = Scope(exchange or "", symbol or "")
    window = _moment("--from", since), _moment("--to", until)
    known = chosen_patterns(patterns)
    counted = written in {Format.JSON, Format.HTML} if levels is None else levels
    read = _extractions(readings(paths or [], zone, demo=demo), window, lines, known, levels=counted)
    found, contexts, damage = _analysed(read, scope, counted=counted)
    text = _written(found, contexts, damage, written)
    if export is not None:
        _save(export, text)
        print(f"Written to {export}.")
    elif text:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        from posguard.cli import logs_text

        logs_text.analysis(found, damage=damage, contexts=contexts, whole=verbose, symbol=scope.symbol)
    _refuse_unread(read, window)
    if found.races:
        raise typer.Exit(ExitCode.CRITICAL)


def _refuse_unread(read: Sequence[Extraction], window: tuple[datetime | None, datetime | None]) -> None:
    """A log in which nothing could be read proves nothing: no race was found is not what came out of it."""
    if window != (None, None):
        return
    for one in read:
        if one.counts.bytes and one.counts.first is None:
            raise LogError(
                f"No line of {', '.join(map(str, one.files))} begins as a log line of the bot does. Nothing is known of it.",
                hint="`YYYY-MM-DD HH:MM:SS,mmm - module - LEVEL - message` is wanted; docs/logs.md has the other format.",
            )


def _format(asked: Format | None, export: Path | None, *, as_json: bool) -> Format:
    suffix = export.suffix.lstrip(".").lower() if export else ""
    by_name = Format(suffix) if suffix in set(Format) else None
    wanted = asked or (Format.JSON if as_json else None) or by_name
    if as_json and asked not in {None, Format.JSON}:
        raise UsageError("--json and --format contradict each other. Nothing was read.")
    if export is not None and wanted in {None, Format.TEXT}:
        raise UsageError(
            f"--export needs a format for {export}. Nothing was read.",
            hint="Name the file .json, .csv or .html, or say --format.",
        )
    return wanted or Format.TEXT


def _moment(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {text} is no time. Nothing was read.",
            hint="Write 2025-10-22, 2025-10-22T21:00 (UTC) or 2025-10-22T22:00+01:00.",
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _extractions(
    read: Sequence[Reading],
    window: tuple[datetime | None, datetime | None],
    lines: int | None,
    patterns: Sequence[Pattern],
    *,
    levels: bool,
) -> list[Extraction]:
    from posguard.logs.extract import extract

    return [
        extract(
            one.paths,
            one.source,
            since=window[0],
            until=window[1],
            processes=os.cpu_count() or 1,
            patterns=patterns,
            last_lines=lines,
            lines=levels,
            levels=levels,
        )
        for one in read
    ]


def _analysed(
    read: Sequence[Extraction], scope: Scope, *, counted: bool
) -> tuple[Analysis, Contexts, list[str]]:
    from posguard.logs.analysis import Gathered

    gathered = Gathered()
    for one in read:
        for part in in_parts(one):
            gathered.take(part)
    counts = [one.counts for one in read]
    levels: Counter[str] = Counter()
    for count in counts:
        levels.update(count.levels)
    found = gathered.conclude(
        zones={one.source.name: one.source.zone for one in read},
        scope=scope,
        total_lines=sum(c.lines for c in counts) if counted else None,
        parsed_entries=sum(c.records for c in counts) if counted else None,
        levels=levels,
    )
    damage = [f"{d.path or 'the log'}: {d.what} ({d.count})" for c in counts for d in c.damage]
    return found, _contexts(found, gathered.kept, read), damage


def in_parts(read: Extraction) -> Iterator[Sequence[LogEvent]]:
    """The events of a log, some thousand at a time, with a progress bar on stderr."""
    from posguard.cli import output

    sizes = {path: _size(path) for path in read.files}
    total, before, current = sum(sizes.values()) >> 20, 0, ""
    events = iter(read)
    with output.bar(f"reading {read.source.name} (MB)", max(total, 1)) as say:
        while part := list(islice(events, _PART)):
            last = part[-1]
            if last.path != current:
                before, current = before + sizes.get(current, 0), last.path
            say(min((before + min(last.offset, sizes.get(current, 0))) >> 20, total), "")
            yield part


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _contexts(found: Analysis, kept: Sequence[LogEvent], read: Sequence[Extraction]) -> Contexts:
    """The ten lines before and after each error, as they stand."""
    reader = {one.source.name: one for one in read}
    wanted = {(r.source, r.errors[0]): n for n, r in enumerate(found.surfaced[:_CONTEXTS]) if r.errors}
    contexts: Contexts = {}
    for event in kept:
        number = wanted.get((event.source, event.offset))
        if number is None or event.at != found.surfaced[number].at:
            continue
        log = reader[event.source]
        around, own = log.context(event), len(log.context(event, 0, 0))
        before = len(log.context(event, after=0)) - own
        contexts[number] = around[:before], around[before + own :]
    return contexts


def _written(found: Analysis, contexts: Contexts, damage: Sequence[str], written: Format) -> str:
    """The analysis in its format; empty for text, which goes to the screen."""
    now = datetime.now(UTC)
    match written:
        case Format.JSON:
            from posguard.cli.logs_shapes import LogAnalysis

            shape = LogAnalysis.of(found, at=now, damage=damage, contexts=contexts)
            return shape.model_dump_json(indent=2)
        case Format.CSV:
            from posguard.cli.logs_text import as_csv

            return as_csv(found.races)
        case Format.HTML:
            from posguard.report.render import file_page, log_report

            return log_report(found.races, found.statistics, file_page(now), damage=damage)
        case _:
            return ""


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(
            f"{file} cannot be written: {error.strerror}. The analysis was not saved.",
            hint="Name another file.",
        ) from None
