"""What the simulator keeps: plain records. Quantities and prices are Decimal, times are milliseconds UTC."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol

Venue = Literal["binance", "bybit"]
Side = Literal["buy", "sell"]
PositionSide = Literal["both", "long", "short"]
VENUES: tuple[Venue, ...] = ("binance", "bybit")
ZERO = Decimal(0)


class Clock(Protocol):
    """Where the simulator takes its time from."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is told to move; for replays."""

    def __init__(self, start_ms: int) -> None:
        self._now = start_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now

    def advance(self, milliseconds: int) -> None:
        """Move on; a negative step is refused, because no venue's clock runs backwards."""
        if milliseconds < 0:
            msg = f"a clock does not run backwards ({milliseconds} ms)"
            raise ValueError(msg)
        self._now += milliseconds


class Reason(StrEnum):
    """Why the book refuses a request; each venue's wire has its own code for it."""

    BAD_SYMBOL = "bad_symbol"
    BAD_PARAMETER = "bad_parameter"
    MODE_MISMATCH = "mode_mismatch"
    STEP = "step"
    TICK = "tick"
    MIN_QUANTITY = "min_quantity"
    MAX_QUANTITY = "max_quantity"
    MIN_NOTIONAL = "min_notional"
    DUPLICATE_ID = "duplicate_id"
    NO_FUNDS = "no_funds"
    REDUCE_ONLY = "reduce_only"
    WOULD_TRIGGER = "would_trigger"
    NOT_FOUND = "not_found"
    NOT_CHANGED = "not_changed"
    POST_ONLY = "post_only"
    POSITION_EXISTS = "position_exists"
    ORDERS_EXIST = "orders_exist"
    NO_POSITION = "no_position"


class Refused(Exception):  # noqa: N818 - it is the venue's answer, not a fault of the program
    """The venue does not do what was asked; nothing has changed."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class Status(StrEnum):
    """The life of an order; the wires translate it."""

    NEW = "new"
    PARTIAL = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNTRIGGERED = "untriggered"
    TRIGGERED = "triggered"


LIVE = frozenset({Status.NEW, Status.PARTIAL, Status.UNTRIGGERED})


@dataclass(slots=True)
class Market:
    """A linear perpetual with its filters and prices."""

    venue: Venue
    symbol: str
    base: str
    quote: str = "USDT"
    settle: str = "USDT"
    tick: Decimal = Decimal("0.01")
    step: Decimal = Decimal("0.001")
    min_qty: Decimal = Decimal("0.001")
    max_qty: Decimal = Decimal(1_000_000)
    min_notional: Decimal = Decimal(5)
    max_leverage: int = 75
    maintenance_rate: Decimal = Decimal("0.005")
    taker_fee: Decimal = Decimal("0.0005")
    maker_fee: Decimal = Decimal("0.0002")
    last: Decimal = Decimal(100)
    mark: Decimal = Decimal(100)
    listed_ms: int = 1_569_398_400_000
    trading: bool = True
    # What the next orders can take from the book, in base units; None is no limit.
    liquidity: Decimal | None = None


@dataclass(slots=True)
class Position:
    """One leg: signed amount, negative for short. A flat leg stays, as venues keep its settings."""

    symbol: str
    side: PositionSide
    amount: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    total_realized: Decimal = ZERO
    opened_ms: int = 0
    updated_ms: int = 0
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    seq: int = 0


@dataclass(slots=True)
class Order:
    """An order of any kind, live or done. `qty` is zero where the whole position is meant."""

    id: str
    symbol: str
    side: Side
    kind: str  # market | limit
    qty: Decimal
    client_id: str = ""
    position_side: PositionSide = "both"
    price: Decimal = ZERO
    tif: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    whole: bool = False  # a stop on the position itself: it follows the position's size
    trigger: Decimal | None = None
    rising: bool | None = None
    purpose: str = ""  # stop_loss | take_profit | "" where the client did not say
    trigger_by: str = "last"  # last | mark
    status: Status = Status.NEW
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    created_ms: int = 0
    updated_ms: int = 0
    triggered_ms: int = 0
    child_id: str = ""
    parent_id: str = ""
    why: str = ""  # why it was refused or ended, in the book's words
    origin: str = "user"  # user | manual | position_stop | liquidation | adl
    last_on_create: Decimal = ZERO
    stop_loss: Decimal | None = None  # to be set on the position when it fills
    take_profit: Decimal | None = None
    seq: int = 0

    @property
    def conditional(self) -> bool:
        """Whether it is of the kind that waits for a trigger price."""
        return self.trigger is not None

    @property
    def waiting(self) -> bool:
        """Whether its trigger price is still ahead."""
        return self.status is Status.UNTRIGGERED

    @property
    def live(self) -> bool:
        """Whether it can still trade."""
        return self.status in LIVE

    @property
    def reduces(self) -> bool:
        """Whether it may only take off a position: by its own word, or because it works against a hedge leg."""
        own = self.reduce_only or self.close_position or self.whole
        return own or (self.position_side, self.side) in {("long", "sell"), ("short", "buy")}

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet, in base units."""
        return max(self.qty - self.filled, ZERO)

    @property
    def average(self) -> Decimal:
        """Average fill price, zero before the first fill."""
        return self.cost / self.filled if self.filled else ZERO


@dataclass(slots=True)
class Fill:
    """One execution."""

    id: str
    order_id: str
    client_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    time_ms: int
    position_side: PositionSide = "both"
    fee: Decimal = ZERO
    realized: Decimal = ZERO
    closed: Decimal = ZERO  # how much of it reduced a position, in base units
    maker: bool = False
    kind: str = "trade"  # trade | liquidation | adl
    purpose: str = ""  # of the stop that fired: stop_loss | take_profit
    origin: str = "user"  # as the order's
    whole: bool = False
    order_qty: Decimal = ZERO
    order_kind: str = "market"
    seq: int = 0


@dataclass(slots=True)
class Account:
    """One account of one venue with all it holds."""

    venue: Venue
    name: str
    uid: int = 0
    hedged: bool = False
    can_trade: bool = True
    wallet: dict[str, Decimal] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    positions: dict[tuple[str, PositionSide], Position] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    open_orders: dict[str, Order] = field(default_factory=dict)
    client_ids: dict[str, list[str]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)

    def leverage_of(self, symbol: str) -> int:
        """The leverage set for a symbol, or the venue's default."""
        return self.leverage.get(symbol, 20 if self.venue == "binance" else 10)


@dataclass(slots=True, frozen=True)
class Key:
    """An API key: whose it is and what it may do."""

    venue: Venue
    account: str
    key: str
    secret: str
    trade: bool = True
    host: str = ""  # the world it belongs to, by its real host name; empty for any


@dataclass(slots=True, frozen=True)
class Intent:
    """What a client asks for; the wires build it from their own words."""

    symbol: str
    side: Side
    kind: str
    qty: Decimal
    client_id: str = ""
    position_side: PositionSide = "both"
    price: Decimal = ZERO
    tif: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    trigger: Decimal | None = None
    rising: bool | None = None
    purpose: str = ""
    trigger_by: str = "last"
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    origin: str = "user"
