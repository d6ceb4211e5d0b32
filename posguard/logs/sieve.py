"""Sorts the records of one file for loading: what can go in at once, and what is held back for the end. Pure but for the reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress, islice
from typing import TYPE_CHECKING, Protocol

from posguard.logs.identity import STRETCH, TOGETHER, Identifier, Identity, edge_of
from posguard.model.log_event import LogColumns, LogEvent
from posguard.postgres.logevents import Row, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from posguard.postgres.logevents import Values

BATCH = 10_000
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
Interval = tuple[datetime, datetime]
Told = tuple[Identity, LogEvent]
# Where a row has what is asked of it here.
_AT = Row._fields.index("at")


class Reading(Protocol):
    """One file as it is read: its events in order, and once they have been read, what the whole of it was.

    `first_at` and `last_at` are the times of its first and last record, whether an event or not; `bytes_read` are its bytes
    uncompressed. A record whose line breaks off at the end is not among its events.
    """

    first_at: datetime | None
    last_at: datetime | None
    bytes_read: int
    bytes_skipped: int

    def __iter__(self) -> Iterator[LogEvent]:
        """The events, in the order of the file; each call reads anew."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records of a file a load takes.

    Without an interval all of them; with one those in it, and the late lines: those in stretches that were `covered` before,
    where no load has read yet (from the byte `read_up_to` on).
    """

    interval: Interval | None = None
    covered: Sequence[Interval] = ()
    read_up_to: int = 0

    def takes(self, event: LogEvent) -> bool:
        """Whether the load takes an event."""
        if self.interval is None or self.interval[0] <= event.at < self.interval[1]:
            return True
        return event.offset >= self.read_up_to and any(start <= event.at < end for start, end in self.covered)

    def takes_all(self, earliest: datetime, latest: datetime) -> bool:
        """Whether the load takes every event from one time to another, both included."""
        return self.interval is None or (self.interval[0] <= earliest and latest < self.interval[1])


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go in together. `months` are those of their times, and `end` is the byte behind the last one."""

    rows: list[Values]
    months: frozenset[tuple[int, int]]
    end: int


@dataclass(slots=True)
class Sieve:
    """Takes a file's records apart; the counts and times are whole when the last batch has been given.

    `earliest` and `latest` are of all events, `since` and `until` of those that were taken.
    """

    file_id: int
    wanted: Wanted
    oldest: datetime
    newest: datetime
    incomplete: set[Identity] = field(default_factory=set)
    events: int = 0
    refused: int = 0
    oldest_refused: datetime | None = None
    earliest: datetime = LATEST
    latest: datetime = EARLIEST
    since: datetime = LATEST
    until: datetime = EARLIEST
    held: list[Told] = field(default_factory=list)
    _first: datetime | None = None

    def batches(self, reading: Reading) -> Iterator[Batch]:
        """The rows that can go in at once; afterwards `held` has the rest: both ends, and what is known in part."""
        identifier, coming = Identifier(), iter(reading)
        rows: list[Values] = []
        events: list[LogEvent] = []
        while stretch := list(islice(coming, min(STRETCH, BATCH))):
            more, of = self._taken(identifier, stretch)
            rows += more
            events += of
            if len(rows) >= BATCH and (ready := _settled(rows)):
                yield _batch(rows[:ready])
                del rows[:ready], events[:ready]
        first, last = reading.first_at or LATEST, reading.last_at or EARLIEST
        inside: list[Values] = []
        for row, event in zip(rows, events, strict=True):
            if edge_of(event.at, first, last) or is_last(event, reading):
                self.held.append((_identity(row), event))
            else:
                inside.append(row)
        if inside:
            yield _batch(inside)

    def _taken(self, identifier: Identifier, stretch: list[LogEvent]) -> tuple[list[Values], list[LogEvent]]:
        """The rows of a stretch that are not held back, and their events."""
        events = identifier.records(stretch)
        if not events:
            return [], []
        columns = LogColumns.of(events)
        hashes, ordinals = identifier.contents(columns)
        earliest, latest = min(columns.at), max(columns.at)
        self.earliest, self.latest = min(self.earliest, earliest), max(self.latest, latest)
        if not self._all_go_in(earliest, latest):
            goes_in = [
                self._goes_in(event, said, ordinal)
                for event, said, ordinal in zip(events, hashes, ordinals, strict=True)
            ]
            events = list(compress(events, goes_in))
            hashes, ordinals = list(compress(hashes, goes_in)), list(compress(ordinals, goes_in))
            columns = LogColumns.of(events)
        self._count(columns.at)
        return rows_of(columns, hashes, ordinals, self.file_id), events

    def _all_go_in(self, earliest: datetime, latest: datetime) -> bool:
        """Whether nothing of a stretch between two times can be left out or held back: asked once for thousands of records."""
        return (
            self._first is not None
            and not earliest <= self._first <= latest
            and self.oldest <= earliest
            and latest <= self.newest
            and self.wanted.takes_all(earliest, latest)
            and not any(earliest <= one.at <= latest for one in self.incomplete)
        )

    def _goes_in(self, event: LogEvent, said: bytes, ordinal: int) -> bool:
        """Whether one record goes in at once; it is held back, counted as refused or left out otherwise."""
        at = event.at
        if not self.wanted.takes(event):
            return False
        if not self.oldest <= at <= self.newest:
            self.refused += 1
            self.oldest_refused = min(at, self.oldest_refused or at)
            return False
        self._first = self._first or at
        identity = Identity(at, said, ordinal)
        if at != self._first and identity not in self.incomplete:
            return True
        self.held.append((identity, event))
        self._count((at,))
        return False

    def _count(self, times: Sequence[datetime]) -> None:
        self.events += len(times)
        self.since = min(self.since, min(times, default=LATEST))
        self.until = max(self.until, max(times, default=EARLIEST))


def is_last(event: LogEvent, reading: Reading) -> bool:
    """Whether a record reaches to the end of its file, and so may go on elsewhere."""
    return event.offset + event.size >= reading.bytes_read


def _settled(rows: list[Values]) -> int:
    """How many of the rows can go: all but the last moments, which may turn out to be the end of the file.

    A burst that is longer than those moments goes all the same before it fills memory.
    """
    newest = rows[-1][_AT]
    ready = len(rows)
    while ready and abs(newest - rows[ready - 1][_AT]) <= TOGETHER:
        ready -= 1
    return ready or (len(rows) if len(rows) >= 4 * BATCH else 0)


def _batch(rows: list[Values]) -> Batch:
    times = [row[_AT] for row in rows]
    earliest, latest = min(times), max(times)
    if (earliest.year, earliest.month) == (latest.year, latest.month):
        times = [earliest]
    last = Row._make(rows[-1])
    months = frozenset((at.year, at.month) for at in times)
    return Batch(rows, months, last.file_offset + last.file_size)


def _identity(row: Values) -> Identity:
    named = Row._make(row)
    return Identity(named.at, named.content_hash, named.ordinal)
