"""Records that several files or sources hold, told once: declared logs may overlap, and a folder may hold a copy. Pure.

What makes a record the same record is what loading says of it (`identity`), its source left out: one time, one content, and
which one it is of those that are equal in both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeVar

from posguard.logs.identity import Said, content_hash
from posguard.logs.zones import JITTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime


class Placed(Said, Protocol):
    """A record that says where it stands."""

    @property
    def at(self) -> datetime:
        """When it was written."""

    @property
    def source(self) -> str:
        """Whose log it is in."""

    @property
    def path(self) -> str:
        """Which file."""


# A file read through from one jump back in time to the next.
Pass = tuple[str, str, int]
Record = TypeVar("Record", bound=Placed)
_at = attrgetter("at")
_source = attrgetter("source")


def told_once(records: Iterable[Record]) -> Iterator[Record]:
    """The records without those that another file has told of, in order of time. Those of one file come in the order of their lines.

    The copy in the source that is first by name is kept. Equal records of one moment within one file are each kept, but for
    a file that goes back in time: what it tells again is a copy.
    """
    told = list(records)
    again = _told_again(told)
    told.sort(key=_at)

    def pass_of(one: Record) -> Pass:
        return one.source, one.path, again.get(id(one), 0)

    for _, moment in groupby(told, key=_at):
        together = list(moment)
        if len(together) > 1 and any(pass_of(one) != pass_of(together[0]) for one in together):
            yield from _without_copies(together, pass_of)
        else:
            yield from together


def _told_again(told: Iterable[Placed]) -> dict[int, int]:
    """Of records that stand behind a jump back in their file: how many jumps, by the record's id()."""
    latest: dict[tuple[str, str], datetime] = {}
    jumps: Counter[tuple[str, str]] = Counter()
    again: dict[int, int] = {}
    for one in told:
        file, at = (one.source, one.path), one.at
        before = latest.get(file)
        if before is None or at >= before:
            latest[file] = at
        elif before - at > JITTER:
            latest[file] = at
            jumps[file] += 1
        if file in jumps:
            again[id(one)] = jumps[file]
    return again


def _without_copies(together: list[Record], pass_of: Callable[[Record], Pass]) -> Iterator[Record]:
    """Of records of one moment: of each content as many as the file has that holds most of them."""
    kept: Counter[bytes] = Counter()
    within: defaultdict[Pass, Counter[bytes]] = defaultdict(Counter)
    first: set[int] = set()
    for one in sorted(together, key=_source):
        said, seen = content_hash(one), within[pass_of(one)]
        seen[said] += 1
        if seen[said] > kept[said]:
            kept[said] += 1
            first.add(id(one))
    return (one for one in together if id(one) in first)
