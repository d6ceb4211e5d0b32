"""The analysis of a window of the bot's trading, in 14 sections of one or more parts each (M6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from posguard.model.analysis_money import (
    FeeLine,
    OrderLine,
    PnlByReason,
    PnlBySymbol,
    PnlLine,
)
from posguard.model.analysis_rows import (
    AgedPosition,
    DuplicateKeyError,
    Durations,
    ErrorLine,
    ErrorMessage,
    ExchangeLine,
    FaultLine,
    Hour,
    LatencyLine,
    NeverProtected,
    OpenPosition,
    Overview,
    RacePair,
    Simultaneous,
    StatusLine,
    StopDistance,
    StopLossLine,
    TrailingFault,
    TrailingLine,
    TrailingRush,
    TrailingState,
    ZombieOrder,
)
from posguard.model.health import (
    DatabaseLine,
    IndexLine,
    LockLine,
    StatementLine,
    TableLine,
)

Row = TypeVar("Row")
ALL = "all"  # the exchange of a line over every exchange


@dataclass(frozen=True, slots=True)
class Told(Generic[Row]):
    """The rows of one part. `no_source` says why there are none to be had, which is not the same as having found none.

    `absent` names columns that this database lacks: what they would have held is None. `seconds`: how long it took.
    """

    rows: tuple[Row, ...] = ()
    no_source: str = ""
    absent: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def first(self) -> Row | None:
        """The only row of a part that has one; None where there is none."""
        return self.rows[0] if self.rows else None


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the analysis and the names of its parts."""

    number: int
    name: str
    title: str
    parts: tuple[str, ...]


SECTIONS = (
    Section(
        1,
        "overview",
        "Overview",
        (
            "overview",
            "hours",
        ),
    ),
    Section(2, "by_exchange", "By exchange", ("by_exchange",)),
    Section(3, "by_status", "By status", ("by_status",)),
    Section(
        4,
        "lifecycle",
        "Lifecycle durations",
        (
            "lifecycle",
            "lifecycle_faults",
        ),
    ),
    Section(
        5,
        "unprotected",
        "Unprotected positions",
        (
            "unprotected",
            "never_protected",
        ),
    ),
    Section(
        6,
        "stop_loss",
        "Stop-losses",
        (
            "stop_loss",
            "stop_distance",
        ),
    ),
    Section(
        7,
        "trailing",
        "Trailing stops",
        (
            "trailing_states",
            "trailing_events",
            "trailing_rushes",
            "trailing_faults",
        ),
    ),
    Section(
        8,
        "races",
        "Race conditions",
        (
            "races",
            "duplicate_key_errors",
            "simultaneous",
        ),
    ),
    Section(
        9,
        "errors",
        "Errors",
        (
            "errors",
            "error_messages",
        ),
    ),
    Section(10, "latency", "Latency", ("latency",)),
    Section(
        11,
        "pnl",
        "Profit and loss",
        (
            "pnl",
            "pnl_by_reason",
            "pnl_by_symbol",
        ),
    ),
    Section(
        12,
        "aged_zombies",
        "Aged positions and zombie orders",
        (
            "aged",
            "zombies",
        ),
    ),
    Section(
        13,
        "orders",
        "Orders",
        (
            "orders",
            "order_fees",
            "order_faults",
        ),
    ),
    Section(
        14,
        "health",
        "Database health",
        (
            "database",
            "tables",
            "indexes",
            "statements",
            "locks",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything of one window, `since` included and `until` not, read in one snapshot of the database.

    A row tells only its present state: what was open at the end of a window in the past is what still is, or closed after it.
    """

    since: datetime
    until: datetime
    overview: Told[Overview]
    hours: Told[Hour]
    by_exchange: Told[ExchangeLine]
    by_status: Told[StatusLine]
    lifecycle: Told[Durations]
    lifecycle_faults: Told[FaultLine]
    unprotected: Told[OpenPosition]
    never_protected: Told[NeverProtected]
    stop_loss: Told[StopLossLine]
    stop_distance: Told[StopDistance]
    trailing_states: Told[TrailingState]
    trailing_events: Told[TrailingLine]
    trailing_rushes: Told[TrailingRush]
    trailing_faults: Told[TrailingFault]
    races: Told[RacePair]
    duplicate_key_errors: Told[DuplicateKeyError]
    simultaneous: Told[Simultaneous]
    errors: Told[ErrorLine]
    error_messages: Told[ErrorMessage]
    latency: Told[LatencyLine]
    pnl: Told[PnlLine]
    pnl_by_reason: Told[PnlByReason]
    pnl_by_symbol: Told[PnlBySymbol]
    aged: Told[AgedPosition]
    zombies: Told[ZombieOrder]
    orders: Told[OrderLine]
    order_fees: Told[FeeLine]
    order_faults: Told[FaultLine]
    database: Told[DatabaseLine]
    tables: Told[TableLine]
    indexes: Told[IndexLine]
    statements: Told[StatementLine]
    locks: Told[LockLine]

    def part(self, name: str) -> Told[Any]:
        """A part by its name in SECTIONS."""
        told: Told[Any] = getattr(self, name)
        return told
