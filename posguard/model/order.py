"""What became of an order that was sent: the four outcomes, why, and what a venue knows of it later."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.position import PositionSide

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from posguard.model.venue import OrderKind, VenueId


class Outcome(StrEnum):
    """What is known after one request. `unknown` is settled by evidence only and is never sent again."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"  # certainly not in force: refused, or never sent
    EXISTS = "exists"  # the venue has an order of this client id: look it up
    UNKNOWN = "unknown"


class Why(StrEnum):
    """What stood in the way, as far as it decides what to do next."""

    NONE = "none"
    NEVER_SENT = "never_sent"
    FUNDS = "funds"
    REDUCE_ONLY = "reduce_only"  # nothing to reduce, or less than asked
    WOULD_TRIGGER = "would_trigger"  # the stop's price is already through
    NOT_FOUND = "not_found"
    RATE = "rate"  # too many requests; retry_after where the venue says
    CLOCK = "clock"
    KEY = "key"
    MALFORMED = "malformed"  # quantity, price, symbol, side or id is not as the venue wants it
    DUPLICATE = "duplicate"
    SILENCE = "silence"  # no answer, or none that can be read
    VENUE = "venue"  # the venue itself does not know, or the code is not in the table


class OrderState(StrEnum):
    """Where an order is in its life. How much of it was filled is told apart."""

    LIVE = "live"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    TRIGGERED = "triggered"  # a conditional order that became another one, which is told by its own id


@dataclass(frozen=True, slots=True)
class SeenOrder:
    """An order as the venue tells it. Quantities are absolute, in base units; quantity is None for one that closes all.

    For a triggered conditional order, `became` is the id of the order it became, and filled and average_price are that
    one's where the venue tells them.
    """

    order_id: str
    client_order_id: str | None
    symbol: str
    position_side: PositionSide
    buys: bool
    kind: OrderKind
    state: OrderState
    quantity: Decimal | None
    filled: Decimal
    average_price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    updated_at: datetime | None
    became: str | None = None
    created_at: datetime | None = None

    @property
    def only_reduces(self) -> bool:
        """Whether the order can close but never open: reduce-only, closing the position, or against a hedge leg."""
        if self.reduce_only or self.quantity is None:
            return True
        return (self.position_side, self.buys) in {(PositionSide.LONG, False), (PositionSide.SHORT, True)}


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """The orders of a market made since a time, live or done, plain and conditional; complete only when every page was read.

    Of orders that never traded the venue tells only those made since `unfilled_since`; the others changed no position.
    """

    venue: VenueId
    symbol: str
    since: datetime
    orders: tuple[SeenOrder, ...]
    complete: bool
    unfilled_since: datetime
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderReply:
    """What one trading request came to.

    order_id is the venue's, where it was told. `seen` is the order where the answer describes it (Binance; Bybit tells ids
    only, and accepts before it matches: ask `find`). code is the venue's own or `HTTP 502`; reason is a sentence without
    secrets, empty when accepted; retry_after is in seconds.
    """

    outcome: Outcome
    client_order_id: str
    order_id: str | None = None
    seen: SeenOrder | None = None
    why: Why = Why.NONE
    code: str | None = None
    reason: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class MoveReply:
    """A stop that was moved: the new one first, and the old one's cancelling where the new one was accepted."""

    placed: OrderReply
    canceled: OrderReply | None

    @property
    def moved(self) -> bool:
        """Whether the new stop stands; the old one may still stand beside it."""
        return self.placed.outcome is Outcome.ACCEPTED


class Sight(StrEnum):
    """What a look-up by client id told."""

    FOUND = "found"
    ABSENT = "absent"  # every list was read and none holds it, which at this moment is all that this means
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a look-up told; reason is a sentence where it is unknown."""

    sight: Sight
    order: SeenOrder | None = None
    reason: str = ""
