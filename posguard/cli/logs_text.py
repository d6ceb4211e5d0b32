"""`posguard logs analyze` on the screen, and its races as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from posguard.cli import output
from posguard.model.duration import spell_duration
from posguard.report.lanes import NAMES, spell_gap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from posguard.logs.analysis import Analysis
    from posguard.model.log_statistics import Statistics
    from posguard.model.race import Create, Race

SHOWN = 20
TIMELINE = 100
_CSV = (
    "timestamp",
    "host_time",
    "zone",
    "symbol",
    "exchange",
    "surfaced",
    "scenario",
    "confidence",
    "window_seconds",
    "concurrent",
    "row_ids",
    "reason",
)


def analysis(
    found: Analysis,
    *,
    damage: Sequence[str],
    contexts: Mapping[int, tuple[Sequence[str], Sequence[str]]],
    whole: bool,
    symbol: str = "",
) -> None:
    """Prints an analysis; `whole` adds the lines around each error, every race, and the events by kind. With a symbol, its time line
    is printed too.
    """
    numbers = found.statistics
    _head(numbers)
    for line in damage:
        output.warn(line)
    _errors(numbers, len(found.silent))
    for n, race in enumerate(found.surfaced[: None if whole else SHOWN]):
        _race(race, f"Error {n + 1} of {len(found.surfaced)}")
        if whole:
            _context(*contexts.get(n, ((), ())))
    for n, race in enumerate(found.silent[: None if whole else SHOWN]):
        _race(race, f"Double create without an error, {n + 1} of {len(found.silent)}")
    for n, race in enumerate(found.undecided if whole else ()):
        _race(race, f"Not decided, {n + 1} of {len(found.undecided)}")
    if not whole and max(len(found.surfaced), len(found.silent)) > SHOWN:
        print(f"\nThe first {SHOWN} of each are shown; --verbose shows all.")
    if symbol:
        _timeline(found, symbol, whole=whole)
    _latency(numbers)
    if numbers.holes:
        rows = [(h.source, clock(h.since), clock(h.until), spell_duration(h.length)) for h in numbers.holes]
        output.table(("source", "from (UTC)", "to (UTC)", "without an event"), rows, title="Holes in the log")
    if whole:
        _counted("Events by category", numbers.categories)
        _counted("Events by kind", numbers.kinds)
        _counted(_of_level(numbers), numbers.levels)


def clock(at: datetime) -> str:
    """Date and time to the millisecond, without a zone."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def as_csv(races: Sequence[Race]) -> str:
    """The races as CSV, one a line; a text that a spreadsheet would take for a formula is quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for race in races:
        host = race.at.astimezone(ZoneInfo(race.zone))
        window = "" if race.window is None else f"{race.window.total_seconds():.3f}"
        cells = (
            race.at.isoformat(timespec="milliseconds"),
            host.isoformat(timespec="milliseconds"),
            race.zone,
            race.symbol,
            race.exchange or "",
            str(race.surfaced).lower(),
            race.scenario.value,
            race.confidence.value,
            window,
            str(race.concurrent).lower(),
            " ".join(str(number) for number in race.row_ids),
            race.reason,
        )
        writer.writerow([f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell for cell in cells])
    return text.getvalue()


def _head(numbers: Statistics) -> None:
    if numbers.first is None or numbers.last is None:
        print(f"{_read(numbers)}no event.".capitalize())
        return
    print(
        f"{clock(numbers.first)} to {clock(numbers.last)} UTC, of which the log covers {spell_duration(numbers.covered)}."
    )
    print(
        f"{_read(numbers)}{sum(numbers.kinds.values())} events, "
        f"{numbers.unique_symbols} symbol{'' if numbers.unique_symbols == 1 else 's'}; {numbers.position_creates} creates, {numbers.position_updates} updates."
    )


def _read(numbers: Statistics) -> str:
    if numbers.parsed_entries is None:
        return ""
    return f"{numbers.total_lines} lines, {numbers.parsed_entries} records, "


def _of_level(numbers: Statistics) -> str:
    return "Events by level" if numbers.parsed_entries is None else "Records by level"


def _errors(numbers: Statistics, silent: int) -> None:
    errors = numbers.duplicate_errors
    print(
        f"\n{errors or 'No'} duplicate-key error{'' if errors == 1 else 's'}; "
        f"{silent or 'no'} double create{'' if silent == 1 else 's'} that left none."
    )
    if numbers.errors_per_day is not None and numbers.errors_per_day_interval is not None:
        low, high = numbers.errors_per_day_interval
        print(
            f"{numbers.errors_per_hour:.2f} errors an hour, {numbers.errors_per_day:.1f} a day "
            f"(95 % interval {low:.1f} to {high:.1f})."
        )
    if errors:
        _counted("Errors by symbol", numbers.errors_by_symbol)
        _counted("Errors by exchange", numbers.errors_by_exchange)
        _counted(
            "Errors by hour (UTC)", {f"{h:%Y-%m-%d %H:00}": n for h, n in numbers.errors_by_hour.items()}
        )


def _race(race: Race, title: str) -> None:
    zone = ZoneInfo(race.zone)
    print(
        f"\n{title}: {race.symbol or 'symbol not in the log'} on {race.exchange or 'exchange not in the log'}"
    )
    print(f"  {clock(race.at)} UTC, {clock(race.at.astimezone(zone))} {race.zone}")
    again = " Concurrent create under 5 s." if race.concurrent else ""
    print(f"  Scenario {race.scenario}, {race.confidence} confidence: {race.reason}{again}")
    for n, create in enumerate(race.creates):
        print(f"  {_create(create, race.gaps[n - 1] if n else None)}")
    rows = [
        (
            f"{(m.at - race.at).total_seconds():+.3f}",
            clock(m.at.astimezone(zone))[11:],
            NAMES[m.actor],
            m.mark.value,
            m.text + (f" [{', '.join(m.inferred)} inferred]" if m.inferred else ""),
        )
        for m in race.moments
    ]
    output.table(("seconds", race.zone, "actor", "mark", "what the log says"), rows)


def _create(create: Create, gap: timedelta | None) -> str:
    row = f"row #{create.position_id}" if create.position_id is not None else "a row (the log names no id)"
    after = f", {spell_gap(gap)} after the one before" if gap is not None else ""
    return f"Created {row} at {clock(create.at)} UTC by {NAMES[create.actor]}{after}"


def _context(before: Sequence[str], after: Sequence[str]) -> None:
    for name, lines in (("before", before), ("after", after)):
        if lines:
            print(f"  The lines {name}:")
            for line in lines:
                print(f"    {output.clean(line)}")


def _timeline(found: Analysis, symbol: str, *, whole: bool) -> None:
    """What happened to the positions of one symbol, the newest lines where there are many."""
    mine = [event for event in found.events if event.symbol == symbol]
    shown = mine if whole else mine[-TIMELINE:]
    rows = [
        (
            clock(event.at),
            event.exchange or "",
            f"#{event.position_id}" if event.position_id is not None else "",
            NAMES[event.actor],
            event.kind,
            " ".join(event.message.split())[:200],
        )
        for event in shown
    ]
    if not mine:
        print(f"\nNo line of the log is about {symbol}.")
        return
    title = f"Time line of {symbol}"
    if len(shown) < len(mine):
        title += f", the last {len(shown)} of {len(mine)} lines (--verbose shows all)"
    output.table(("UTC", "exchange", "row", "actor", "event", "what the log says"), rows, title=title)


def _latency(numbers: Statistics) -> None:
    rows = [
        (name, str(one.count), *(f"{value:.0f} ms" for value in (one.p50, one.p95, one.p99, one.worst)))
        for name, one in numbers.latency.items()
    ]
    if rows:
        output.table(("latency", "count", "P50", "P95", "P99", "longest"), rows, title="Latency")


def _counted(title: str, counts: Mapping[str, int]) -> None:
    if counts:
        output.table(("", "count"), [(name, str(n)) for name, n in counts.items()], title=title)
