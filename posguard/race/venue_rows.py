"""What stands in the simulator's book, in the words of a trading gateway, and the other way round. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from posguard.exchange.intents import OrderIntent
from posguard.model.order import OrderReply, OrderState, Outcome, SeenOrder, Why
from posguard.model.position import PositionSide
from posguard.model.venue import Fill, FillKind, OrderKind, VenueId, VenueOrder
from posguard.simulator.records import Account, Intent, Order, Reason, Refused, Status

_WHY: dict[Reason, Why] = {
    Reason.NO_FUNDS: Why.FUNDS,
    Reason.REDUCE_ONLY: Why.REDUCE_ONLY,
    Reason.NO_POSITION: Why.REDUCE_ONLY,
    Reason.WOULD_TRIGGER: Why.WOULD_TRIGGER,
    Reason.NOT_FOUND: Why.NOT_FOUND,
}
_STATE: dict[Status, OrderState] = {
    Status.NEW: OrderState.LIVE,
    Status.PARTIAL: OrderState.LIVE,
    Status.UNTRIGGERED: OrderState.LIVE,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.REJECTED: OrderState.REJECTED,
    Status.TRIGGERED: OrderState.TRIGGERED,
}
_FILL_KIND = {"liquidation": FillKind.LIQUIDATION, "adl": FillKind.DELEVERAGING}


def venue_name(venue: VenueId) -> Any:
    """The simulator's name of the exchange, which is the same word."""
    return venue.exchange


def intent_of(symbol: str, intent: OrderIntent, account: Account) -> Intent:
    """What the book is asked, for what the gateway was."""
    rising = None if intent.trigger is None else intent.buys
    hedged = account.hedged and intent.position_side is not PositionSide.BOTH
    return Intent(
        symbol=symbol,
        side="buy" if intent.buys else "sell",
        kind="market",
        qty=intent.quantity,
        client_id=intent.client_order_id,
        position_side=intent.position_side.value,
        tif="IOC",
        reduce_only=intent.reduce_only and not hedged,
        trigger=intent.trigger,
        rising=rising,
        purpose="stop_loss" if intent.trigger is not None else "",
    )


def refusal(refused: Refused, client_order_id: str) -> OrderReply:
    """The gateway's reply for what the book refused."""
    outcome, why = Outcome.REJECTED, _WHY.get(refused.reason, Why.MALFORMED)
    if refused.reason is Reason.DUPLICATE_ID:
        outcome, why = Outcome.EXISTS, Why.DUPLICATE
    return OrderReply(outcome, client_order_id, why=why, code=str(refused.reason), reason=str(refused))


def time_of(milliseconds: int) -> datetime:
    """A time of the book, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _kind(order: Order) -> OrderKind:
    if not order.conditional:
        return OrderKind.MARKET if order.kind == "market" else OrderKind.LIMIT
    return OrderKind.TAKE_PROFIT if order.purpose == "take_profit" else OrderKind.STOP


def order_of(order: Order) -> VenueOrder:
    """A live order as a snapshot has it."""
    closing = order.close_position
    return VenueOrder(
        order_id=order.id,
        client_order_id=order.client_id or None,
        symbol=order.symbol,
        position_side=PositionSide(order.position_side),
        buys=order.side == "buy",
        kind=_kind(order),
        quantity=None if closing else order.remaining,
        price=order.price or None,
        trigger_price=order.trigger,
        reduce_only=order.reduce_only,
        close_position=closing,
        created_at=time_of(order.created_ms),
        position_level=order.whole,
    )


def seen_of(order: Order, child: Order | None) -> SeenOrder:
    """An order, live or done, with what `child`, the order it became, has traded."""
    traded = child or order
    return SeenOrder(
        order_id=order.id,
        client_order_id=order.client_id or None,
        symbol=order.symbol,
        position_side=PositionSide(order.position_side),
        buys=order.side == "buy",
        kind=_kind(order),
        state=_STATE[order.status],
        quantity=None if order.close_position else order.qty,
        filled=traded.filled,
        average_price=traded.average or None,
        trigger_price=order.trigger,
        reduce_only=order.reduce_only,
        updated_at=time_of(order.updated_ms),
        became=order.child_id or None,
        created_at=time_of(order.created_ms),
    )


def fill_of(fill: Any) -> Fill:
    """A fill as a history has it."""
    kind = FillKind.STOP if fill.purpose == "stop_loss" else _FILL_KIND.get(fill.kind, FillKind.TRADE)
    return Fill(
        trade_id=fill.id,
        order_id=fill.order_id,
        client_order_id=fill.client_id or None,
        symbol=fill.symbol,
        position_side=PositionSide(fill.position_side),
        buys=fill.side == "buy",
        quantity=fill.qty,
        price=fill.price,
        kind=kind,
        at=time_of(fill.time_ms),
    )
