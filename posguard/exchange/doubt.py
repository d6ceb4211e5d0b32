"""When to doubt an answer that looks well: two reads that must agree, and what makes a third one due. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from posguard.exchange.answers import AnswerError, Trouble
from posguard.model.money import plain
from posguard.model.position import PositionSide, Side
from posguard.model.venue import OrderKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from decimal import Decimal

    from posguard.model.venue import VenueOrder, VenuePosition

H = TypeVar("H", bound="Hashable")
_NAMED = 3  # as many are named in a sentence


@dataclass(frozen=True, slots=True)
class PositionsRead:
    """The positions of one reading, and on how many pages they came."""

    items: list[VenuePosition]
    pages: int


def agree(before: PositionsRead, after: PositionsRead) -> None:
    """Nothing where two readings hold the same positions; else raises AnswerError that names what changed."""
    first = {_leg(position): (position.side, position.quantity) for position in before.items}
    second = {_leg(position): (position.side, position.quantity) for position in after.items}
    changed = [
        f"{_named(leg)} was {_held(first.get(leg))} and then {_held(second.get(leg))}"
        for leg in sorted(first.keys() | second.keys())
        if first.get(leg) != second.get(leg)
    ]
    if changed:
        raise AnswerError(
            Trouble.SHAPE, f"positions changed while orders were read: {_some(changed)}: look again"
        )
    if after.pages < before.pages:
        raise AnswerError(
            Trouble.SHAPE, f"positions: {before.pages} pages at first and then {after.pages}: look again"
        )


def agree_orders(before: Iterable[VenueOrder], after: Iterable[VenueOrder]) -> None:
    """Nothing where two readings hold the same orders; else raises AnswerError that names what changed.

    A stop that trails between them keeps its id: price and quantity do not count.
    """
    first, second = ({(order.symbol, order.order_id) for order in orders} for orders in (before, after))
    changed = [f"{symbol} order {order_id}" for symbol, order_id in sorted(first ^ second)]
    if changed:
        raise AnswerError(
            Trouble.SHAPE, f"orders differ between two reads of them: {_some(changed)}: look again"
        )


def unprotected(positions: Iterable[VenuePosition], orders: Iterable[VenueOrder]) -> list[VenuePosition]:
    """The positions that no live stop of theirs, of whatever quantity and price, stands behind."""
    stopped = {
        (order.symbol, order.position_side, order.buys)
        for order in orders
        if order.kind in {OrderKind.STOP, OrderKind.TRAILING} and order.only_reduces
    }
    return [
        position
        for position in positions
        if position.stop_loss is None
        and (position.symbol, position.position_side, position.side is Side.SHORT) not in stopped
    ]


def repeated(keys: Iterable[H]) -> list[H]:
    """The keys that come more than once."""
    return [key for key, times in Counter(keys).items() if times > 1]


def _leg(position: VenuePosition) -> tuple[str, PositionSide]:
    return position.symbol, position.position_side


def _held(held: tuple[Side, Decimal] | None) -> str:
    return "absent" if held is None else f"{held[0]} {plain(held[1])}"


def _named(leg: tuple[str, PositionSide]) -> str:
    symbol, side = leg
    return symbol if side is PositionSide.BOTH else f"{symbol} ({side} leg)"


def _some(texts: Sequence[str]) -> str:
    rest = len(texts) - _NAMED
    return "; ".join(texts[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
