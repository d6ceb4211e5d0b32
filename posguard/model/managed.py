"""A row of the bot's positions that the trading core manages, and one change of it. Values only."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from posguard.model.position import TERMINAL, PositionKey

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from posguard.model.position import PositionSide, Side, Status
    from posguard.model.transitions import Origin

# What opens the exit_reason of a row that is to end as rolled_back rather than closed.
ROLLED_BACK = "rolled back: "
# What every client id of the core's begins with.
OURS = "pg-"


@dataclass(frozen=True, slots=True)
class ManagedRow:
    """Everything that whoever takes the row over needs to go on.

    quantity is in base units: what is to be bought before the fill is known, and what was filled after it. stop_percent
    is the distance of the stop from the fill, None where the stop is a price. exit_reason is set from the moment on at
    which the position is to be closed.
    """

    id: int
    exchange: str
    account: str
    symbol: str
    position_side: PositionSide
    side: Side
    quantity: Decimal
    entry_price: Decimal
    status: Status
    version: int
    fencing: int
    request_key: str
    attempt: int
    entry_client_id: str | None
    stop_client_id: str | None
    exchange_order_id: str | None
    stop_loss_order_id: str | None
    stop_loss_price: Decimal | None
    stop_percent: Decimal | None
    needs_attention: bool
    attention_reason: str | None
    exit_reason: str | None
    origin: Origin
    unprotected_since: datetime | None
    inserted_at: datetime
    lease_owner: str | None = None

    @property
    def key(self) -> PositionKey:
        """The key that this row claims while it is open."""
        return PositionKey(self.exchange, self.account, self.symbol, self.position_side)

    @property
    def ended(self) -> bool:
        """Whether the row is terminal."""
        return self.status in TERMINAL

    @property
    def rolls_back(self) -> bool:
        """Whether the row is to end as rolled_back, not as closed."""
        return (self.exit_reason or "").startswith(ROLLED_BACK)

    @property
    def close_client_id(self) -> str:
        """The client id of this attempt's closing order."""
        return client_id(self.request_key, "c", self.attempt)

    def but(self, **changes: Any) -> Self:
        """The same row with some columns changed."""
        return replace(self, **changes)


class AlertKind(StrEnum):
    """What the trading core and the cleanup alert about. The value is the stable id in the database and in the runbook."""

    ENTRY_UNKNOWN = "entry_unknown"  # ORD-4: nobody knows what became of the entry
    CLOSE_UNKNOWN = "close_unknown"  # ORD-5: nobody knows what became of the close
    NEEDS_ATTENTION = "needs_attention"  # a row that the core leaves to a person
    ENDED_UNDERWAY = "ended_underway"  # another hand ended the row while an order of this one was out
    CLEANUP_UNRESOLVED = "cleanup_unresolved"  # K7: nobody knows what became of an order of the plan
    CLEANUP_FAILED = "cleanup_failed"  # K7: a line failed after an order of it may have been sent
    CLEANUP_NOT_VERIFIED = "cleanup_not_verified"  # K7: a look afterwards shows that a line did not help


@dataclass(frozen=True, slots=True)
class Alert:
    """What is put into posguard.alert_outbox in the transaction of the change it tells of; key makes it one of a kind."""

    key: str
    severity: str
    kind: AlertKind
    text: str
    position_id: int | None = None


@dataclass(frozen=True, slots=True)
class Birth:
    """A row to be inserted. Decimal quantities in base units; status is pending_entry, or pending_sl or active where adopted."""

    key: PositionKey
    side: Side
    quantity: Decimal
    entry_price: Decimal
    status: Status
    request_key: str
    origin: Origin
    reason: str
    entry_client_id: str | None = None
    stop_client_id: str | None = None
    stop_loss_order_id: str | None = None
    stop_loss_price: Decimal | None = None
    stop_percent: Decimal | None = None
    signal_id: int | None = None
    unseen_since: datetime | None = None  # refused where a row of the key has changed since


@dataclass(frozen=True, slots=True)
class Rival:
    """Another open row of the same key, or of the same market's other naming of the leg."""

    id: int
    status: str | None
    side: Side | None
    quantity: Decimal | None
    core_managed: bool

    def precedes(self, row_id: int) -> bool:
        """Whether this row has the better claim than the row of an id: the older one, one that is active, one of the old code."""
        return self.id < row_id or self.status == "active" or not self.core_managed


@dataclass(frozen=True, slots=True)
class OwnedRow:
    """What the synchroniser has to know of an open row: the core's, or one of the bot's old code."""

    id: int
    symbol: str
    position_side: str
    side: Side | None
    quantity: Decimal | None
    status: str | None
    request_key: str
    stop_loss_order_id: str | None
    core_managed: bool
    leased: bool


def client_id(request_key: str, role: str, attempt: int) -> str:
    """The client id of an order: of the request key, the order's role (e entry, s stop, c close) and the attempt.

    At most 36 characters that both venues take. The same for whoever asks, so that a successor finds the orders of the
    one before. Everything up to the role names the intent.
    """
    return f"{intent_of(request_key)}-{role}{attempt}"


def intent_of(request_key: str) -> str:
    """What all client ids of one request key begin with."""
    digest = hashlib.sha256(f"posguard:{request_key}".encode()).digest()[:12]
    return f"{OURS}{base64.b32encode(digest).decode().lower().rstrip('=')}"
