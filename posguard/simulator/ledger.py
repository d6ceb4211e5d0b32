"""What a fill does to a position: values in, values out."""

from dataclasses import dataclass
from decimal import Decimal

from posguard.simulator.records import ZERO, Position, PositionSide, Side

# As fine as an average price is kept, so that sums of profits stay exact.
_FINEST = Decimal("1e-12")


@dataclass(slots=True, frozen=True)
class Change:
    """A position after a fill: signed amount, entry price, what was realized and how much was closed."""

    amount: Decimal
    entry: Decimal
    realized: Decimal
    closed: Decimal


def signed(side: Side, qty: Decimal) -> Decimal:
    """Quantity with the sign of its effect on a position."""
    return qty if side == "buy" else -qty


def leg_of(position_side: PositionSide, side: Side, *, closing: bool = False) -> PositionSide:
    """The hedge leg an order works on when the client did not name it."""
    if position_side != "both":
        return position_side
    opens_long = (side == "buy") is not closing
    return "long" if opens_long else "short"


def after_fill(amount: Decimal, entry: Decimal, delta: Decimal, price: Decimal) -> Change:
    """One-way arithmetic: same side averages, other side realizes, more than all of it flips."""
    total = amount + delta
    if amount == ZERO or (amount > ZERO) == (delta > ZERO):
        size = abs(amount) + abs(delta)
        average = ((abs(amount) * entry + abs(delta) * price) / size).quantize(_FINEST) if size else ZERO
        return Change(total, average, ZERO, ZERO)
    closed = min(abs(amount), abs(delta))
    direction = 1 if amount > ZERO else -1
    realized = (price - entry) * closed * direction
    if total == ZERO:
        return Change(ZERO, ZERO, realized, closed)
    flipped = (total > ZERO) != (amount > ZERO)
    return Change(total, price if flipped else entry, realized, closed)


def reducible(position: Position | None, side: Side) -> Decimal:
    """How much an order of this side can take off the position, in base units."""
    if position is None or position.amount == ZERO:
        return ZERO
    return abs(position.amount) if (position.amount > ZERO) == (side == "sell") else ZERO


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether the value is a whole number of steps."""
    return value % step == ZERO


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest whole number of steps not above the value."""
    return value - value % step
