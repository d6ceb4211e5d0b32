"""`posguard logs analyze`: the races of the bot's logs, and the numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from posguard.cli.logs_sources import Paths, PatternsFile, Zone
from posguard.cli.moments import log_moment
from posguard.cli.options import AsJson, OnDemo, OneExchange, OneSymbol
from posguard.errors import ExitCode, LogError, OperatorError, UsageError
from posguard.model.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.logs.analysis import Analysis, Stepwise
    from posguard.logs.correlate import PositionEvent
    from posguard.logs.extract import Extraction
    from posguard.model.log_event import LogEvent
    from posguard.model.scope import Scope

Contexts = dict[int, tuple[list[str], list[str]]]
_CONTEXTS = 200  # errors whose neighbouring lines are read again


class Format(StrEnum):
    """How an analysis is written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


Since = Annotated[
    str,
    typer.Option("--from", metavar="TIME", help="Events from this time on: 2025-10-22T21:00, UTC, or 24h."),
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

    Reads only. Exit code 0 where nothing was found, 1 with a race, 3 (which beats 1) where a log cannot be read, breaks off, holds
    nothing of that time, or does not say whether two creates were on one exchange.

    \b
    Examples:
      posguard logs analyze
      posguard logs analyze --from 24h
      posguard logs analyze /var/log/bot/bot.log* --tz Europe/Berlin --symbol APTUSDT
      posguard logs analyze --from 2025-10-22T21:00 --to 2025-10-23 --export races.html
    """
    from posguard.cli.logs_reading import extractions
    from posguard.cli.logs_sources import chosen_patterns, readings
    from posguard.model.scope import Scope

    written = _format(as_format, export, as_json=as_json)
    scope = Scope(exchange or "", symbol or "")
    begin, end = _window(since, until, datetime.now(UTC))
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--from {since} is not before --to {until}. Nothing was read.")
    known = chosen_patterns(patterns)
    counted = written in {Format.JSON, Format.HTML} if levels is None else levels
    wanted = readings(paths or [], zone, demo=demo)
    read = extractions(wanted, known, since=begin, until=end, last_lines=lines, levels=counted)
    told = written is Format.JSON or (written is Format.TEXT and bool(scope.symbol))
    found, contexts, damage = _analysed(read, scope, counted=counted, events=told)
    unknown = _inconclusive(read, found, begin, end)
    text = _written(found, contexts, damage, written, unknown)
    if export is not None:
        _save(export, text)
        print(f"Written to {export}.")
    elif text:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        from posguard.cli import logs_text

        logs_text.analysis(found, damage=damage, contexts=contexts, whole=verbose, symbol=scope.symbol)
    if unknown:
        races = (
            "The races above are not all that there may be"
            if found.races
            else "No race was found, which proves nothing"
        )
        raise LogError(f"{races}: {'; '.join(unknown)}.")
    if found.races:
        raise typer.Exit(ExitCode.CRITICAL)


def _inconclusive(
    read: Sequence[Extraction], found: Analysis, since: datetime | None, until: datetime | None
) -> list[str]:
    """Why the log does not say whether there are more races than were found."""
    from posguard.cli.logs_reading import left_unread, left_unwatched

    reasons = [*left_unread(read), *left_unwatched(read, since, until)]
    if pairs := len(found.undecided):
        reasons.append(
            f"{pairs} {'pair' if pairs == 1 else 'pairs'} of creates of one symbol near each other, and the log does not say whether on "
            "one exchange: --verbose lists them, `posguard logs investigate` asks the database"
        )
    return reasons


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


def _window(since: str, until: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The stretch that is asked for, UTC; a duration begins so long before its end, or before now."""
    end = _moment("--to", until) if until else None
    try:
        begin = (end or now) - parse_duration(since) if since else None
    except (ValueError, OverflowError):
        begin = _moment("--from", since)
    return begin, end


def _moment(option: str, text: str) -> datetime:
    try:
        return log_moment(text)
    except ValueError:
        raise UsageError(
            f"{option} {text} is no time. Nothing was read.",
            hint="Write 2025-10-22, 2025-10-22T21:00 (UTC) or 2025-10-22T22:00+01:00; where it begins also a duration, such as 24h.",
        ) from None


def _analysed(
    read: Sequence[Extraction], scope: Scope, *, counted: bool, events: bool
) -> tuple[Analysis, Contexts, list[str]]:
    from posguard.cli.logs_reading import damage_of, in_parts
    from posguard.logs.analysis import Gathered

    zones = {one.source.name: one.source.zone for one in read}
    told: list[tuple[PositionEvent, ...]] = []
    steps = _stepwise(read[0], zones, scope, told if events else None) if len(read) == 1 else None
    if steps is not None:
        found = steps.conclude(**_lines(read, counted=counted))
        found = replace(found, events=tuple(chain.from_iterable(told)))
        return found, _contexts(found, steps.kept, read), damage_of(read)
    # Several sources may tell of one race, and a log that goes back tells of one moment twice: all is held.
    gathered = Gathered()
    for one in read:
        for part in in_parts(one):
            gathered.take(part)
    found = gathered.conclude(zones=zones, scope=scope, **_lines(read, counted=counted))
    return found, _contexts(found, gathered.kept, read), damage_of(read)


def _stepwise(
    read: Extraction,
    zones: Mapping[str, str],
    scope: Scope,
    told: list[tuple[PositionEvent, ...]] | None,
) -> Stepwise | None:
    """One source, judged as it is read, its events kept in `told` where they are wanted; None where it goes back in time."""
    from posguard.cli.logs_reading import in_parts
    from posguard.logs.analysis import Stepwise

    steps = Stepwise(zones, scope, each=(lambda _: None) if told is None else told.append)
    for part in in_parts(read):
        steps.take(part)
        if steps.went_back:
            return None
    return steps


class _Lines(TypedDict):
    total_lines: int | None
    parsed_entries: int | None
    levels: Mapping[str, int]


def _lines(read: Sequence[Extraction], *, counted: bool) -> _Lines:
    counts = [one.counts for one in read]
    levels: Counter[str] = Counter()
    for count in counts:
        levels.update(count.levels)
    return {
        "total_lines": sum(c.lines for c in counts) if counted else None,
        "parsed_entries": sum(c.records for c in counts) if counted else None,
        "levels": levels,
    }


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


def _written(
    found: Analysis, contexts: Contexts, damage: Sequence[str], written: Format, unknown: Sequence[str]
) -> str:
    """The analysis in its format; empty for text, which goes to the screen."""
    now = datetime.now(UTC)
    match written:
        case Format.JSON:
            from posguard.cli.logs_shapes import LogAnalysis

            shape = LogAnalysis.of(found, at=now, damage=damage, contexts=contexts, unknown=unknown)
            return shape.model_dump_json(indent=2)
        case Format.CSV:
            from posguard.cli.logs_text import as_csv

            return as_csv(found.races)
        case Format.HTML:
            from posguard.report.render import file_page, log_report

            return log_report(found.races, found.statistics, file_page(now), damage=damage, unknown=unknown)
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
