"""Counts of all time that are never counted anew and miss no transaction that commits late. Pure.

A part is counted up to `settled`; what is behind is read each time, so that a row whose transaction commits late is seen as
soon as it is there. `settled` moves on to a mark only when nothing can come in before the mark any more. The newest row at
one look is the mark; a row before it has its number already, and its transaction gets its own at the latest by the next look,
whose next transaction (`mark_xid`) is therefore behind all of theirs. Once every transaction before that one has ended, what
lies up to the mark is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from posguard.model.metrics import Measure

# A closing bears a time that the bot took before it wrote: it is taken as final no earlier than this.
OVERLAP = timedelta(minutes=10)
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Totals = Mapping[Measure, Mapping[str, int]]


class Part(StrEnum):
    """What is counted by itself, because it has an order of its own: ids, or times of closing."""

    EVENTS = "events"
    POSITIONS = "positions"
    CLOSINGS = "closings"


@dataclass(frozen=True, slots=True)
class Look:
    """What a read-only transaction sees of the others: the oldest that is open, the next that will be, and its own newest row."""

    oldest: int
    coming: int
    newest: int | datetime


@dataclass(frozen=True, slots=True)
class Counter:
    """A part's count up to `settled`, an id or a time, and the mark that it may move on to. rules is what the counts rest on."""

    part: Part
    settled: int | datetime
    mark: int | datetime | None = None
    mark_xid: int | None = None
    rules: str = ""
    counts: Totals = field(default_factory=dict)

    @classmethod
    def fresh(cls, part: Part, rules: str = "") -> Counter:
        """A part of which nothing is counted yet."""
        return cls(part, EPOCH if part is Part.CLOSINGS else 0, rules=rules)

    @property
    def untouched(self) -> bool:
        """Whether nothing is counted yet."""
        return self.settled in {0, EPOCH}

    def settles(self, look: Look) -> int | datetime:
        """Up to where what lies behind is final at a look: the mark, where its time has come."""
        ready = self.mark is not None and self.mark_xid is not None and look.oldest >= self.mark_xid
        return self.mark if ready and self.mark is not None else self.settled

    def after(self, look: Look, final: Totals) -> Counter:
        """The counter after a look; `final` are the counts between settled and what `settles` said."""
        settled = self.settles(look)
        if settled != self.settled:
            return replace(
                self,
                settled=settled,
                counts=added(self.counts, final),
                mark=_mark(look, settled),
                mark_xid=None,
            )
        if self.mark is None:
            return replace(self, mark=_mark(look, settled), mark_xid=None)
        if self.mark_xid is None or self.mark_xid > look.coming:
            # numbers of another server's transactions, after a move, say nothing here
            return replace(self, mark_xid=look.coming)
        return self

    def whole(self, behind: Totals) -> Totals:
        """All that there is: what is counted, and what lies behind it."""
        return added(self.counts, behind)

    def moved(self, settled: int | datetime, final: Totals) -> Counter:
        """The counter where everything up to a place is known to be final and was counted."""
        return replace(self, settled=settled, counts=added(self.counts, final), mark=None, mark_xid=None)


def added(first: Totals, second: Totals) -> Totals:
    """The sum by measure and exchange."""
    return {
        measure: {
            name: first.get(measure, {}).get(name, 0) + second.get(measure, {}).get(name, 0)
            for name in {**first.get(measure, {}), **second.get(measure, {})}
        }
        for measure in {**first, **second}
    }


def _mark(look: Look, settled: int | datetime) -> int | datetime | None:
    further = look.newest > settled  # type: ignore[operator]  # both are ids, or both are times
    return look.newest if further else None
