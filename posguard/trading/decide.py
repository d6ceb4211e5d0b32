"""What to do next with a row, out of the row and what is known. Pure.

Invariants. An entry is sent only while the row is `submitting` and by the owner that moved it there, so once. A row becomes
`failed` only where its entry was certainly never executed. A position that is or may be there is never called flat: what
cannot be settled becomes `unresolved` or is flagged, with an alert. An order's client id is fixed in the row before the order
goes out. A stop is cancelled only where the position is proven flat or is covered without it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from posguard.model.managed import AlertKind
from posguard.model.order import OrderState, Outcome, Sight
from posguard.model.position import Side, Status
from posguard.trading.exits import decide_exit, wants_out
from posguard.trading.facts import Ask, Cancel, Leave, Move, Need, Order, Send, Wait
from posguard.trading.stops import decide_active, decide_stop, fixed_stop, looked_gone, stop_for
from posguard.trading.troubles import alert, failed, flagged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.managed import ManagedRow
    from posguard.model.order import SeenOrder
    from posguard.model.venue import Fill, VenuePosition
    from posguard.trading.facts import Facts, Step


def decide(row: ManagedRow, facts: Facts) -> Step:
    """The next step for a row that its owner holds by lease."""
    if row.ended:
        return Leave(settled=True)
    match row.status:
        case Status.PENDING_ENTRY:
            return _unsent_row(row, facts)
        case Status.SUBMITTING:
            return _entry(row, facts)
        case Status.ENTRY_PLACED:
            return _filled(row, facts)
        case Status.PENDING_SL:
            return decide_stop(row, facts)
        case Status.ACTIVE:
            return decide_active(row, facts)
        case Status.CLOSING:
            return decide_exit(row, facts)
        case Status.UNRESOLVED:
            return decide_exit(row, facts) if row.exit_reason else _entry(row, facts)
        case Status.CLOSED | Status.FAILED | Status.ROLLED_BACK | Status.CANCELED:  # pragma: no cover - ended
            return Leave(settled=True)
        case _:
            assert_never(row.status)


def _unsent_row(row: ManagedRow, facts: Facts) -> Step:
    """Nothing is sent before `submitting`; a row that is found here was left by its owner and is not sent any more."""
    submitting = row.but(status=Status.SUBMITTING)
    if facts.newborn:
        if facts.wish:
            return failed(row, f"never sent: {facts.wish.exit_reason}")
        return Move(submitting, "about to send the entry", unsent=True)
    if facts.entry is None:
        return Ask(Need.ENTRY)
    match facts.entry.sight:
        case Sight.ABSENT:
            return failed(row, "its owner went away before the entry was sent")
        case Sight.FOUND:  # a database that was set back in time: the order knows better
            return Move(submitting, "the venue has its entry order", keeps=True)
        case Sight.UNKNOWN:
            return Wait() if facts.patient else flagged(row, f"no look-up answers: {facts.entry.reason}")
        case _:
            assert_never(facts.entry.sight)


def _entry(row: ManagedRow, facts: Facts) -> Step:
    if facts.unsent and row.status is Status.SUBMITTING:
        if facts.engaged:
            return failed(row, "the kill switch is engaged; the entry was never sent")
        return Send(Order.ENTRY, row.quantity)
    reply = facts.reply
    if reply is not None and reply.outcome is Outcome.REJECTED:
        return failed(row, f"the entry was refused: {reply.reason or reply.why}")
    if reply is not None and reply.outcome is Outcome.UNKNOWN and row.status is Status.SUBMITTING:
        return _unresolved(row, f"nobody knows what became of the entry: {reply.reason}")
    if facts.entry is None:
        return Ask(Need.ENTRY)
    match facts.entry.sight:
        case Sight.FOUND if facts.entry.order is not None:
            return _found(row, facts, facts.entry.order)
        case Sight.ABSENT:
            return _absent(row, facts)
        case _:
            return Wait() if facts.patient else _give_up(row, f"no look-up answers: {facts.entry.reason}")


def _found(row: ManagedRow, facts: Facts, order: SeenOrder) -> Step:
    if order.state in {OrderState.LIVE, OrderState.TRIGGERED}:
        if not facts.patient:
            return _give_up(row, f"the entry order {order.order_id} neither fills nor ends")
        if facts.overdue and not facts.canceled:
            return Cancel(conditional=False, client_order_id=row.entry_client_id or "")
        return Wait()
    if order.filled <= 0:
        return failed(row, f"the entry ended as {order.state} without a fill")
    price = order.average_price or row.entry_price
    filled = row.but(
        status=Status.ENTRY_PLACED,
        quantity=order.filled,
        entry_price=price,
        exchange_order_id=order.order_id,
        needs_attention=False,
        attention_reason=None,
    )
    part = "" if order.filled == row.quantity else f" of {row.quantity}"
    filled = filled.but(stop_loss_price=stop_for(filled, facts))
    # An order that rested was filled sooner than it last changed.
    since = order.created_at or order.updated_at
    return Move(filled, f"filled {order.filled}{part} at {price}", since=since)


def _absent(row: ManagedRow, facts: Facts) -> Step:
    """ORD-4: not found for T, then neither in the fills nor in the position."""
    if not facts.conclusive:
        return Wait() if facts.patient else _give_up(row, "the venue does not show the entry order")
    if facts.reply is not None and facts.reply.outcome in {Outcome.ACCEPTED, Outcome.EXISTS}:
        return _give_up(row, "the venue took the entry order and does not show it")
    if facts.fills is None:
        return Ask(Need.FILLS)
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if not (facts.fills.complete and look.complete):
        why = "; ".join((*facts.fills.reasons, *look.reasons))
        return Wait() if facts.patient else _give_up(row, f"the venue cannot be read: {why}")
    buys = row.side is Side.LONG
    mine = [
        fill
        for fill in facts.fills.fills
        if fill.buys is buys
        and fill.position_side is row.position_side
        # One that is known to be another order's is the attempt's before, or a hand's; what is nobody's may be this one's.
        and fill.client_order_id in {None, row.entry_client_id}
        and fill.order_id not in facts.others
    ]
    if not mine:
        return failed(row, "the venue knows neither order nor fill of it")
    held = next(
        (p for p in look.positions if (p.symbol, p.position_side) == (row.symbol, row.position_side)), None
    )
    if held is None or held.side is not row.side:
        return _give_up(row, f"the venue filled {mine[0].quantity} and shows no position")
    return _by_position(row, facts, held, mine)


def _by_position(row: ManagedRow, facts: Facts, held: VenuePosition, mine: Sequence[Fill]) -> Step:
    quantity = min(row.quantity, held.quantity, sum((fill.quantity for fill in mine), start=Decimal(0)))
    orders = {fill.order_id for fill in mine}
    filled = row.but(
        status=Status.ENTRY_PLACED,
        quantity=quantity,
        entry_price=held.entry_price or row.entry_price,
        exchange_order_id=orders.pop() if len(orders) == 1 else None,
        needs_attention=False,
        attention_reason=None,
    )
    filled = filled.but(stop_loss_price=stop_for(filled, facts))
    since = min(fill.at for fill in mine)
    return Move(filled, f"fills and position of the venue show {quantity}", since=since)


def _unresolved(row: ManagedRow, why: str) -> Step:
    return Move(
        row.but(status=Status.UNRESOLVED),
        why,
        alert(
            row,
            AlertKind.ENTRY_UNKNOWN,
            f"{row.key}: {why}. Row #{row.id} blocks its key until it is settled.",
        ),
        keeps=True,
    )


def _give_up(row: ManagedRow, why: str) -> Step:
    """Nothing is assumed: the row blocks its key, a person is told, and the next recovery asks again."""
    if row.status is Status.SUBMITTING:
        return _unresolved(row, why)
    return flagged(row, why)


def _filled(row: ManagedRow, facts: Facts) -> Step:
    if out := wants_out(row, facts):
        return out
    if not facts.newborn and (gone := looked_gone(row, facts)):
        return gone
    return fixed_stop(row, facts, "about to send the stop-loss")
