"""What to do next with a filled row until its stop-loss stands, and with one whose stop stands. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from posguard.model.managed import client_id, intent_of
from posguard.model.money import differs
from posguard.model.order import OrderState, Outcome, Sight, Why
from posguard.model.position import Side, Status
from posguard.model.protection import Guard, protection_of
from posguard.model.transitions import Origin
from posguard.trading.exits import closing, position_in, proven_gone, wants_out
from posguard.trading.facts import Ask, Cancel, Leave, Move, Need, Order, Send, Wait
from posguard.trading.troubles import flagged

if TYPE_CHECKING:
    from datetime import datetime

    from posguard.model.managed import ManagedRow
    from posguard.model.order import OrderReply, SeenOrder
    from posguard.model.protection import Protection
    from posguard.model.venue import MarketRule, VenueOrder
    from posguard.trading.facts import Facts, Step

# Refusals that say nothing about the stop: another one would fare the same, and so would a close.
CANNOT_SEND = frozenset({Why.NEVER_SENT, Why.RATE, Why.CLOCK, Why.KEY})


def on_tick(price: Decimal, rule: MarketRule) -> Decimal:
    """The nearest price that the venue takes."""
    return (price / rule.tick_size).quantize(Decimal(1), ROUND_HALF_EVEN) * rule.tick_size


def stop_for(row: ManagedRow, facts: Facts) -> Decimal:
    """The stop's trigger: the price that was asked for, else the distance from the entry.

    A position that was adopted keeps clear of today's price: nobody asked for it to be closed at once.
    """
    percent = row.stop_percent or facts.settings.default_stop_percent
    if row.stop_percent is None and row.stop_loss_price is not None:
        price = row.stop_loss_price
    else:
        price = away(row.entry_price, percent, row.side, facts.rule)
    held = position_in(facts.snapshots[-1], row) if facts.snapshots else None
    if row.origin is Origin.SYNC and held is not None and held.mark_price is not None:
        through = price >= held.mark_price if row.side is Side.LONG else price <= held.mark_price
        return away(held.mark_price, percent, row.side, facts.rule) if through else price
    return price


def away(price: Decimal, percent: Decimal, side: Side, rule: MarketRule) -> Decimal:
    """A price on the losing side of another one, by a distance in percent of it."""
    distance = price * percent / 100
    found = price - distance if side is Side.LONG else price + distance
    return max(on_tick(found, rule), rule.tick_size)


def fixed_stop(
    row: ManagedRow, facts: Facts, why: str, *, again: bool = False, since: datetime | None = None
) -> Step:
    """Writes the next stop's client id down, which is what allows it to be sent.

    Not again and again while the kill switch is engaged: the row stays as it is.
    """
    if facts.engaged and row.status is Status.PENDING_SL:
        return flagged(row, f"{why}; the kill switch is engaged", settled=True)
    attempt = row.attempt + 1
    return Move(
        row.but(
            status=Status.PENDING_SL,
            attempt=attempt,
            stop_client_id=client_id(row.request_key, "s", attempt),
            stop_loss_price=stop_for(row, facts),
        ),
        why,
        unsent=True,
        again=again,
        since=since,
    )


def _ended_at(facts: Facts) -> datetime | None:
    """When the row's stop went, as the venue tells it; None where it does not."""
    order = facts.stop.order if facts.stop is not None else None
    return order.updated_at if order is not None and order.state is not OrderState.LIVE else None


def looked_gone(row: ManagedRow, facts: Facts) -> Step | None:
    """For a row that was found: whether its position still is there. None where it is, or nobody can tell.

    Where the venue cannot be read whole the stop is sent all the same: it can only reduce.
    """
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    if any(not look.complete or position_in(look, row) for look in facts.snapshots):
        return None
    return proven_gone(row, facts, "the venue shows no position any more")


def decide_stop(row: ManagedRow, facts: Facts) -> Step:
    """A row whose position is known and whose stop is not."""
    if facts.rivals:
        others = ", ".join(f"#{rival.id}" for rival in facts.rivals)
        return closing(row, f"rolled back: duplicate of {others}", "another row owns the key")
    if facts.rivals is not None and not facts.patient:
        return flagged(row, "its stop-loss stands, and an index of the table lets it not become active")
    if facts.unsent:
        if facts.engaged:
            return flagged(row, "the kill switch is engaged; the position has no stop-loss", settled=True)
        return Send(Order.STOP, row.quantity, row.stop_loss_price)
    if out := wants_out(row, facts):
        return out
    if facts.reply is not None and facts.reply.outcome is Outcome.REJECTED:
        return _refused(row, facts, facts.reply)
    if facts.reply is None and not facts.newborn and (gone := looked_gone(row, facts)):
        return gone
    if row.stop_client_id is None:
        return fixed_stop(row, facts, "about to send the stop-loss")
    if facts.stop is None:
        return Ask(Need.STOP)
    match facts.stop.sight:
        case Sight.FOUND if facts.stop.order is not None:
            return _seen_stop(row, facts, facts.stop.order)
        case Sight.ABSENT:
            return _absent_stop(row, facts)
        case _:
            return _unseen_stop(row, facts)


def _refused(row: ManagedRow, facts: Facts, reply: OrderReply) -> Step:
    why = f"the stop-loss was refused: {reply.reason or reply.why}"
    if reply.why is Why.REDUCE_ONLY and (gone := looked_gone(row, facts)):
        return gone
    if facts.tries < facts.settings.stop_tries:
        return fixed_stop(row, facts, why, again=True)
    if reply.why in CANNOT_SEND:
        return flagged(row, f"{why}; the position has no stop-loss", settled=True)
    if row.origin is Origin.SYNC:
        return flagged(row, f"{why}; the adopted position has no stop-loss", settled=True)
    # The refused order never was, so the row names none.
    return closing(row.but(stop_client_id=None), f"rolled back: {why}", why)


def _seen_stop(row: ManagedRow, facts: Facts, order: SeenOrder) -> Step:
    if order.state is OrderState.LIVE:
        return activated(row, order.order_id, order.trigger_price, "the stop-loss stands")
    if order.state in {OrderState.TRIGGERED, OrderState.FILLED}:
        return fired(row, facts)
    why = f"the stop-loss ended as {order.state}"
    if facts.tries < facts.settings.stop_tries:
        return fixed_stop(row, facts, why, again=True)
    if row.origin is Origin.SYNC:
        return flagged(row, f"{why}; the adopted position has no stop-loss", settled=True)
    return closing(row, f"rolled back: {why}", why)


def _absent_stop(row: ManagedRow, facts: Facts) -> Step:
    if facts.conclusive:
        return fixed_stop(row, facts, "the stop-loss never came to be", again=True)
    if facts.patient:
        return Wait()
    return flagged(row, "nobody knows whether the stop-loss stands")


def _unseen_stop(row: ManagedRow, facts: Facts) -> Step:
    reply = facts.reply
    if reply is not None and reply.outcome is Outcome.ACCEPTED:
        # The venue has it; only the look-up failed, and the synchroniser looks again.
        return activated(row, reply.order_id, row.stop_loss_price, "the stop-loss was accepted")
    return Wait() if facts.patient else flagged(row, "nobody knows whether the stop-loss stands")


def activated(row: ManagedRow, order_id: str | None, trigger: Decimal | None, why: str) -> Step:
    """Protected: safe activation follows."""
    return Move(
        row.but(
            status=Status.ACTIVE,
            stop_loss_order_id=order_id,
            stop_loss_price=trigger or row.stop_loss_price,
            needs_attention=False,
            attention_reason=None,
        ),
        why,
    )


def fired(row: ManagedRow, facts: Facts) -> Step:
    """The stop was triggered: flat is what two looks at the venue must show."""
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if look.complete and position_in(look, row) is None:
        return proven_gone(row, facts, "its stop-loss was triggered")
    if facts.patient:
        return Wait()
    return flagged(row, "its stop-loss was triggered and the position still stands")


def decide_active(row: ManagedRow, facts: Facts) -> Step:
    """A protected row: closed or moved where somebody wishes it, looked after where its owner died over it."""
    if out := wants_out(row, facts):
        return out
    if facts.wish and facts.wish.verify and not facts.unsent:
        return verified(row, facts)
    if facts.unsent:
        if facts.engaged:
            return _old_stop(row, facts, "the kill switch is engaged; the stop-loss stays where it was")
        return Send(Order.STOP, row.quantity, facts.wish.trigger if facts.wish else None)
    wish = facts.wish.trigger if facts.wish else None
    if wish is not None and facts.reply is None and facts.tries == 0:
        attempt = row.attempt + 1
        moving = row.but(attempt=attempt, stop_client_id=client_id(row.request_key, "s", attempt))
        return Move(moving, f"about to send a stop-loss at {wish}", unsent=True)
    if facts.reply is not None and facts.reply.outcome is Outcome.REJECTED:
        return _old_stop(row, facts, f"the stop-loss at {wish} was refused: {facts.reply.reason}")
    if row.stop_client_id is None:
        return Leave(settled=True)
    if facts.stop is None:
        return Ask(Need.STOP)
    order = facts.stop.order
    if facts.stop.sight is Sight.UNKNOWN or (facts.stop.sight is Sight.ABSENT and not facts.conclusive):
        return Wait() if facts.patient else flagged(row, "nobody knows whether the moved stop-loss stands")
    if facts.stop.sight is Sight.ABSENT or order is None:
        return _old_stop(row, facts, "the new stop-loss never came to be")
    if order.state is OrderState.LIVE:
        return _one_stop(row, facts, order)
    if order.state in {OrderState.TRIGGERED, OrderState.FILLED}:
        return fired(row, facts)
    return _old_stop(row, facts, f"the new stop-loss ended as {order.state}")


def verified(row: ManagedRow, facts: Facts) -> Step:
    """An active row beside what the venue holds: its quantity follows the venue's, and an uncovered position gets a stop."""
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if not look.complete:
        return Leave(settled=True)
    held = position_in(look, row)
    if held is None:
        if any((p.symbol, p.position_side) == (row.symbol, row.position_side) for p in look.positions):
            return flagged(row, "the venue holds the other side of it", settled=True)
        return proven_gone(row, facts, "the venue shows no position any more")
    orders = [o for o in look.orders if (o.symbol, o.position_side) == (row.symbol, row.position_side)]
    guard = protection_of(held, orders, facts.rule.lot_step)
    if guard.guard is Guard.UNPRICED:
        return Leave(settled=True)
    now = row.but(quantity=held.quantity)
    if not guard.covers:
        if row.stop_client_id is not None and facts.stop is None:
            return Ask(Need.STOP)
        why = f"the venue holds {held.quantity} and {guard.guard} of a stop-loss"
        return fixed_stop(now, facts, why, since=_ended_at(facts))
    return _covered(row, now, facts, orders, guard)


def _covered(
    row: ManagedRow, now: ManagedRow, facts: Facts, orders: list[VenueOrder], guard: Protection
) -> Step:
    """A protected row: it names a stop that stands, and of its own stops one stands."""
    valid = {stop.order_id: stop for stop in guard.valid}
    if row.stop_loss_order_id not in valid:
        stop = guard.valid[0]
        named = next((o.client_order_id for o in orders if o.order_id == stop.order_id), None)
        mine = named if named is not None and named.startswith(intent_of(row.request_key)) else None
        return activated(
            now.but(stop_client_id=mine), stop.order_id, stop.trigger, "another stop-loss stands"
        )
    if differs(row.quantity, now.quantity, step=facts.rule.lot_step):
        return activated(now, row.stop_loss_order_id, None, f"the venue holds {now.quantity}")
    stale = [o for o in orders if _is_stale(o, row)]
    if stale and not facts.canceled and _holds_without(guard, stale[0].order_id, now.quantity):
        return Cancel(conditional=True, order_id=stale[0].order_id)
    return Leave(settled=True)


def _is_stale(order: VenueOrder, row: ManagedRow) -> bool:
    """Whether an order is a stop of the row's that the row does not name any more."""
    named = order.client_order_id or ""
    return named.startswith(f"{intent_of(row.request_key)}-s") and order.order_id != row.stop_loss_order_id


def _holds_without(guard: Protection, order_id: str, quantity: Decimal) -> bool:
    rest = [stop for stop in guard.valid if stop.order_id != order_id]
    return any(stop.quantity is None or stop.quantity >= quantity for stop in rest)


def _one_stop(row: ManagedRow, facts: Facts, order: SeenOrder) -> Step:
    """The new stop stands: the old one may go."""
    if row.stop_loss_order_id in {None, order.order_id}:
        if row.stop_loss_order_id is None or row.stop_loss_price != order.trigger_price:
            return activated(row, order.order_id, order.trigger_price, "the stop-loss stands")
        return Leave(settled=True)
    if not facts.canceled:
        return Cancel(conditional=True, order_id=row.stop_loss_order_id or "")
    return activated(row, order.order_id, order.trigger_price, "the stop-loss was moved")


def _old_stop(row: ManagedRow, facts: Facts, why: str) -> Step:
    """The new stop does not stand: the row names the old one again where that lives, else the position needs another."""
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if not look.complete:
        return Wait() if facts.patient else flagged(row, f"{why}; the venue cannot be read")
    old = next((order for order in look.orders if order.order_id == row.stop_loss_order_id), None)
    if old is not None:
        return activated(row.but(stop_client_id=old.client_order_id), old.order_id, old.trigger_price, why)
    if position_in(look, row) is None:
        return proven_gone(row, facts, "the venue shows no position any more")
    return Move(row.but(status=Status.PENDING_SL, stop_loss_order_id=None), f"{why}; no stop-loss stands")
