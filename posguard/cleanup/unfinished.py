"""What becomes of a row that stands in the middle of an open (K2, CLN-5). Pure.

Invariants: a row at pending_entry fails only where orders, fills and positions since it began show nothing; one whose entry was
sent ends without a fill only where its orders are told as ended unfilled; an unfinished row never closes a position that another
open row owns, nor one that is larger than its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cleanup.about import ending, stopped
from posguard.cleanup.orders import leave, protect
from posguard.cleanup.rows import GONE, IN_FLIGHT
from posguard.cleanup.stops import stop_price
from posguard.cleanup.unsent import unfilled, unsent
from posguard.model.duration import spell_duration
from posguard.model.money import plain
from posguard.model.plan import NOW, Action, Change
from posguard.model.position import Status
from posguard.reconcile.checks import absence_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.cleanup.about import About
    from posguard.model.plan import LeftOut, Line
    from posguard.model.position import PositionRow

_NEVER_SENT = "nothing was sent"
_FLAT_AGAIN = "opened and closed again on the exchange"
_UNFINISHED = "closed by cleanup: its open never ended"


def unfinished(about: About) -> Iterator[Line | LeftOut]:
    """The one line for an unfinished row."""
    row, case = about.row, about.case
    if row is None:
        yield about.out("the row moved while it was looked at")
        return
    age = row.age(case.now)
    if age is None or age < about.options.min_age:
        shown = "of unknown age" if age is None else f"{spell_duration(age)} old"
        yield about.out(f"it is {shown}, and --age is {spell_duration(about.options.min_age)}")
    elif not case.judged:
        yield about.out(f"what the venue holds is unknown: {case.why_not}")
    elif row.status in IN_FLIGHT:
        yield about.out(f"{row.status} is the core's own: its recovery settles it")
    elif case.position is None:
        yield _without_position(about, row)
    elif other := [one for one in case.rows if one is not row]:
        yield about.out(f"row #{other[0].id} claims the same position: `cleanup duplicates` comes first")
    else:
        yield _with_position(about, row)


def _without_position(about: About, row: PositionRow) -> Line | LeftOut:
    """Its venue holds nothing: failed where nothing was ever sent, else ended by what its fills tell."""
    case = about.case
    if about.ordered:
        return about.out("a live order of this key is there: it may still be filled")
    absence = absence_of(case, row)
    if not absence.proven:
        return about.out(f"not proven ({absence.sentences[-1]})")
    never = absence.closed_at is None
    evidence = absence.sentences
    if never:
        orders = (unsent if row.status == Status.PENDING_ENTRY else unfilled)(row, about.history)
        if not orders.proven:
            return about.out(orders.sentence)
        evidence = (*evidence, orders.sentence)
    at = NOW if absence.closed_at is None else absence.closed_at.isoformat()
    status, reason = {
        (Status.PENDING_ENTRY, True): (Status.FAILED, _NEVER_SENT),
        (Status.PENDING_ENTRY, False): (Status.ROLLED_BACK, _FLAT_AGAIN),
        (Status.ENTRY_PLACED, True): (Status.FAILED, "no fill of its entry"),
        (Status.ENTRY_PLACED, False): (Status.CLOSED, GONE),
        (Status.PENDING_SL, True): (Status.ROLLED_BACK, "no fill of its entry"),
        (Status.PENDING_SL, False): (Status.CLOSED, GONE),
    }[Status(row.status or ""), never]
    return about.line(
        Action.FAIL_ROW if status is Status.FAILED else Action.CLOSE_ROW,
        evidence[-1],
        row=row,
        changes=ending(row, status, reason, at),
        evidence=evidence,
        safe=status is Status.FAILED and row.status == Status.PENDING_ENTRY,
    )


def _with_position(about: About, row: PositionRow) -> Line | LeftOut:
    case, position = about.case, about.case.position
    assert position is not None
    assert case.market is not None
    if row.side is not position.side:
        return about.out("the side is flipped; a person has to decide")
    if row.quantity is None or position.quantity > row.quantity + case.market.lot_step:
        held, own = plain(position.quantity), plain(row.quantity)
        return about.out(f"the venue holds {held} and the row only {own}: part of it is not this row's")
    if row.status == Status.PENDING_ENTRY:
        return about.out(
            "the row says that nothing was sent and the venue holds a position: look whose it is"
        )
    if row.status == Status.ENTRY_PLACED:
        return leave(about, row, "its open never ended: the position is closed, then the row", _UNFINISHED)
    return _pending_stop(about, row)


def _pending_stop(about: About, row: PositionRow) -> Line:
    """pending_sl: finished where a live stop covers the position, else the stop is placed, else the position closed."""
    case = about.case
    if case.covered and case.protection is not None:
        stop = next((s for s in case.protection.valid if s.trigger is not None), None)
        trigger, order_id = (stop.trigger, stop.order_id or None) if stop else (None, None)
        changes = stopped(row, trigger, order_id, about.options.columns)
        return about.line(
            Action.FINISH_ROW,
            "a live stop covers the position: only the last update is missing",
            row=row,
            changes=(Change("status", row.status, Status.ACTIVE), *changes),
        )
    trigger = stop_price(case, row, about.options.stop_distance)
    if trigger is None:
        return leave(about, row, "its stop price is through already, or none is known", _UNFINISHED)
    return protect(about, row, trigger)
