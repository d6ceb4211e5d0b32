"""What makes a record of a log the same record again, whichever file it comes in. Pure: records in, identities out.

A record is known by its source, its time, what its line says, and which one it is of several that are equal in all three.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import islice
from operator import eq
from typing import TYPE_CHECKING, NamedTuple, Protocol

from posguard.model.log_event import LogColumns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from posguard.model.log_event import LogEvent

# Equal records further apart than this are another sight of the same ones: a file in which a stretch of log stands twice.
# It allows for lines that stand a little out of order.
TOGETHER = timedelta(seconds=2)
# So many records are looked at together: enough to be quick, and few enough to lie near the processor meanwhile.
STRETCH = 2000
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Identity(NamedTuple):
    """A record within its source."""

    at: datetime
    content_hash: bytes
    ordinal: int


class Said(Protocol):
    """What a record's content is made of."""

    @property
    def level(self) -> str:
        """Its level."""

    @property
    def module(self) -> str:
        """Who wrote it."""

    @property
    def message(self) -> str:
        """Its words."""


def content_hash(event: Said) -> bytes:
    """16 bytes over level, module and the first line of the message that is not blank, without its end.

    Only that line: the lines below it may still be on their way, or lie in the next file where a set is cut between them.
    """
    return _hashes((event.level,), (event.module,), (event.message,))[0]


def _hashes(levels: Sequence[str], modules: Sequence[str], messages: Sequence[str]) -> list[bytes]:
    """What content_hash says of each."""
    lines = [_first_line(one) if "\n" in one else one.rstrip() for one in messages]
    said = [
        f"{level}\x1f{module}\x1f{line}" for level, module, line in zip(levels, modules, lines, strict=True)
    ]
    return [blake2b(one.encode("utf-8", "surrogatepass"), digest_size=16).digest() for one in said]


def _first_line(text: str) -> str:
    return next((line for one in text.split("\n") if (line := one.rstrip())), "")


class Identifier:
    """Gives the records of one file their identity, stretch by stretch; every record must be given, in the file's order.

    Memory does not grow with the file.
    """

    def __init__(self) -> None:
        self._last_offset = -1
        self._newest = _EARLIEST
        # how many equal records each of the last moments has, less one; the oldest first but for a little disorder
        self._recent: dict[datetime, dict[bytes, int]] = {}

    def records(self, events: list[LogEvent]) -> list[LogEvent]:
        """The records of a stretch of events: what two patterns know of one record is one record, the first one's."""
        if not events:
            return events
        offsets = [self._last_offset, *[event.offset for event in events]]
        self._last_offset = offsets[-1]
        if any(map(eq, offsets, offsets[1:])):
            return [event for event, last in zip(events, offsets, strict=False) if event.offset != last]
        return events

    def contents(self, records: LogColumns) -> tuple[list[bytes], list[int]]:
        """The content hash and the ordinal of each record of a stretch."""
        hashes = _hashes(records.level, records.module, records.message)
        return hashes, self._ordinals(records.at, hashes)

    def _ordinals(self, times: Sequence[datetime], hashes: Sequence[bytes]) -> list[int]:
        ordinals: list[int] = []
        recent, newest = self._recent, self._newest
        present, counts = None, {}
        for at, said in zip(times, hashes, strict=True):
            if at != present:
                present = at
                if at > newest:
                    newest = at
                    counts = recent[at] = {}
                elif newest - at > TOGETHER:  # the log begins anew in the middle of the file
                    newest = at
                    recent = {}
                    counts = recent[at] = {}
                else:
                    counts = recent.setdefault(at, {})
            ordinal = counts.get(said, -1) + 1
            counts[said] = ordinal
            ordinals.append(ordinal)
        # what is too far back to be the same sight is forgotten: a record of that time would begin the log anew
        self._recent = {at: counts for at, counts in recent.items() if newest - at <= TOGETHER}
        self._newest = newest
        return ordinals


def identified(events: Iterable[LogEvent]) -> Iterator[tuple[Identity, LogEvent]]:
    """Each record of a file with its identity, in the file's order; the whole file must be given, not a part of it."""
    identifier, coming = Identifier(), iter(events)
    while stretch := list(islice(coming, STRETCH)):
        records = identifier.records(stretch)
        columns = LogColumns.of(records)
        named = zip(columns.at, *identifier.contents(columns), strict=True)
        yield from zip(map(Identity._make, named), records, strict=True)


class Edge(StrEnum):
    """Where in its file a time lies: that of the first record, of the last one, or of all of them."""

    FIRST = "first"
    LAST = "last"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class EdgeSight:
    """How many equal records one file has at the very time at which it begins or ends; the rest may be in its neighbour."""

    head_hash: bytes
    edge: Edge
    count: int


def edge_of(at: datetime, first_at: datetime, last_at: datetime) -> Edge | None:
    """The edge of a file that a time lies on; None inside of it, where the file has all records of that time."""
    if at == first_at == last_at:
        return Edge.BOTH
    if at == first_at:
        return Edge.FIRST
    return Edge.LAST if at == last_at else None


def records_at_edge(sights: Iterable[EdgeSight]) -> int:
    """How many equal records there are at a time at which files begin or end.

    One file's end and another one's beginning are two parts of one whole and are added; several ends are sights of the same
    end, a copy perhaps and older than the other, and the fullest of them counts; so do several beginnings. Files that lie
    on that time with all their records are parts of their own where they begin differently.
    """
    most: dict[Edge, int] = defaultdict(int)
    within: dict[bytes, int] = defaultdict(int)
    for sight in sights:
        if sight.edge is Edge.BOTH:
            within[sight.head_hash] = max(within[sight.head_hash], sight.count)
        else:
            most[sight.edge] = max(most[sight.edge], sight.count)
    return most[Edge.FIRST] + most[Edge.LAST] + sum(within.values())
