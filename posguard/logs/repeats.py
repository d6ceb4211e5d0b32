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

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
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


Record = TypeVar("Record", bound=Placed)
_at = attrgetter("at")
_source = attrgetter("source")


def told_once(records: Iterable[Record]) -> Iterator[Record]:
    """The records without those that another file has told of. They come in order of time, and leave so.

    The copy in the source that is first by name is kept. Equal records of one moment within one file are each kept.
    """
    for _, moment in groupby(records, key=_at):
        together = list(moment)
        if len(together) > 1 and any(_file(one) != _file(together[0]) for one in together):
            yield from _without_copies(together)
        else:
            yield from together


def _without_copies(together: list[Record]) -> Iterator[Record]:
    """Of records of one moment: of each content as many as the file has that holds most of them."""
    kept: Counter[bytes] = Counter()
    within: defaultdict[tuple[str, str], Counter[bytes]] = defaultdict(Counter)
    first: set[int] = set()
    for one in sorted(together, key=_source):
        said, seen = content_hash(one), within[_file(one)]
        seen[said] += 1
        if seen[said] > kept[said]:
            kept[said] += 1
            first.add(id(one))
    return (one for one in together if id(one) in first)


def _file(one: Placed) -> tuple[str, str]:
    return one.source, one.path
