"""What to do next with a row whose position is to be closed, or is gone already. Pure.

Never more than the row's own fill is closed, and nothing of what another row owns. A row is terminal only where a closing
fill, a fired stop or the venue's own refusal to reduce, together with a complete look, show that its share is gone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from posguard.model.managed import OURS, ROLLED_BACK, AlertKind, intent_of
from posguard.model.order import OrderState, Outcome, Sight, Why
from posguard.model.position import Side, Status
from posguard.model.protection import protection_of
from posguard.trading.facts import Ask, Cancel, Move, Need, Order, Send, Wait
from posguard.trading.troubles import alert, flagged

if TYPE_CHECKING:
    from datetime import datetime

    from posguard.model.managed import ManagedRow
    from posguard.model.order import Lookup, OrderReply
    from posguard.model.venue import Fill, VenuePosition, VenueSnapshot
    from posguard.trading.facts import Facts, Step

LOOKS = 2  # complete ones that must show the same, where nothing else proves that a position is gone


def position_in(look: VenueSnapshot, row: ManagedRow) -> VenuePosition | None:
    """The venue's position of the row's key on the row's side; None in a complete look means that there is none."""
    for held in look.positions:
        if (held.symbol, held.position_side, held.side) == (row.symbol, row.position_side, row.side):
            return held
    return None


def wants_out(row: ManagedRow, facts: Facts) -> Step | None:
    """The step into closing, where the caller wishes the position closed."""
    if facts.wish is None or facts.wish.exit_reason is None:
        return None
    reason = facts.wish.exit_reason
    return closing(row, reason, reason)


def closing(row: ManagedRow, exit_reason: str, why: str) -> Step:
    """Writes down that the position is to be closed, by which order and why."""
    return Move(
        row.but(status=Status.CLOSING, attempt=row.attempt + 1, exit_reason=exit_reason),
        why,
        unsent=True,
        rest=row.quantity,
    )


def decide_exit(row: ManagedRow, facts: Facts) -> Step:
    """A row that is closing, or whose close nobody knows the outcome of."""
    if facts.rivals is None:
        return Ask(Need.RIVALS)
    if facts.unsent and facts.rest is not None and row.status is Status.CLOSING:
        return _send(row, facts, facts.rest)
    reply = facts.reply
    if reply is not None and reply.outcome is Outcome.UNKNOWN and row.status is Status.CLOSING:
        why = f"nobody knows what became of the close: {reply.reason}"
        text = f"{row.key}: {why}. Row #{row.id} blocks its key until it is settled."
        return Move(
            row.but(status=Status.UNRESOLVED), why, alert(row, AlertKind.CLOSE_UNKNOWN, text), keeps=True
        )
    if reply is not None and reply.outcome is Outcome.REJECTED:
        return _refused(row, facts, reply)
    if facts.closes is None:
        return Ask(Need.CLOSES)
    if row.stop_client_id is not None and facts.stop is None:
        return Ask(Need.STOP)
    return _count(row, facts, facts.closes)


def _send(row: ManagedRow, facts: Facts, rest: Decimal) -> Step:
    if facts.engaged:
        return flagged(row, "the kill switch is engaged; the position is not closed", settled=True)
    if not facts.rivals:
        return Send(Order.CLOSE, rest)
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if not look.complete:
        return flagged(row, "another row owns the key and the venue cannot be read; nothing is closed")
    held = position_in(look, row)
    theirs = sum((rival.quantity or Decimal(0) for rival in facts.rivals), Decimal(0))
    free = min(rest, (held.quantity if held else Decimal(0)) - theirs)
    if free >= facts.rule.lot_step:
        return Send(Order.CLOSE, free)
    return _end(row, facts, f"nothing of the venue's position is left for row #{row.id}")


def _refused(row: ManagedRow, facts: Facts, reply: OrderReply) -> Step:
    why = f"the close was refused: {reply.reason or reply.why}"
    if reply.why is Why.REDUCE_ONLY:
        looks = facts.snapshots
        if len(looks) < LOOKS and all(look.complete and position_in(look, row) is None for look in looks):
            return Ask(Need.SNAPSHOT)
        if all(look.complete and position_in(look, row) is None for look in looks):
            return _end(row, facts, "there was nothing left to close")
    if facts.tries < facts.settings.close_tries:
        return again(row, facts, why)
    return flagged(row, f"{why}; the position still stands", settled=True)


def again(row: ManagedRow, facts: Facts, why: str) -> Step:
    """One more closing order, for what is left; none, and no change of the row, while the kill switch is engaged."""
    if facts.engaged:
        return flagged(row, f"{why}; the kill switch is engaged", settled=True)
    following = row.but(status=Status.CLOSING, attempt=row.attempt + 1)
    return Move(following, why, unsent=True, again=True, rest=left(row, facts))


def left(row: ManagedRow, facts: Facts) -> Decimal:
    """What the row's closing orders and its stop have not closed yet."""
    whole = row.quantity if facts.rest is None else facts.rest
    return whole - sum((_filled(look) for look in facts.closes or ()), Decimal(0))


def _filled(look: Lookup) -> Decimal:
    return look.order.filled if look.order is not None else Decimal(0)


def _count(row: ManagedRow, facts: Facts, closes: tuple[Lookup, ...]) -> Step:
    unknown = next((look for look in closes if look.sight is Sight.UNKNOWN), None)
    if unknown is not None:
        return Wait() if facts.patient else _give_up(row, f"no look-up answers: {unknown.reason}")
    live = [look.order for look in closes if look.order is not None and look.order.state is OrderState.LIVE]
    if live:
        if not facts.patient:
            return _give_up(row, f"the closing order {live[0].order_id} neither fills nor ends")
        if facts.overdue and not facts.canceled:
            return Cancel(conditional=False, client_order_id=live[0].client_order_id or "")
        return Wait()
    stop = _filled(facts.stop) if facts.stop is not None else Decimal(0)
    rest = left(row, facts)
    if rest - stop < facts.rule.lot_step:
        return _end(row, facts, row.exit_reason or "closed")
    if not facts.conclusive and not any(look.sight is Sight.FOUND for look in closes[-1:]):
        return Wait() if facts.patient else _give_up(row, "the venue does not show the closing order")
    if not facts.snapshots or (len(facts.snapshots) < LOOKS and _shows_none(row, facts)):
        return Ask(Need.SNAPSHOT)
    if _shows_none(row, facts):
        return proven_gone(row, facts, row.exit_reason or "closed")
    if facts.tries < facts.settings.close_tries:
        return again(row, facts, f"{rest - stop} is left to close")
    return _give_up(row, f"{rest - stop} is left to close")


def _shows_none(row: ManagedRow, facts: Facts) -> bool:
    return all(look.complete and position_in(look, row) is None for look in facts.snapshots)


def _give_up(row: ManagedRow, why: str) -> Step:
    if row.status is Status.CLOSING:
        text = f"{row.key}: {why}. Row #{row.id} blocks its key until it is settled."
        return Move(
            row.but(status=Status.UNRESOLVED), why, alert(row, AlertKind.CLOSE_UNKNOWN, text), keeps=True
        )
    return flagged(row, why)


def proven_gone(row: ManagedRow, facts: Facts, why: str) -> Step:
    """A position that the venue does not show: two complete looks, and a closing fill or a fired stop as evidence."""
    if len(facts.snapshots) < LOOKS:
        return Ask(Need.SNAPSHOT)
    if row.stop_client_id is not None and facts.stop is None:
        return Ask(Need.STOP)
    by_stop = _filled(facts.stop) if facts.stop is not None else Decimal(0)
    if row.quantity - by_stop < facts.rule.lot_step:
        return _end(row, facts, "stop_loss" if row.exit_reason is None else why)
    if facts.fills is None:
        return Ask(Need.FILLS)
    if (
        facts.fills.complete
        and row.quantity - _closed(row, facts.fills.fills, facts.others) < facts.rule.lot_step
    ):
        return _end(row, facts, row.exit_reason or "closed on the venue")
    return flagged(row, "the venue shows no position, and no fill or stop explains it")


def _closed(row: ManagedRow, fills: tuple[Fill, ...], others: frozenset[str]) -> Decimal:
    """What was closed since the row's own entry, by whoever.

    The history begins a little before the row: an earlier position of the key may have been closed in it. The row's entry, where
    the history has it, tells the two apart by the venue's own clock; without one, an order of another request counts for nothing.
    """
    against = row.side is Side.SHORT
    mine = [fill for fill in fills if fill.order_id == row.exchange_order_id]
    entered = min(mine, key=_sequence, default=None)
    return sum(
        (
            fill.quantity
            for fill in fills
            if fill.buys is against
            and fill.position_side is row.position_side
            and (_follows(row, entered, fill) if entered is not None else not _of_another(row, fill, others))
        ),
        Decimal(0),
    )


def _sequence(fill: Fill) -> tuple[datetime, int]:
    return fill.at, int(fill.trade_id) if fill.trade_id.isdecimal() else 0


def _follows(row: ManagedRow, entered: Fill, fill: Fill) -> bool:
    """Whether a fill came after the row's first one. In one millisecond numbered trades tell, else the order's name, else nobody."""
    if fill.at != entered.at or (fill.trade_id.isdecimal() and entered.trade_id.isdecimal()):
        return _sequence(fill) > _sequence(entered)
    return (fill.client_order_id or "").startswith(intent_of(row.request_key))


def _of_another(row: ManagedRow, fill: Fill, others: frozenset[str]) -> bool:
    name = fill.client_order_id or ""
    return fill.order_id in others or (
        name.startswith(OURS) and not name.startswith(intent_of(row.request_key))
    )


def _end(row: ManagedRow, facts: Facts, why: str) -> Step:
    """Terminal: after a complete look, and after the row's own stop is gone where nothing is left for it."""
    if not facts.snapshots:
        return Ask(Need.SNAPSHOT)
    look = facts.snapshots[-1]
    if not look.complete:
        return Wait() if facts.patient else _give_up(row, "the venue cannot be read, so flat is not proven")
    stop = facts.stop
    if row.stop_client_id is not None:
        if stop is None:
            return Ask(Need.STOP)
        if stop.sight is Sight.UNKNOWN or (stop.sight is Sight.ABSENT and not facts.conclusive):
            return Wait() if facts.patient else _give_up(row, "nobody knows whether the stop-loss stands")
        if stop.order is not None and stop.order.state is OrderState.LIVE and _may_go(row, facts, look):
            if facts.engaged:
                return flagged(row, "the kill switch is engaged; its stop-loss still stands", settled=True)
            if not facts.canceled:
                return Cancel(conditional=True, client_order_id=row.stop_client_id)
            return Wait() if facts.patient else _give_up(row, "the stop-loss cannot be cancelled")
    rolled = (row.exit_reason or "").startswith(ROLLED_BACK)
    status = Status.ROLLED_BACK if rolled else Status.CLOSED
    reason = row.exit_reason or why
    ended = row.but(status=status, exit_reason=reason, needs_attention=False, attention_reason=None)
    return Move(ended, why)


def _may_go(row: ManagedRow, facts: Facts, look: VenueSnapshot) -> bool:
    """Whether the row's stop protects nothing any more: flat, or what stands there has stops of its own."""
    held = position_in(look, row)
    if held is None:
        return True
    leg = (row.symbol, row.position_side)
    others = [
        order
        for order in look.orders
        if (order.symbol, order.position_side) == leg and order.client_order_id != row.stop_client_id
    ]
    guard = protection_of(held, others, facts.rule.lot_step)
    return guard.covers and held.quantity - guard.covered < facts.rule.lot_step
