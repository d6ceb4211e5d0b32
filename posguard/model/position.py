"""A position as the bot's database tells it, and the statuses it can have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.symbol import canonical_symbol

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from decimal import Decimal

    from posguard.model.venue import VenueId


class Status(StrEnum):
    """The statuses the bot and the core write. Any other text, and NULL, counts as open and is a finding."""

    PENDING_ENTRY = "pending_entry"
    SUBMITTING = (
        "submitting"  # the core's own, as closing and unresolved are; the bot's old code writes none of them
    )
    ENTRY_PLACED = "entry_placed"
    PENDING_SL = "pending_sl"
    ACTIVE = "active"
    CLOSING = "closing"
    UNRESOLVED = "unresolved"
    CLOSED = "closed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELED = "canceled"


TERMINAL = frozenset({Status.CLOSED, Status.FAILED, Status.ROLLED_BACK, Status.CANCELED})
INTERMEDIATE = frozenset(
    {
        Status.PENDING_ENTRY,
        Status.SUBMITTING,
        Status.ENTRY_PLACED,
        Status.PENDING_SL,
        Status.CLOSING,
        Status.UNRESOLVED,
    }
)


class Side(StrEnum):
    """The direction of a position."""

    LONG = "long"
    SHORT = "short"


class PositionSide(StrEnum):
    """The leg a position lives in: `both` in one-way mode, `long` or `short` in hedge mode."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"


def parse_side(raw: str | None) -> Side | None:
    """long, short, buy and sell in any case; None for anything else."""
    match (raw or "").strip().lower():
        case "long" | "buy":
            return Side.LONG
        case "short" | "sell":
            return Side.SHORT
        case _:
            return None


def is_open(status: str | None) -> bool:
    """Whether a status counts as open: everything but the four terminal ones, unknown texts and NULL included."""
    return status not in TERMINAL


@dataclass(frozen=True, slots=True, order=True)
class PositionKey:
    """What at most one open row may claim: exchange, account, canonical symbol, position side."""

    exchange: str
    account: str
    symbol: str
    position_side: PositionSide = PositionSide.BOTH

    @property
    def market(self) -> tuple[str, str, str]:
        """Exchange, account and symbol, whatever the leg."""
        return self.exchange, self.account, self.symbol

    def __str__(self) -> str:
        leg = "" if self.position_side is PositionSide.BOTH else f" ({self.position_side} leg)"
        account = "" if self.account == "main" else f"/{self.account}"
        return f"{self.symbol} on {self.exchange}{account}{leg}"


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One row of monitoring.positions, columns that a deployment lacks being None.

    quantity is in base units; times are aware UTC. `digest` covers the decision columns (status, side, quantity, entry,
    order ids, stop): two reads of a row with equal digests saw the same row.
    `records_stop_order` is False on deployments without the column stop_loss_order_id, and where posguard added it and the
    bot's old code left it empty. `version` counts the changes of decision columns where the deployment counts them.
    """

    id: int
    exchange: str
    account: str
    raw_symbol: str
    position_side: PositionSide
    raw_side: str | None
    side: Side | None
    quantity: Decimal | None
    entry_price: Decimal | None
    status: str | None
    exchange_order_id: str | None
    stop_loss_order_id: str | None
    stop_loss_price: Decimal | None
    has_stop_loss: bool | None
    records_stop_order: bool
    created_at: datetime | None
    opened_at: datetime | None
    updated_at: datetime | None
    digest: str
    version: int | None = None
    core_managed: bool = False

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        return canonical_symbol(self.raw_symbol)

    @property
    def key(self) -> PositionKey:
        """The key this row claims while it is open."""
        return PositionKey(self.exchange, self.account, self.symbol, self.position_side)

    @property
    def is_open(self) -> bool:
        """Whether the row counts as open."""
        return is_open(self.status)

    @property
    def is_intermediate(self) -> bool:
        """Whether the row is on its way: to active, or from it to closed."""
        return self.status in INTERMEDIATE

    @property
    def since(self) -> datetime | None:
        """When the position began: opened_at, else created_at."""
        return self.opened_at or self.created_at

    @property
    def records_stop(self) -> bool:
        """Whether the database says that a stop-loss exists.

        By its order id; where the deployment has no such column, by has_stop_loss together with a stop_loss_price.
        """
        if self.records_stop_order:
            return bool(self.stop_loss_order_id)
        return bool(self.has_stop_loss) and self.stop_loss_price is not None

    def age(self, now: datetime) -> timedelta | None:
        """How long ago the position began; None where the row holds no time."""
        return now - self.since if self.since else None

    def belongs_to(self, venue: VenueId) -> bool:
        """Whether the row is of this exchange and account."""
        return (self.exchange, self.account) == (venue.exchange, venue.account)
