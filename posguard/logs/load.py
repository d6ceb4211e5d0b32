"""Puts what a log says into PostgreSQL, each record once: a file read twice, renamed, packed, cut or grown adds nothing it added before.

Most records go in by batches, a transaction each, while the next batch is being read. Those at the two ends of the file are
held back to the last transaction, where loads of one source take turns, because the rest of them may lie in another file.
A load that dies leaves whole batches, and the next one adds what is missing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from posguard.logs.identity import Edge, EdgeSight, Identity, edge_of, records_at_edge
from posguard.logs.rarely import rarely_collected
from posguard.logs.sieve import EARLIEST, LATEST, Sieve, Wanted, is_last
from posguard.postgres import logevents, logfiles
from posguard.postgres.logevents import Row, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from posguard.logs.sieve import Interval, Reading, Told
    from posguard.postgres.pool import Database

# A clock that runs ahead is believed so far; what lies beyond is a broken date.
AHEAD = timedelta(days=1)
_TRIES = 3


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that belongs to a source. `head_hash` tells it again; `size` in bytes as it lies there, None where unknown."""

    source: str
    path: str
    head_hash: bytes
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load of a file did. `refused` counts records older than retention allows, or of a time yet to come.

    `earliest` and `latest` are those of all its events, `taken` the first and last time of those that were wanted.
    """

    file: LogFile
    file_id: int
    events: int
    new_events: int
    refused: int
    oldest_refused: datetime | None
    earliest: datetime | None
    latest: datetime | None
    taken: Interval | None
    bytes_read: int
    bytes_skipped: int
    first_at: datetime | None
    last_at: datetime | None

    def refused_line(self, days: int) -> str:
        """What was not loaded and how it would be, in one line; "" where nothing was refused."""
        if not self.refused:
            return ""
        since = f" (the oldest of {self.oldest_refused:%Y-%m-%d})" if self.oldest_refused else ""
        return (
            f"{self.file.path}: {self.refused} records{since} are older than {days} days or of a time to come, and were not "
            "loaded. Raise POSGUARD_LOG_RETENTION_DAYS to load older ones."
        )


async def load_file(
    db: Database,
    file: LogFile,
    reading: Reading,
    *,
    retention: timedelta,
    wanted: Wanted | None = None,
    program: str = "cli",
    external_id: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Loaded:
    """Loads the wanted records of a file; again, from a copy of it, or beside another load of it: the same rows.

    `progress` hears the bytes read so far. Records older than `retention` are counted and not loaded. Raises PosguardError
    where the database cannot be reached; what was loaded until then stays, and loading again completes it.
    """
    wanted = wanted or Wanted()
    async with db.connection() as connection:
        file_id = await logfiles.begin(
            connection,
            source=file.source,
            path=file.path,
            head_hash=file.head_hash,
            size=file.size,
            interval=wanted.interval,
            program=program,
            external_id=external_id,
        )
    now = datetime.now(UTC)
    async with db.connection() as connection:
        known = await logfiles.read_up_to(connection, file.source, file.head_hash) > 0
    added = 0
    for _ in range(_TRIES):
        sieve = Sieve(file_id, wanted, oldest=now - retention, newest=now + AHEAD)
        async with db.connection() as connection:
            sieve.incomplete = {Identity(*one) for one in await logevents.incomplete(connection, file.source)}
        with rarely_collected():
            added += await _bulk(db, sieve, reading, progress, known=known)
        more, complete = await _ends(db, file, sieve, reading)
        added += more
        if complete:
            break
        known = True
    found = Loaded(
        file=file,
        file_id=file_id,
        events=sieve.events,
        new_events=added,
        refused=sieve.refused,
        oldest_refused=sieve.oldest_refused,
        earliest=sieve.earliest if sieve.earliest < LATEST else None,
        latest=sieve.latest if sieve.latest > EARLIEST else None,
        taken=(sieve.since, sieve.until) if sieve.events else None,
        bytes_read=reading.bytes_read,
        bytes_skipped=reading.bytes_skipped,
        first_at=reading.first_at,
        last_at=reading.last_at,
    )
    async with db.connection() as connection:
        await logfiles.finish(
            connection,
            file_id,
            bytes_read=found.bytes_read,
            bytes_skipped=found.bytes_skipped,
            first_at=found.first_at,
            last_at=found.last_at,
            earliest=found.earliest,
            latest=found.latest,
            events=found.events,
            new_events=found.new_events,
            refused=found.refused,
        )
    return found


async def _bulk(
    db: Database, sieve: Sieve, reading: Reading, progress: Callable[[int], None], *, known: bool
) -> int:
    """Loads batch after batch, reading the next one while the server takes this one; returns how many rows were new.

    Until a row turns out to be there already nothing is staged; a `known` file, or a copy of one, is staged from then on.
    """
    added = 0
    months: set[tuple[int, int]] = set()
    batches = sieve.batches(reading)
    upcoming = asyncio.create_task(asyncio.to_thread(next, batches, None))
    try:
        while (batch := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, batches, None))
            await _make_partitions(db, batch.months - months)
            months |= batch.months
            if not known and await logevents.add_new(db, batch.rows):
                added += len(batch.rows)
            else:
                known = True
                added += await logevents.add_missing(db, batch.rows)
            progress(batch.end)
    finally:
        # a thread cannot be cancelled: it ends its batch, and only then may the file be closed
        await asyncio.wait([upcoming])
        if not upcoming.cancelled():
            upcoming.exception()
    return added


async def _make_partitions(db: Database, months: Collection[tuple[int, int]]) -> None:
    for year, month in sorted(months):
        async with db.connection() as connection:
            await logevents.make_partition(connection, datetime(year, month, 1, tzinfo=UTC))


async def _ends(db: Database, file: LogFile, sieve: Sieve, reading: Reading) -> tuple[int, bool]:
    """Loads what was held back; returns how many rows were new, and False where another load has meanwhile left
    something incomplete that this file may have whole.
    """
    edges: dict[tuple[Edge, datetime, bytes], list[Told]] = defaultdict(list)
    rows: list[Row] = []
    first_at, last_at = reading.first_at or LATEST, reading.last_at or EARLIEST
    for identity, event in sieve.held:
        last = is_last(event, reading)
        edge = edge_of(identity.at, first_at, last_at)
        rows.append(row_of(event, identity.content_hash, identity.ordinal, sieve.file_id, complete=not last))
        if edge:
            edges[edge, identity.at, identity.content_hash].append((identity, event))
    await _make_partitions(db, {(row.at.year, row.at.month) for row in rows})
    async with db.transaction() as connection:
        await logevents.take_source_turn(connection, file.source)
        seen = [
            (edge.value, at, content_hash, max(identity.ordinal for identity, _ in found) + 1)
            for (edge, at, content_hash), found in edges.items()
        ]
        await logevents.keep_edges(connection, file.source, file.head_hash, seen, reading.bytes_read)
        for (_, at, content_hash), found in edges.items():
            sights = await logevents.edges_at(connection, file.source, at, content_hash)
            count = records_at_edge(EdgeSight(s.head_hash, Edge(s.edge), s.count) for s in sights)
            rows += _filled_up(sieve, found, count)
        rows.sort(key=lambda row: (row.at, row.content_hash, row.ordinal))
        added = await logevents.insert_last(connection, rows)
        left = {Identity(*one) for one in await logevents.incomplete(connection, file.source)}
    mine = {Identity(row.at, row.content_hash, row.ordinal) for row in rows if not row.complete}
    foreign = left - sieve.incomplete - mine
    return added, not any(first_at <= one.at <= last_at for one in foreign)


def _filled_up(sieve: Sieve, found: Sequence[Told], count: int) -> list[Row]:
    """The rows beyond this file's own ones that make up the count: equal records, of which another file has some."""
    identity, event = found[-1]
    own = {identity.ordinal for identity, _ in found}
    missing = (ordinal for ordinal in range(count) if ordinal not in own)
    return [row_of(event, identity.content_hash, ordinal, sieve.file_id) for ordinal in missing]
