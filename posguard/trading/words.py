"""What is asked of the core and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.position import PositionSide, Side, Status

if TYPE_CHECKING:
    from posguard.model.managed import ManagedRow


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """One attempt to open a position. Asked again with the same request_key, it is the same attempt.

    symbol in any spelling. quantity in base units; it is cut down to the market's lot step. price is the price that the
    quantity and the stop are judged by, the last one as a rule; nothing is ordered at it. The stop-loss is a price
    (stop_price, put on the market's tick) or a distance from the fill (stop_percent, 2 for two percent), or the settings'
    default distance. position_side long or short in hedge mode only.
    """

    request_key: str
    exchange: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    stop_price: Decimal | None = None
    stop_percent: Decimal | None = None
    account: str = "main"
    position_side: PositionSide = PositionSide.BOTH
    signal_id: int | None = None


class Result(StrEnum):
    """How a call ended, and what its caller should do."""

    ACTIVE = "active"  # open and protected
    EXISTING = "existing"  # another row holds the key; nothing was written or sent: leave it
    FAILED = "failed"  # no position came to be; a new attempt takes a new request key
    ROLLED_BACK = "rolled_back"  # what was opened is closed again; a new attempt takes a new request key
    CLOSED = "closed"  # the position is flat, by its stop for example
    PENDING = "pending"  # somebody works on it, or recovery will: ask again with the same request key
    UNRESOLVED = (
        "unresolved"  # nobody knows yet; the key is blocked and an alert is out: do not send anything
    )
    REFUSED = "refused"  # nothing was done; `reason` says why


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of an open. position_id is the row of this attempt, or for `existing` the row that holds the key.

    quantity is what was filled, in base units, None where nothing is known to be. repeated: the request key was known.
    """

    result: Result
    position_id: int | None
    reason: str = ""
    quantity: Decimal | None = None
    entry_price: Decimal | None = None
    stop_price: Decimal | None = None
    repeated: bool = False
    needs_attention: bool = False

    @property
    def protected(self) -> bool:
        """Whether a position is open with its stop-loss."""
        return self.result is Result.ACTIVE


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a close, a roll-back or a moved stop of one row."""

    result: Result
    position_id: int
    reason: str = ""
    stop_price: Decimal | None = None
    needs_attention: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass of recovery or the synchroniser did; ids of rows. inconclusive names venues and why nothing is said of them."""

    recovered: tuple[int, ...] = ()
    adopted: tuple[int, ...] = ()
    protected: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()
    flagged: tuple[int, ...] = ()
    inconclusive: tuple[str, ...] = ()


_RESULTS = {
    Status.ACTIVE: Result.ACTIVE,
    Status.FAILED: Result.FAILED,
    Status.CANCELED: Result.FAILED,
    Status.ROLLED_BACK: Result.ROLLED_BACK,
    Status.CLOSED: Result.CLOSED,
    Status.UNRESOLVED: Result.UNRESOLVED,
}


def opened(row: ManagedRow, *, repeated: bool = False) -> Opened:
    """What a row says of the open it came from."""
    filled = row.status not in {Status.PENDING_ENTRY, Status.SUBMITTING, Status.FAILED, Status.UNRESOLVED}
    return Opened(
        _RESULTS.get(row.status, Result.PENDING),
        row.id,
        row.attention_reason or row.exit_reason or "",
        quantity=row.quantity if filled else None,
        entry_price=row.entry_price if filled else None,
        stop_price=row.stop_loss_price if row.status is Status.ACTIVE else None,
        repeated=repeated,
        needs_attention=row.needs_attention,
    )


def done(row: ManagedRow) -> Done:
    """What a row says of a call that changed it."""
    return Done(
        _RESULTS.get(row.status, Result.PENDING),
        row.id,
        row.attention_reason or row.exit_reason or "",
        stop_price=row.stop_loss_price if row.status is Status.ACTIVE else None,
        needs_attention=row.needs_attention,
    )
