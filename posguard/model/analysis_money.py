"""What the analysis tells of money: profit and loss, orders, fees. Amounts are Decimal in the quote currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class PnlLine:
    """Profit and loss of what closed in the window. Rows that record none are in `without_pnl` and in no sum."""

    exchange: str | None
    closed: int
    without_pnl: int
    wins: int
    losses: int
    total: Decimal | None
    fees: Decimal | None
    mean: Decimal | None
    worst: Decimal | None
    p50: Decimal | None
    best: Decimal | None
    drawdown: Decimal


@dataclass(frozen=True, slots=True)
class PnlByReason:
    """Profit and loss by the reason of the exit."""

    reason: str | None
    closed: int
    wins: int
    total: Decimal | None
    mean: Decimal | None


@dataclass(frozen=True, slots=True)
class PnlBySymbol:
    """Profit and loss by symbol."""

    exchange: str | None
    symbol: str
    closed: int
    wins: int
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Orders created in the window; the seconds are from creation to the last change."""

    exchange: str | None
    type: str | None
    status: str | None
    count: int
    size: Decimal | None
    filled: Decimal | None
    mean_seconds: float | None


@dataclass(frozen=True, slots=True)
class FeeLine:
    """Fees in one currency."""

    exchange: str | None
    currency: str | None
    orders: int
    fees: Decimal
