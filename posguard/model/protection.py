"""Whether live stops protect a position (REC-4). Pure.

Invariants: a stop that covers the whole position, closes it, and triggers on the losing side always protects; a
take-profit never does; the order in which orders come never matters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.position import Side
from posguard.model.venue import OrderKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.venue import VenueOrder, VenuePosition


class Guard(StrEnum):
    """What the live stops of a position amount to."""

    COVERED = "covered"
    TWICE = "twice"  # two or more of one kind, each for the whole
    UNDERSIZED = "undersized"
    WRONG_SIDE = "wrong side"
    NONE = "none"
    UNPRICED = "unpriced"  # neither mark nor entry price is known, so that no side can be told


@dataclass(frozen=True, slots=True)
class Stop:
    """One live stop, an order or the stop of the position itself. quantity None stands for the whole position."""

    order_id: str
    kind: OrderKind
    buys: bool
    quantity: Decimal | None
    trigger: Decimal | None
    reduces: bool


@dataclass(frozen=True, slots=True)
class Protection:
    """The verdict on a position's stops; faults says of each stop that does not count why.

    wrong holds those that can never protect it: they trade or trigger the wrong way round, or can open a position.
    """

    guard: Guard
    valid: tuple[Stop, ...] = ()
    faults: tuple[str, ...] = ()
    wrong: tuple[Stop, ...] = ()
    covered: Decimal = Decimal(0)

    @property
    def covers(self) -> bool:
        """Whether the whole position is protected."""
        return self.guard in {Guard.COVERED, Guard.TWICE}


def protection_of(position: VenuePosition, orders: Sequence[VenueOrder], lot_step: Decimal) -> Protection:
    """What the live orders of a position's key, and its own stop, protect; tolerance is one lot step."""
    reference = position.mark_price or position.entry_price
    if reference is None:
        return Protection(Guard.UNPRICED)
    stops = _stops(position, orders)
    judged = [(stop, _fault(stop, position.side, reference)) for stop in stops]
    valid = tuple(stop for stop, fault in judged if not fault)
    faults = tuple(f"{_named(stop)}: {fault.value}" for stop, fault in judged if fault)
    wrong = tuple(stop for stop, fault in judged if fault in _WRONG)
    if not valid:
        return Protection(Guard.WRONG_SIDE if wrong else Guard.NONE, faults=faults, wrong=wrong)
    whole = [stop for stop in valid if covers_whole(stop, position, lot_step)]
    covered = (
        position.quantity
        if any(stop.quantity is None for stop in valid)
        else sum((stop.quantity or Decimal(0) for stop in valid), Decimal(0))
    )
    if covered < position.quantity - lot_step:
        return Protection(Guard.UNDERSIZED, valid, faults, wrong, covered)
    # A trailing stop beside a fixed one is two tools, not one tool twice.
    twice = any(times > 1 for times in Counter(stop.kind for stop in whole).values())
    return Protection(Guard.TWICE if twice else Guard.COVERED, valid, faults, wrong, covered)


class _Fault(StrEnum):
    DIRECTION = "trades in the direction of the position, so that it closes nothing"
    OPENS = "is not reduce-only, so that it can open a position"
    SIDE = "triggers on the winning side of the price"
    WAITING = "trails only after the price has reached its activation"
    NO_TRIGGER = "shows no trigger price"
    NOTHING = "shows no quantity"


_WRONG = {_Fault.DIRECTION, _Fault.OPENS, _Fault.SIDE}


def _fault(stop: Stop, side: Side, reference: Decimal) -> _Fault | None:
    """Why a stop does not count; None where it does."""
    trailing = stop.kind is OrderKind.TRAILING
    if stop.buys is not (side is Side.SHORT):
        return _Fault.DIRECTION
    if not stop.reduces:
        return _Fault.OPENS
    if stop.quantity is not None and stop.quantity <= 0:
        return _Fault.NOTHING
    if stop.trigger is None:
        return None if trailing else _Fault.NO_TRIGGER
    losing = stop.trigger < reference if side is Side.LONG else stop.trigger > reference
    if not losing:
        return _Fault.WAITING if trailing else _Fault.SIDE
    return None


def _stops(position: VenuePosition, orders: Sequence[VenueOrder]) -> list[Stop]:
    """The stops of a key; the position's own stop is counted once where the venue shows it as an order too."""
    stops = [
        Stop(
            order_id=order.order_id,
            kind=order.kind,
            buys=order.buys,
            quantity=None if order.close_position else order.quantity or Decimal(0),
            trigger=order.trigger_price,
            reduces=order.only_reduces,
        )
        for order in sorted(orders, key=lambda order: order.order_id)
        if order.kind in {OrderKind.STOP, OrderKind.TRAILING}
    ]
    shown = any(order.position_level for order in orders)
    if position.stop_loss is not None and not shown:
        closing = position.side is Side.SHORT
        stops.append(Stop("", OrderKind.STOP, closing, None, position.stop_loss, reduces=True))
    return stops


def covers_whole(stop: Stop, position: VenuePosition, lot_step: Decimal) -> bool:
    """Whether one stop alone is enough for the whole position."""
    return stop.quantity is None or stop.quantity >= position.quantity - lot_step


def _named(stop: Stop) -> str:
    name = f"order {stop.order_id}" if stop.order_id else "the stop of the position itself"
    trigger = f" at {plain(stop.trigger)}" if stop.trigger is not None else ""
    return f"{name}{trigger}"
