"""What must hold after a race, on the database and on the venue's own book: values in, breaches out.

Judged once all is quiet: no open under way, no order on its way. What the clients believe plays no part but for what they
told their caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from posguard.model.position import is_open
from posguard.race.signal import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from posguard.race.signal import Opened

_ZERO = Decimal(0)


class Breach(StrEnum):
    """An invariant that broke."""

    DUPLICATE = "duplicate"  # two rows of one key were open at one time
    UNIQUE_VIOLATION = "unique_violation"  # the caller or the core met the index's refusal as an error
    DOUBLE_ORDER = "double_order"  # more entries traded than were due
    CLOSED = "closed_by_rollback"  # more was closed than was due: a real position
    NAKED = "naked"  # the venue holds a position that no stop covers
    LOST = "lost"  # the venue holds a position that no open row owns
    HOLLOW = "hollow"  # a row is open and the venue holds nothing
    MISMATCH = "mismatch"  # open rows and the venue hold different quantities
    ORPHAN_STOP = "orphan_stop"  # a stop has nothing to close
    STUCK = "stuck"  # a row is neither active nor ended nor flagged for a person
    BLOCKED = "blocked"  # nobody could open, though nothing stood in the way any more
    RAISED = "raised"  # an exception came out of the core


@dataclass(frozen=True, slots=True)
class RowFact:
    """One row of the key. ended is None while it is open; attention: flagged for a person, who was told."""

    id: int
    status: str | None
    quantity: Decimal
    began: datetime
    ended: datetime | None
    attention: bool = False

    @property
    def open(self) -> bool:
        """Whether the row claims its key."""
        return is_open(self.status)


@dataclass(frozen=True, slots=True)
class BookFact:
    """What the venue's book holds of the key: signed amount, quantity that live stops cover, stops with nothing to close.

    entries: quantities of the opening orders that traded; closed: quantity that orders sent by a core closed, fired stops
    apart.
    """

    amount: Decimal = _ZERO
    covered: Decimal = _ZERO
    orphan_stops: int = 0
    entries: tuple[Decimal, ...] = ()
    closed: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Due:
    """What the scenario makes legitimate: how many entries may trade, and how much of them has to be closed again.

    opens: one of the signals has to end active.
    """

    entries: int = 1
    closed: Decimal = _ZERO
    opens: bool = True


def judge(
    rows: Sequence[RowFact],
    book: BookFact,
    opened: Iterable[Opened],
    due: Due,
    *,
    index_stands: bool,
) -> frozenset[Breach]:
    """The invariants that broke for one key.

    `index_stands`: a valid unique index over all open statuses is in place and makes overlapping lives impossible. Without
    it they are read from the rows' own times.
    """
    return frozenset(
        [
            *_of_rows(rows, index_stands=index_stands),
            *_of_book(book, due),
            *_between(rows, book),
            *_told(tuple(opened), due),
        ]
    )


def _of_rows(rows: Sequence[RowFact], *, index_stands: bool) -> Iterable[Breach]:
    living = [row for row in rows if row.open]
    if len(living) > 1 or (not index_stands and overlapping(rows)):
        yield Breach.DUPLICATE
    if any(row.status != "active" and not row.attention for row in living):
        yield Breach.STUCK


def overlapping(rows: Sequence[RowFact]) -> int:
    """How many rows were born while an earlier one of the key was open."""
    ordered = sorted(rows, key=lambda row: row.id)
    return sum(1 for before, after in pairwise(ordered) if before.ended is None or after.began < before.ended)


def _of_book(book: BookFact, due: Due) -> Iterable[Breach]:
    if len(book.entries) > due.entries:
        yield Breach.DOUBLE_ORDER
    if book.closed > due.closed:
        yield Breach.CLOSED
    if book.covered < abs(book.amount):
        yield Breach.NAKED
    if book.orphan_stops:
        yield Breach.ORPHAN_STOP


def _between(rows: Sequence[RowFact], book: BookFact) -> Iterable[Breach]:
    living = [row for row in rows if row.open]
    if book.amount and not living:
        yield Breach.LOST
    elif living and not book.amount:
        yield Breach.HOLLOW
    elif abs(book.amount) != sum((row.quantity for row in living), _ZERO):
        yield Breach.MISMATCH


def _told(opened: Sequence[Opened], due: Due) -> Iterable[Breach]:
    if due.opens and not any(one.ended is Ended.ACTIVE for one in opened):
        yield Breach.BLOCKED
    for one in opened:
        if one.unique_violation:
            yield Breach.UNIQUE_VIOLATION
        if one.ended is Ended.RAISED:
            yield Breach.RAISED
