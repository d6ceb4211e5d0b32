"""What the demo world consists of: rows of the bot's tables and what the venues hold, as plain records.

Field names of the rows are the columns'. Quantities are in base units, prices and money in USDT, times aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """A row of monitoring.positions."""

    id: int
    signal_id: int | None
    symbol: str
    exchange: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    status: str | None
    opened_at: datetime
    updated_at: datetime
    created_at: datetime
    closed_at: datetime | None = None
    current_price: Decimal | None = None
    stop_loss_price: Decimal | None = None
    stop_loss: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    realized_pnl: Decimal | None = None
    pnl: Decimal | None = None
    pnl_percentage: Decimal | None = None
    fees: Decimal | None = None
    exit_reason: str | None = None
    leverage: Decimal | None = None
    trailing_activated: bool = False
    error_details: str | None = None
    retry_count: int = 0
    last_error_at: datetime | None = None
    has_trailing_stop: bool = False
    has_stop_loss: bool = False
    exchange_order_id: str | None = None
    trailing_activation_percent: Decimal | None = None
    trailing_callback_percent: Decimal | None = None
    signal_stop_loss_percent: Decimal | None = None
    spread_at_entry: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A row of monitoring.orders."""

    position_id: str
    exchange: str
    symbol: str
    order_id: str
    client_order_id: str | None
    type: str
    side: str
    size: Decimal
    price: Decimal | None
    status: str
    filled: Decimal
    remaining: Decimal
    fee: Decimal | None
    fee_currency: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A row of monitoring.events; event_data is JSON text."""

    event_type: str
    event_data: str
    created_at: datetime
    correlation_id: str | None = None
    position_id: int | None = None
    order_id: str | None = None
    symbol: str | None = None
    exchange: str | None = None
    severity: str = "INFO"
    error_message: str | None = None
    stack_trace: str | None = None


@dataclass(frozen=True, slots=True)
class TrailingRecord:
    """A row of monitoring.trailing_stop_state."""

    symbol: str
    exchange: str
    position_id: int
    state: str
    is_activated: bool
    highest_price: Decimal
    lowest_price: Decimal
    current_stop_price: Decimal | None
    stop_order_id: str | None
    activation_price: Decimal
    activation_percent: Decimal
    callback_percent: Decimal
    entry_price: Decimal
    side: str
    quantity: Decimal
    update_count: int
    highest_profit_percent: Decimal
    created_at: datetime
    activated_at: datetime | None
    last_update_time: datetime
    last_sl_update_time: datetime | None
    last_updated_sl_price: Decimal | None


def columns(record: type) -> tuple[str, ...]:
    """The column names of a record, in the order of `values`."""
    return tuple(field.name for field in fields(record))


def values(record: Any) -> tuple[Any, ...]:
    """A record as COPY takes it."""
    return tuple(getattr(record, name) for name in columns(type(record)))


@dataclass(frozen=True, slots=True)
class Holding:
    """A position on a venue in one-way mode: signed amount (negative is short); position_stop is Bybit's stop on the position."""

    exchange: str
    symbol: str
    amount: Decimal
    entry: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """A live conditional order that only reduces. `whole` is a stop on the position itself (Bybit)."""

    exchange: str
    symbol: str
    order_id: str
    buys: bool
    quantity: Decimal
    trigger: Decimal
    rising: bool
    created_at: datetime
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill of the venue's history. kind is trade, liquidation or adl; stop_order_id names the stop that fired."""

    exchange: str
    symbol: str
    trade_id: str
    order_id: str
    buys: bool
    quantity: Decimal
    price: Decimal
    at: datetime
    closes: bool = False
    kind: str = "trade"
    stop_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class VenueSide:
    """What one trade or planted case leaves on the venues."""

    holdings: tuple[Holding, ...] = ()
    stops: tuple[Stop, ...] = ()
    executions: tuple[Execution, ...] = ()

    def __add__(self, other: VenueSide) -> VenueSide:
        return VenueSide(
            self.holdings + other.holdings, self.stops + other.stops, self.executions + other.executions
        )


@dataclass(frozen=True, slots=True)
class BotRows:
    """Rows of all four tables."""

    positions: tuple[PositionRecord, ...] = ()
    orders: tuple[OrderRecord, ...] = ()
    events: tuple[EventRecord, ...] = ()
    trailing: tuple[TrailingRecord, ...] = ()

    def tables(self) -> Mapping[str, tuple[Any, ...]]:
        """The rows by table name, in the order they are loaded."""
        return {
            "positions": self.positions,
            "orders": self.orders,
            "events": self.events,
            "trailing_stop_state": self.trailing,
        }
