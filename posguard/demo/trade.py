"""One attempt of the bot to hold a position: what it leaves in the bot's tables and on the venue. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from posguard.demo.markets import DemoMarket
from posguard.demo.records import (
    Execution,
    Holding,
    OrderRecord,
    PositionRecord,
    Stop,
    TrailingRecord,
    VenueSide,
)
from posguard.model.position import INTERMEDIATE

STOP_DISTANCE = Decimal("0.05")
ENTRY_AFTER = timedelta(milliseconds=500)
STOP_AFTER = timedelta(milliseconds=1100)
CLOSED_BEFORE = timedelta(milliseconds=300)  # the venue is flat this long before the row says so
_FEE = Decimal("0.0005")
_CENT = Decimal("0.00000001")
_PERCENT = Decimal("0.0001")
_NAMESPACE = uuid.UUID("6b1f3a52-4b6d-5c0e-9a77-1f2b8f0d7c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One row of monitoring.positions in the making; its id is given when all rows stand in order of time.

    name is set for planted rows. raw_symbol is how the bot spelled the symbol. entry_order, stop_order and close_order are
    the venue's ids, None where the bot recorded none; stop_price is None where it recorded no stop. told is False where the
    events of its opening are written elsewhere. overrides are columns of the row that spoil it on purpose.
    """

    market: DemoMarket
    side: str
    quantity: Decimal
    created_at: datetime
    entry_price: Decimal
    status: str | None = "active"
    name: str = ""
    raw_symbol: str = ""
    origin: str = "signal"
    entry_order: str | None = None
    stop_order: str | None = None
    close_order: str | None = None
    stop_price: Decimal | None = None
    whole_stop: bool = False
    trailing: bool = False
    closed_at: datetime | None = None
    exit_price: Decimal | None = None
    exit_reason: str | None = None
    error: str | None = None
    stop_after: timedelta = STOP_AFTER
    filled: Decimal | None = None  # of the entry, where that is not all of the quantity
    told: bool = True
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def buys(self) -> bool:
        """Whether the entry buys."""
        return self.side == "long"

    @property
    def symbol(self) -> str:
        """The symbol as it stands in the row."""
        return self.raw_symbol or self.market.symbol

    @property
    def sign(self) -> int:
        """1 for long, -1 for short."""
        return 1 if self.buys else -1

    @property
    def traded(self) -> bool:
        """Whether the entry was filled."""
        return self.entry_order is not None

    @property
    def profit(self) -> Decimal | None:
        """What the closing realised, in USDT before fees; None while open or where nothing traded."""
        if self.exit_price is None or not self.traded:
            return None
        return ((self.exit_price - self.entry_price) * self.quantity * self.sign).quantize(_CENT)


def stop_price(market: DemoMarket, side: str, entry: Decimal) -> Decimal:
    """Where the bot puts its stop-loss: five per cent on the losing side."""
    return market.rounded(entry * (1 - STOP_DISTANCE if side == "long" else 1 + STOP_DISTANCE))


@dataclass
class VenueIds:
    """Gives out the ids of orders and fills as the venues would: whole numbers that grow with time at Binance, UUIDs at Bybit.

    All lie below what the simulator gives out itself. `anchor` is the time whose order number is `first_order`.
    """

    anchor: datetime
    first_order: int = 53_190_368
    first_stop: int = 1_950_000_000
    first_fill: int = 770_000_000
    used: set[str] = field(default_factory=set)

    def order(self, exchange: str, at: datetime) -> str:
        """The id of a plain order sent at that time."""
        return self._next(exchange, "order", self.first_order, at)

    def stop(self, exchange: str, at: datetime) -> str:
        """The id of a conditional order sent at that time."""
        return self._next(exchange, "stop", self.first_stop, at)

    def fill(self, exchange: str, at: datetime) -> str:
        """The id of a fill."""
        return self._next(exchange, "fill", self.first_fill, at)

    def _next(self, exchange: str, kind: str, first: int, at: datetime) -> str:
        number = first + (at - self.anchor) // timedelta(milliseconds=1)
        while (made := self._spelled(exchange, kind, number)) in self.used:
            number += 1
        self.used.add(made)
        return made

    @staticmethod
    def _spelled(exchange: str, kind: str, number: int) -> str:
        return str(number) if exchange == "binance" else str(uuid.uuid5(_NAMESPACE, f"{kind}/{number}"))


def position_record(
    trade: Trade, row_id: int, *, price: Decimal | None, updated_at: datetime
) -> PositionRecord:
    """The row of monitoring.positions. price is the market's now, None for a row that ended."""
    shown = trade.exit_price if trade.closed_at else price
    gain = None
    if shown is not None and (trade.traded or not trade.closed_at):
        gain = ((shown - trade.entry_price) * trade.quantity * trade.sign).quantize(_CENT)
    percent = gain and (gain / (trade.entry_price * trade.quantity) * 100).quantize(_PERCENT)
    ended = trade.closed_at is not None
    record = PositionRecord(
        id=row_id,
        signal_id=None if trade.origin == "sync" else 40_000 + row_id,
        symbol=trade.symbol,
        exchange=trade.market.exchange,
        side=trade.side,
        quantity=trade.quantity,
        entry_price=trade.entry_price,
        status=trade.status,
        opened_at=trade.created_at,
        updated_at=trade.closed_at or (_left_alone(trade) if trade.status in INTERMEDIATE else updated_at),
        created_at=trade.created_at,
        closed_at=trade.closed_at,
        current_price=shown,
        stop_loss_price=trade.stop_price,
        stop_loss=trade.stop_price,
        unrealized_pnl=None if ended else gain,
        realized_pnl=gain if ended else None,
        pnl=gain if ended else None,
        pnl_percentage=percent if ended else None,
        fees=(trade.entry_price * trade.quantity * _FEE).quantize(_CENT) if trade.traded else None,
        exit_reason=trade.exit_reason,
        leverage=Decimal(10),
        trailing_activated=trade.exit_reason == "trailing_stop",
        error_details=f'{{"error": "{trade.error}"}}' if trade.error else None,
        retry_count=1 if trade.error else 0,
        last_error_at=trade.closed_at if trade.error else None,
        has_trailing_stop=trade.trailing,
        has_stop_loss=trade.stop_price is not None,
        exchange_order_id=trade.entry_order,
        trailing_activation_percent=Decimal("1.5") if trade.trailing else None,
        trailing_callback_percent=Decimal("0.5") if trade.trailing else None,
        signal_stop_loss_percent=STOP_DISTANCE * 100,
        spread_at_entry=Decimal("0.02"),
    )
    return replace(record, **dict(trade.overrides))


def _left_alone(trade: Trade) -> datetime:
    """When a row that got stuck was written last."""
    return trade.created_at + (ENTRY_AFTER if trade.traded else timedelta())


def order_records(trade: Trade, row_id: int) -> list[OrderRecord]:
    """The rows of monitoring.orders: entry, stop-loss, close."""
    made = []
    fired = trade.exit_reason == "stop_loss"
    if trade.entry_order:
        made.append(_order(trade, row_id, "entry", trade.entry_order, trade.entry_price))
    if trade.stop_order:
        made.append(_order(trade, row_id, "sl", trade.stop_order, trade.stop_price))
    if trade.close_order and not fired:
        made.append(_order(trade, row_id, "close", trade.close_order, trade.exit_price))
    return made


def _order(trade: Trade, row_id: int, role: str, order_id: str, price: Decimal | None) -> OrderRecord:
    buys = trade.buys if role == "entry" else not trade.buys
    ended = trade.closed_at - CLOSED_BEFORE if trade.closed_at else None
    status, sent = "filled", trade.created_at + ENTRY_AFTER
    if role == "sl":
        sent = trade.created_at + trade.stop_after
        status = "open" if ended is None else ("filled" if trade.exit_reason == "stop_loss" else "canceled")
    elif role == "close":
        sent = ended or sent
    filled = trade.filled or trade.quantity if status == "filled" else Decimal(0)
    return OrderRecord(
        position_id=str(row_id),
        exchange=trade.market.exchange,
        symbol=trade.symbol,
        order_id=order_id,
        client_order_id=f"bot-{row_id}-{role}",
        type="stop_market" if role == "sl" else "market",
        side="buy" if buys else "sell",
        size=trade.quantity,
        price=price,
        status=status,
        filled=filled,
        remaining=trade.quantity - filled,
        fee=(filled * price * _FEE).quantize(_CENT) if price is not None else None,
        fee_currency="USDT",
        created_at=sent,
        updated_at=max(sent, ended or sent) if role == "sl" else sent,
    )


def trailing_record(trade: Trade, row_id: int, *, price: Decimal, at: datetime) -> TrailingRecord:
    """The row of monitoring.trailing_stop_state of an open position: waiting for its activation price."""
    activation = trade.market.rounded(trade.entry_price * (1 + Decimal("0.015") * trade.sign))
    return TrailingRecord(
        symbol=trade.symbol,
        exchange=trade.market.exchange,
        position_id=row_id,
        state="inactive",
        is_activated=False,
        highest_price=max(price, trade.entry_price),
        lowest_price=min(price, trade.entry_price),
        current_stop_price=trade.stop_price,
        stop_order_id=trade.stop_order,
        activation_price=activation,
        activation_percent=Decimal("1.5"),
        callback_percent=Decimal("0.5"),
        entry_price=trade.entry_price,
        side=trade.side,
        quantity=trade.quantity,
        update_count=0,
        highest_profit_percent=Decimal(0),
        created_at=trade.created_at + timedelta(milliseconds=1450),
        activated_at=None,
        last_update_time=at,
        last_sl_update_time=None,
        last_updated_sl_price=None,
    )


def venue_side(trade: Trade, ids: VenueIds) -> VenueSide:
    """What an honest trade leaves on the venue: its fills, and while it is open its position and stop."""
    if not trade.traded:
        return VenueSide()
    executions = (opening_fill(trade, ids),)
    if trade.closed_at is not None:
        return VenueSide(executions=(*executions, closing_fill(trade, ids)))
    return VenueSide((holding_of(trade),), (stop_of(trade),), executions)


def opening_fill(trade: Trade, ids: VenueIds, quantity: Decimal | None = None) -> Execution:
    """The fill of the entry."""
    at = trade.created_at + ENTRY_AFTER
    return Execution(
        trade.market.exchange,
        trade.market.symbol,
        ids.fill(trade.market.exchange, at),
        trade.entry_order or ids.order(trade.market.exchange, at),
        trade.buys,
        quantity or trade.quantity,
        trade.entry_price,
        at,
    )


def closing_fill(
    trade: Trade,
    ids: VenueIds,
    *,
    at: datetime | None = None,
    kind: str = "trade",
    quantity: Decimal | None = None,
    price: Decimal | None = None,
) -> Execution:
    """The fill that closed the position: of its close order, of its stop where that fired, or forced by the venue."""
    if at is None:
        at = (trade.closed_at or trade.created_at) - CLOSED_BEFORE
    fired = trade.stop_order if trade.exit_reason == "stop_loss" else None
    exchange = trade.market.exchange
    # Bybit's stop trades under its own id, Binance's under the id of the plain order it becomes
    order_id = fired if fired and exchange == "bybit" else trade.close_order or ids.order(exchange, at)
    return Execution(
        exchange,
        trade.market.symbol,
        ids.fill(exchange, at),
        order_id,
        not trade.buys,
        quantity or trade.quantity,
        price or trade.exit_price or trade.entry_price,
        at,
        closes=True,
        kind=kind,
        stop_order_id=fired,
    )


def holding_of(trade: Trade, quantity: Decimal | None = None, *, flipped: bool = False) -> Holding:
    """The position on the venue, the row's quantity and side unless others are named."""
    sign = -trade.sign if flipped else trade.sign
    amount = (quantity or trade.quantity) * sign
    return Holding(
        trade.market.exchange,
        trade.market.symbol,
        amount,
        trade.entry_price,
        trade.created_at + ENTRY_AFTER,
    )


def stop_of(
    trade: Trade,
    *,
    order_id: str | None = None,
    quantity: Decimal | None = None,
    buys: bool | None = None,
    trigger: Decimal | None = None,
    whole: bool | None = None,
) -> Stop:
    """The live stop-loss of an open trade; what is named differs from the honest one."""
    selling = trade.buys if buys is None else not buys
    price = trigger or trade.stop_price or stop_price(trade.market, trade.side, trade.entry_price)
    chosen = order_id or trade.stop_order
    if chosen is None:
        raise ValueError(f"{trade.name or trade.symbol}: a stop on the venue needs an id")
    return Stop(
        trade.market.exchange,
        trade.market.symbol,
        chosen,
        not selling,
        quantity or trade.quantity,
        price,
        rising=not selling,
        created_at=trade.created_at + trade.stop_after,
        whole=trade.whole_stop if whole is None else whole,
    )
