"""The rules that may send orders: positions without a stop, orders left behind, external positions (K4, K5). Pure.

Invariants: every order can only reduce; a position that no open row owns is closed only where its closing was asked for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from posguard.cleanup.about import PERSON, ending, stopped
from posguard.cleanup.rows import IN_FLIGHT
from posguard.cleanup.stops import (
    cancel_order,
    close_order,
    left_behind,
    replaced,
    stop_order,
    stop_price,
)
from posguard.model.money import plain
from posguard.model.plan import NEW_STOP, NOW, Action, Change, Choice, Given
from posguard.model.position import PositionSide, Side, Status
from posguard.model.protection import covers_whole
from posguard.model.venue import OrderKind
from posguard.reconcile.duplicates import suggested_survivor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from posguard.cleanup.about import About
    from posguard.model.plan import LeftOut, Line
    from posguard.model.position import PositionRow
    from posguard.model.protection import Stop
    from posguard.model.venue import VenueOrder
    from posguard.reconcile.facts import KeyCase

_CLOSED = "closed by cleanup: no stop could be placed"
_CLOSABLE = frozenset({Status.ACTIVE, Status.PENDING_SL, Status.ENTRY_PLACED})
_MOVED = "the position moved while it was looked at"


def unprotected(about: About) -> Iterator[Line | LeftOut]:
    """A stop for the whole position, else a reduce-only close where one open row owns it."""
    case = about.case
    if case.position is None or case.protection is None or case.covered:
        yield about.out(_MOVED)
        return
    if case.rows and all(row.side is not case.position.side for row in case.rows):
        yield about.out(f"the side is flipped; {PERSON}")
        return
    owner = _owner(case)
    trigger = stop_price(case, _prices(case), about.options.stop_distance)
    if trigger is not None:
        yield protect(about, owner, trigger)
    elif owner is not None and _prices(case) is not None:
        yield leave(about, owner, "its stop price is through already, or none is known")
    else:
        yield about.out(
            f"no stop price is known that is not through already, and no single row owns it; {PERSON}"
        )


def _owner(case: KeyCase) -> PositionRow | None:
    """The one open row that owns the position and is settled enough to be written."""
    if len(case.rows) != 1 or case.position is None:
        return None
    row = case.rows[0]
    return row if row.side is case.position.side and row.status in _CLOSABLE else None


def _prices(case: KeyCase) -> PositionRow | None:
    """The row whose stop price counts."""
    return suggested_survivor(case)[0] if case.rows else None


def protect(about: About, owner: PositionRow | None, trigger: Decimal) -> Line:
    """A stop at a price; the stops that it replaces go once it stands. Refused: a close, where a row owns the position."""
    case = about.case
    assert case.position is not None
    orders = [stop_order(case, trigger)]
    gone = replaced(case)
    fallback: tuple[Change, ...] = ()
    changes: list[Change] = []
    if owner is not None:
        orders.append(close_order(case, Given.STOP_REFUSED))
        fallback = ending(owner, Status.CLOSED, _CLOSED)
        changes = stopped(owner, trigger, NEW_STOP, about.options.columns)
        if owner.status == Status.PENDING_SL:
            changes.insert(0, Change("status", owner.status, Status.ACTIVE))
    orders += [cancel_order(order, Given.DONE) for order in gone]
    held = f"the venue holds {case.position.side} {plain(case.position.quantity)}"
    whose = "" if case.rows else ", and no open row owns it"
    return about.line(
        Action.PLACE_STOP,
        f"{held}{whose}; the stop covers all of it",
        row=owner,
        changes=changes,
        fallback=fallback,
        orders=orders,
        subject=about.finding.subject or "stop",
    )


def leave(about: About, owner: PositionRow | None, why: str, reason: str = _CLOSED) -> Line:
    """A reduce-only close of the whole position; the orders that it leaves behind go once it is flat."""
    case = about.case
    orders = [close_order(case), *(cancel_order(order, Given.DONE) for order in left_behind(case))]
    return about.line(
        Action.CLOSE_POSITION,
        why,
        row=owner,
        changes=ending(owner, Status.CLOSED, reason) if owner else (),
        orders=orders,
        subject=about.finding.subject or "close",
    )


def zombies(about: About) -> Iterator[Line | LeftOut]:
    """An order whose position is gone is cancelled."""
    case = about.case
    order = next((one for one in case.orders if one.order_id == about.finding.subject), None)
    if order is None or not case.gone or order.position_level:
        yield about.out("the order is no longer there, or its key could not be judged")
        return
    if flying := [row for row in case.rows if row.status in IN_FLIGHT]:
        yield about.out(f"row #{flying[0].id} is {flying[0].status}: its order is not settled yet")
        return
    yield about.line(
        Action.CANCEL_ORDERS,
        about.finding.evidence[-1] if about.finding.evidence else about.finding.title,
        orders=(cancel_order(order),),
        subject=order.order_id,
    )


def spare_stops(about: About) -> Iterator[Line | LeftOut]:
    """Of several stops that each cover the whole position one stays: the one that the row records, else the tightest."""
    case = about.case
    if case.position is None or case.market is None or case.protection is None:
        yield about.out(_MOVED)
        return
    whole: dict[OrderKind, list[Stop]] = defaultdict(list)
    for stop in case.protection.valid:
        if covers_whole(stop, case.position, case.market.lot_step):
            whole[stop.kind].append(stop)
    by_id = {order.order_id: order for order in case.orders}
    orders, kept = [], []
    for stops in whole.values():
        first, *rest = sorted(stops, key=lambda stop: _rank(stop, case, by_id))
        spare = [by_id[stop.order_id] for stop in rest if stop.order_id in by_id]
        if spare:
            kept.append(f"order {first.order_id or 'of the position itself'} at {plain(first.trigger)}")
            orders += [cancel_order(order) for order in spare if not order.position_level]
    if not orders:
        yield about.out("none of them is an order that could be cancelled alone")
        return
    yield about.line(
        Action.CANCEL_ORDERS,
        f"{' and '.join(kept)} stays and covers the whole position",
        orders=orders,
        subject="spare",
    )


def _rank(stop: Stop, case: KeyCase, by_id: dict[str, VenueOrder]) -> tuple[bool, bool, bool, Decimal, str]:
    assert case.position is not None
    order = by_id.get(stop.order_id)
    part = order is None or order.position_level
    ids = {row.stop_loss_order_id for row in case.rows}
    prices = {row.stop_loss_price for row in case.rows}
    trigger = stop.trigger or case.position.quantity * 0
    distance = -trigger if case.position.side is Side.LONG else trigger
    return not part, stop.order_id not in ids, stop.trigger not in prices, distance, stop.order_id


def external(about: About) -> Iterator[Line | LeftOut]:
    """A position that no open row owns is closed or adopted, as was asked."""
    case, choice = about.case, about.options.choice
    if case.position is None or case.rows:
        yield about.out(_MOVED)
    elif choice is None:
        yield about.out("whose it is, a person has to say: name --action close or --action adopt")
    elif choice is Choice.CLOSE:
        yield leave(about, None, "its closing was asked for by --action close")
    else:
        yield _adopted(about)


def _adopted(about: About) -> Line | LeftOut:
    case = about.case
    assert case.position is not None
    trigger, orders = None, []
    order_id: str | None = None
    if case.covered and case.protection is not None:
        stop = next((s for s in case.protection.valid if s.trigger is not None), None)
        trigger, order_id = (stop.trigger, stop.order_id or None) if stop else (None, None)
    else:
        trigger = stop_price(case, None, about.options.stop_distance)
        if trigger is None:
            return about.out(f"no stop price is known that is not through already; {PERSON}")
        orders = [stop_order(case, trigger), *(cancel_order(o, Given.DONE) for o in replaced(case))]
        order_id = NEW_STOP
    return about.line(
        Action.ADOPT,
        "its adoption was asked for by --action adopt: a new row owns it",
        changes=_birth(about, trigger, order_id),
        orders=orders,
        subject="adopt",
    )


def _birth(about: About, trigger: Decimal | None, order_id: str | None) -> list[Change]:
    """The columns of the new row, as far as the deployment has them."""
    case, key = about.case, about.case.key
    position = case.position
    assert position is not None
    entry = position.entry_price or position.mark_price
    since = position.updated_at.isoformat() if position.updated_at else NOW
    values: dict[str, str | None] = {
        "symbol": key.symbol,
        "exchange": key.exchange,
        "account": key.account,
        "position_side": None if key.position_side is PositionSide.BOTH else key.position_side.value,
        "side": position.side.value,
        "quantity": plain(position.quantity),
        "entry_price": None if entry is None else plain(entry),
        "status": Status.ACTIVE.value,
        "opened_at": since,
        "has_stop_loss": "true" if trigger is not None else None,
        "stop_loss_price": None if trigger is None else plain(trigger),
        "stop_loss_order_id": order_id,
        "origin": "manual",
    }
    return [
        Change(name, None, value)
        for name, value in values.items()
        if value is not None and name in about.options.columns
    ]
