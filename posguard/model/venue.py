"""What a venue said: positions, orders, fills, and whether the answer was complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.position import PositionKey, PositionSide, Side

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal


class World(StrEnum):
    """Which of a venue's worlds is meant. On Bybit testnet and demo are different accounts."""

    SIMULATOR = "simulator"
    TESTNET = "testnet"
    DEMO = "demo"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True, order=True)
class VenueId:
    """An exchange and one account on it."""

    exchange: str
    account: str = "main"

    def __str__(self) -> str:
        return self.exchange if self.account == "main" else f"{self.exchange}/{self.account}"

    def key(self, symbol: str, position_side: PositionSide = PositionSide.BOTH) -> PositionKey:
        """The position key of a canonical symbol on this venue."""
        return PositionKey(self.exchange, self.account, symbol, position_side)


@dataclass(frozen=True, slots=True)
class MarketRule:
    """What a venue demands of orders in one market. symbol is canonical, venue_symbol the venue's own id; steps in base or quote units."""

    symbol: str
    venue_symbol: str
    lot_step: Decimal
    tick_size: Decimal
    min_quantity: Decimal
    min_notional: Decimal


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """One leg held on the venue. quantity is absolute, in base units, and never zero; stop_loss is a position-level stop."""

    symbol: str
    position_side: PositionSide
    side: Side
    quantity: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    stop_loss: Decimal | None = None
    updated_at: datetime | None = None


class OrderKind(StrEnum):
    """The family of an order, by what triggers it."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    TAKE_PROFIT = "take_profit"
    TRAILING = "trailing"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """One live order. quantity is what remains, in base units; None together with close_position.

    buys is True for a buy. position_level marks a stop that the venue shows as an order and as part of the position
    (Bybit): it is the same stop as VenuePosition.stop_loss and is counted once.
    """

    order_id: str
    client_order_id: str | None
    symbol: str
    position_side: PositionSide
    buys: bool
    kind: OrderKind
    quantity: Decimal | None
    price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    close_position: bool
    created_at: datetime | None
    position_level: bool = False

    @property
    def conditional(self) -> bool:
        """Whether the order waits for a trigger."""
        return self.kind in {OrderKind.STOP, OrderKind.TAKE_PROFIT, OrderKind.TRAILING}

    @property
    def only_reduces(self) -> bool:
        """Whether the order can close but never open: reduce-only, closing the position, or against a hedge leg."""
        if self.reduce_only or self.close_position:
            return True
        return (self.position_side, self.buys) in {(PositionSide.LONG, False), (PositionSide.SHORT, True)}


class FillKind(StrEnum):
    """Why a fill happened."""

    TRADE = "trade"
    STOP = "stop"
    LIQUIDATION = "liquidation"
    DELEVERAGING = "deleveraging"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution, quantity in base units, time aware UTC."""

    trade_id: str
    order_id: str
    client_order_id: str | None
    symbol: str
    position_side: PositionSide
    buys: bool
    quantity: Decimal
    price: Decimal
    kind: FillKind
    at: datetime


@dataclass(frozen=True, slots=True)
class FillHistory:
    """The fills of some symbols since a time; complete only when every page of every symbol was read and its shape checked."""

    venue: VenueId
    since: datetime
    symbols: frozenset[str]
    fills: tuple[Fill, ...]
    complete: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What a venue says the credentials may do; None where it does not say.

    expires_at is aware UTC, None where the key does not expire or the venue does not say; notes are sentences for a person.
    """

    venue: VenueId
    can_read: bool
    can_trade: bool | None
    can_withdraw: bool | None
    ip_restricted: bool | None
    expires_at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VenueSnapshot:
    """One look at a venue, from its first request (started_at) to its last (finished_at).

    It proves nothing unless `complete`; then every page of positions, plain and conditional orders of every settle coin
    was read, its raw shape was right, and the clock skew (venue minus us, in ms) was measured. `reasons` says why it is
    not. `markets` maps canonical symbol to rule; `unresolved` holds raw ids that no listed market explains.
    """

    venue: VenueId
    world: World
    started_at: datetime
    finished_at: datetime
    complete: bool
    reasons: tuple[str, ...] = ()
    positions: tuple[VenuePosition, ...] = ()
    orders: tuple[VenueOrder, ...] = ()
    markets: Mapping[str, MarketRule] = field(default_factory=dict)
    unresolved: tuple[str, ...] = ()
    clock_skew_ms: int | None = None
    requests: int = 0
