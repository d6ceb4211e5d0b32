"""Loading by data interval: which files a run has to read, one file of it, and its end. What a command and a scheduler both call.

The interval decides what is loaded, and no clock. A line that came after the run of its interval is loaded by the next run that
reads its file: it lies in an interval whose loading had ended well, and beyond what any load had read of that file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from posguard.errors import LogError
from posguard.logs.load import Loaded, LogFile, load_file
from posguard.logs.race_findings import race_findings
from posguard.logs.readings import FileReading, look_at
from posguard.logs.sieve import Wanted
from posguard.postgres import logevents, logfiles, lograces, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from posguard.logs.extract import Damage
    from posguard.logs.patterns import Pattern
    from posguard.logs.sources import Opener
    from posguard.postgres.logfiles import KnownFile
    from posguard.postgres.lograces import ToldRace
    from posguard.postgres.pool import Database
    from posguard.settings import LogSource

Interval = tuple[datetime, datetime]
# What stood half-written at the end of a file when it was read is read once more.
READ_AGAIN = 1 << 20
# A race is told by what was logged up to so long before it.
BEFORE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Ingested:
    """One file loaded, and what of it could not be read as it should."""

    loaded: Loaded
    damage: tuple[Damage, ...]


async def files_to_read(
    db: Database,
    source: LogSource,
    paths: Mapping[str, int | None],
    interval: Interval | None,
    opener: Opener | None = None,
) -> tuple[LogFile, ...]:
    """Of a source's files, paths with their sizes where `opener` opens them, those that a run over an interval has to read.

    Left out is only what loads know whole and unchanged, with no event in the interval. Without an interval all of them.
    Raises LogError where a file cannot be opened.
    """
    found = [await asyncio.to_thread(look_at, source, path, opener, size) for path, size in paths.items()]
    if interval is None:
        return tuple(found)
    async with db.connection() as connection:
        known = await logfiles.known_files(connection, source.name)
    return tuple(file for file in found if _has_something(file, known.get(file.head_hash), interval))


def _has_something(file: LogFile, known: KnownFile | None, interval: Interval) -> bool:
    if known is None or file.size is None or (file.size, file.path) != (known.size, known.path):
        return True
    if known.earliest is None or known.latest is None:
        return False
    return known.earliest < interval[1] and known.latest >= interval[0]


async def ingest_file(
    db: Database,
    source: LogSource,
    path: str,
    *,
    retention: timedelta,
    interval: Interval | None = None,
    opener: Opener | None = None,
    size: int | None = None,
    patterns: Sequence[Pattern] | None = None,
    program: str = "cli",
    external_id: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Ingested:
    """Loads a file's records of an interval and its late lines; all its records without one. Again is fine.

    `opener` opens what is no local file, and `size` is that file's. Raises LogError where the file cannot be read; nothing was
    loaded.
    """
    file = await asyncio.to_thread(look_at, source, path, opener, size)
    reading = FileReading(source, path, opener=opener, patterns=patterns)
    loaded = await load_file(
        db,
        file,
        reading,
        retention=retention,
        wanted=await _wanted(db, file, interval),
        program=program,
        external_id=external_id,
        progress=progress,
    )
    return Ingested(loaded, reading.damage)


async def _wanted(db: Database, file: LogFile, interval: Interval | None) -> Wanted:
    if interval is None:
        return Wanted()
    async with db.connection() as connection:
        covered = await logfiles.covered(connection, file.source)
        read = await logfiles.read_up_to(connection, file.source, file.head_hash)
    return Wanted(interval, covered, max(read - READ_AGAIN, 0))


@dataclass(frozen=True, slots=True)
class IntervalEnd:
    """What the end of a run found: how many races the log tells of, and what became of their findings.

    `undecided` counts creates of one symbol near each other of which the log does not say whether they were on one exchange.
    """

    races: int
    counts: Mapping[str, int]
    run_id: int | None
    undecided: int = 0


async def end_interval(
    db: Database,
    sources: Collection[LogSource],
    span: Interval | None,
    *,
    interval: Interval | None = None,
    program: str = "cli",
    external_id: str = "",
) -> IntervalEnd:
    """Looks for races in what is loaded of a stretch of time, records them as findings, and remembers the interval as covered.

    Call it when all files of the run are loaded. `span` is the interval and what its late lines reach back to; None is nothing.
    """
    zones = {source.name: source.zone for source in sources}
    told, undecided = await _races(db, zones, span)
    now = datetime.now(UTC)
    async with db.transaction() as connection:
        counts: Mapping[str, int] = {}
        run_id = None
        if told:
            run_id = await runs.start_run(
                connection,
                started_at=now,
                source=program,
                external_id=external_id,
                interval=interval,
                world="none",
                database_fingerprint=await runs.database_fingerprint(connection),
                job="logs",
            )
            counts = await lograces.record(connection, run_id, told, now)
            notes = [f"the log tells of {len(told)} races"]
            await runs.finish_log_run(connection, run_id, counts=counts, notes=notes)
        await lograces.resolve_past(connection, now)
        if interval is not None:
            for name in zones:
                await logfiles.cover(connection, name, interval, external_id)
    return IntervalEnd(len(told), counts, run_id, undecided)


async def _races(db: Database, zones: Mapping[str, str], span: Interval | None) -> tuple[list[ToldRace], int]:
    """The races of a stretch, and how many creates are not decided."""
    told: list[ToldRace] = []
    undecided = 0
    for start, end in _days(span):
        async with db.connection() as connection:
            events = await logevents.events_between(connection, start - BEFORE, end, list(zones))
        races, pairs = race_findings(events, zones)
        told += [one for one in races if start <= one.at < end]
        undecided += sum(start <= one.at < end for one in pairs)
    return told, undecided


def _days(span: Interval | None) -> Iterator[Interval]:
    """The stretch day by day, so that memory holds one of them."""
    start, end = span or (datetime.max, datetime.min)  # noqa: DTZ901 - no stretch
    while start < end:
        yield start, min(start + timedelta(days=1), end)
        start += timedelta(days=1)


def span_of(interval: Interval | None, taken: Iterable[Interval]) -> Interval | None:
    """An interval with what its late lines reach back to; None where there is neither. `taken` are first and last times."""
    # the last time belongs to what was taken, where an interval's end does not belong to it
    stretches = [(first, last + timedelta(milliseconds=1)) for first, last in taken]
    if interval is not None:
        stretches.append(interval)
    if not stretches:
        return None
    return min(start for start, _ in stretches), max(end for _, end in stretches)


def declared(sources: Sequence[LogSource], names: Collection[str] = ()) -> tuple[LogSource, ...]:
    """The declared sources, or the named ones among them. Raises LogError where there is none, or none of a name."""
    if not sources:
        raise LogError(
            "No log source is declared. Nothing was loaded.",
            hint='Set POSGUARD_LOG_SOURCES=\'[{"name": "bot", "paths": ["/var/log/bot"], "zone": "Europe/Berlin"}]\'.',
        )
    known = {source.name: source for source in sources}
    if missing := sorted(set(names) - set(known)):
        raise LogError(
            f"No log source is called {', '.join(missing)}. Nothing was loaded.",
            hint=f"Declared are {', '.join(known)}.",
        )
    return tuple(known[name] for name in names) if names else tuple(sources)
