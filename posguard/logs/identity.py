"""What makes a record of a log the same record again, whichever file it comes in. Pure: records in, identities out.

A record is known by its source, its time, what its line says, and which one it is of several that are equal in all three.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from posguard.model.log_event import LogEvent

# Equal records further apart than this are another sight of the same ones: a file in which a stretch of log stands twice.
# It allows for lines that stand a little out of order.
TOGETHER = timedelta(seconds=2)
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
    text = event.message
    line = text.partition("\n")[0].rstrip()
    if not line:
        line = next((one.rstrip() for one in text.split("\n") if one.strip()), "")
    said = f"{event.level}\x1f{event.module}\x1f{line}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def identified(events: Iterable[LogEvent]) -> Iterator[tuple[Identity, LogEvent]]:
    """Each record of a file with its identity, in the file's order; the whole file must be given, not a part of it.

    What two patterns know of one record is one record, the first one's. Memory does not grow with the file.
    """
    recent: dict[datetime, dict[bytes, int]] = {}
    counts: dict[bytes, int] = {}
    present, newest, last_offset = None, _EARLIEST, -1
    for event in events:
        if event.offset == last_offset:
            continue
        last_offset = event.offset
        at = event.at
        if at != present:
            present = at
            if at > newest:
                if at - newest > TOGETHER:
                    recent = {}
                else:
                    _forget(recent, at)
                newest = at
            elif newest - at > TOGETHER:  # the log begins anew in the middle of the file
                recent, newest = {}, at
            counts = recent.setdefault(at, {})
        said = content_hash(event)
        ordinal = counts.get(said, -1) + 1
        counts[said] = ordinal
        yield Identity(at, said, ordinal), event


def _forget(recent: dict[datetime, dict[bytes, int]], newest: datetime) -> None:
    """Forgets the times that are too far back to be the same sight; the oldest come first but for a little disorder."""
    while recent and newest - next(iter(recent)) > TOGETHER:
        del recent[next(iter(recent))]


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
