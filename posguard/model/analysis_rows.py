"""What the analysis tells of positions, their protection, races, errors and latency: one class for the rows of each part.

Times are aware UTC, lengths seconds; an exchange is None where the row names none, and "all" in a line over every exchange. Lists
are cut at so many rows; `total` says how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Overview:
    """Rows created in the window, closed in it, and open at its end as the rows stand now."""

    opened: int
    closed: int
    rolled_back: int
    failed: int
    canceled: int
    open_at_end: int
    symbols: int
    exchanges: int
    first_opened: datetime | None
    last_opened: datetime | None


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the window, counted from its start; a silence without an event counts in the hour in which it ends."""

    hour: datetime
    opened: int
    closed: int
    events: int
    errors: int
    longest_silence_seconds: float | None


@dataclass(frozen=True, slots=True)
class ExchangeLine:
    """The overview of one exchange; the share is of the rows created in the window, None where there were none."""

    exchange: str | None
    opened: int
    closed: int
    rolled_back: int
    failed: int
    canceled: int
    open_at_end: int
    symbols: int
    rolled_back_share: float | None


@dataclass(frozen=True, slots=True)
class StatusLine:
    """Rows created in the window that have a status now; `known` is False for a status that neither bot nor core writes."""

    status: str | None
    is_open: bool
    known: bool
    count: int
    share: float
    first: datetime
    last: datetime
    mean_seconds: float | None


@dataclass(frozen=True, slots=True)
class Durations:
    """How long the positions lasted that closed in the window."""

    exchange: str | None
    count: int
    min: float
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class FaultLine:
    """So many rows, or orders, have a fault; up to twenty of their ids."""

    fault: str
    count: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """An open row that records no stop-loss."""

    id: int
    exchange: str | None
    symbol: str
    side: str | None
    quantity: Decimal | None
    status: str | None
    since: datetime | None
    age_seconds: float | None
    has_stop_loss: bool | None
    stop_loss_price: Decimal | None
    total: int


@dataclass(frozen=True, slots=True)
class NeverProtected:
    """A row that was traded and ended without any sign of a stop-loss."""

    id: int
    exchange: str | None
    symbol: str
    status: str
    created_at: datetime
    closed_at: datetime | None
    seconds: float | None
    total: int


@dataclass(frozen=True, slots=True)
class StopLossLine:
    """Events about stop-losses."""

    exchange: str | None
    placed: int
    updated: int
    triggered: int
    errors: int
    emergency_stops: int
    found_without: int


@dataclass(frozen=True, slots=True)
class StopDistance:
    """How far stops lie from the entry, in percent of it; zero or less is the winning side."""

    exchange: str | None
    rows: int
    winning_side: int
    min: float
    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class TrailingState:
    """Trailing stops that exist now."""

    exchange: str | None
    state: str | None
    count: int
    activated: int
    updates: int
    last_update: datetime | None


@dataclass(frozen=True, slots=True)
class TrailingLine:
    """Events about trailing stops."""

    exchange: str | None
    created: int
    activated: int
    updated: int
    stop_moved: int
    removed: int


@dataclass(frozen=True, slots=True)
class TrailingRush:
    """A position whose trailing stop moved the stop-loss again within a minute."""

    position_id: int
    symbol: str | None
    exchange: str | None
    moves: int
    within_a_minute: int
    shortest_seconds: float
    total: int


@dataclass(frozen=True, slots=True)
class TrailingFault:
    """A trailing stop that cannot be right."""

    id: int
    position_id: int
    exchange: str | None
    symbol: str
    fault: str
    total: int


@dataclass(frozen=True, slots=True)
class RacePair:
    """Two rows of one key that lived at the same time, or were created within ten seconds of one another."""

    exchange: str | None
    symbol: str
    first_id: int
    second_id: int
    first_at: datetime
    second_at: datetime
    gap_seconds: float
    overlap_seconds: float
    first_status: str | None
    second_status: str | None
    total: int


@dataclass(frozen=True, slots=True)
class DuplicateKeyError:
    """One duplicate-key error, however many records it left."""

    at: datetime
    exchange: str | None
    symbol: str | None
    position_id: int | None
    records: int
    total: int


@dataclass(frozen=True, slots=True)
class Simultaneous:
    """Two operations that changed one position less than a second apart."""

    position_id: int
    exchange: str | None
    symbol: str | None
    first_at: datetime
    second_at: datetime
    gap_seconds: float
    first_operation: str
    second_operation: str
    total: int


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """Errors of one kind."""

    event_type: str
    severity: str | None
    exchange: str | None
    count: int
    positions: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """One wording of errors, numbers left out; the id of its first event, and the exchange's code where the text names one."""

    message: str
    code: str | None
    count: int
    first: datetime
    last: datetime
    event_id: int
    total: int


@dataclass(frozen=True, slots=True)
class LatencyLine:
    """How long one operation took; the positions of the five slowest over a second stand in the line over every exchange."""

    operation: str
    exchange: str | None
    count: int
    min: float
    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    over_a_second: int
    slowest: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AgedPosition:
    """An open row that is too old."""

    id: int
    exchange: str | None
    symbol: str
    side: str | None
    quantity: Decimal | None
    status: str | None
    since: datetime
    age_seconds: float
    unrealized_pnl: Decimal | None
    total: int


@dataclass(frozen=True, slots=True)
class ZombieOrder:
    """An order that the database holds for live while its position has ended, or does not exist (position_status None)."""

    id: int
    order_id: str | None
    exchange: str | None
    symbol: str | None
    type: str | None
    side: str | None
    size: Decimal | None
    status: str | None
    position_id: str | None
    position_status: str | None
    created_at: datetime | None
    total: int
