"""What goes into a core under race and what comes out: a signal, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.position import Side

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Signal:
    """A wish to open one position. `key` names the attempt; quantity in base units, prices in quote units."""

    key: str
    symbol: str
    quantity: Decimal
    entry_price: Decimal
    stop_price: Decimal
    side: Side = Side.LONG
    exchange: str = "binance"


class Ended(StrEnum):
    """What an open came to, in the words of its core."""

    ACTIVE = "active"
    EXISTING = "existing"  # another open row holds the key, and nothing was sent
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"  # nothing was bought
    UNRESOLVED = "unresolved"  # flagged for a person
    RAISED = "raised"  # an exception escaped to the caller


@dataclass(slots=True)
class Timings:
    """Seconds that an open spent; None where its core does not tell."""

    lock: float | None = None
    check: float | None = None
    insert: float | None = None
    total: float | None = None
    window: float | None = None  # from the row's leaving the unique index to its return


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of a signal: row id where there is one, and the name of the database's or the core's error."""

    ended: Ended
    row_id: int | None = None
    error: str = ""
    timings: Timings = field(default_factory=Timings)

    @property
    def unique_violation(self) -> bool:
        """Whether the unique index refused a statement of this open."""
        return "UniqueViolation" in self.error
