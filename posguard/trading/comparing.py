"""What the synchroniser suspects after two looks at a venue that agree. Pure.

A suspicion changes nothing: the row is claimed, looked at anew under its lease and decided upon there. Nothing that an open row
owns is adopted, whoever wrote the row, and nothing that an ignore rule names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.managed import OURS, intent_of
from posguard.model.money import differs
from posguard.model.position import PositionSide, Status
from posguard.model.protection import protection_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from posguard.model.managed import OwnedRow
    from posguard.model.venue import VenueOrder, VenuePosition, VenueSnapshot


@dataclass(frozen=True, slots=True)
class Suspicions:
    """Positions that no open row owns, active rows that something is amiss with, and stops of ours that guard nothing."""

    external: tuple[VenuePosition, ...] = ()
    amiss: tuple[int, ...] = ()
    orphaned_stops: tuple[VenueOrder, ...] = ()


def compare(
    rows: Sequence[OwnedRow], first: VenueSnapshot, second: VenueSnapshot, ignored: Collection[str]
) -> Suspicions:
    """What to look into. rows: the open rows as they were before both looks; ignored: symbols traded by hand."""
    before = {_leg(p): (p.side, p.quantity) for p in first.positions}
    steady = [p for p in second.positions if before.get(_leg(p)) == (p.side, p.quantity)]
    moving = {p.symbol for p in (*first.positions, *second.positions)} - {p.symbol for p in steady}
    external = [p for p in steady if p.symbol not in ignored and not any(_owns(row, p) for row in rows)]
    amiss = [
        row.id
        for row in rows
        if row.core_managed
        and not row.leased
        and row.status == Status.ACTIVE
        and row.symbol not in moving
        and _amiss(row, second)
    ]
    live = {order.order_id for order in first.orders}
    orphaned = _one_a_leg(
        order for order in second.orders if order.order_id in live and _is_orphan(order, rows, first, second)
    )
    return Suspicions(tuple(external), tuple(amiss), tuple(orphaned))


def _leg(position: VenuePosition) -> tuple[str, PositionSide]:
    return position.symbol, position.position_side


def _owns(row: OwnedRow, position: VenuePosition) -> bool:
    """Rows of the old code name no leg, so one of them owns the market's every leg."""
    legs = {row.position_side, position.position_side.value}
    return row.symbol == position.symbol and (len(legs) == 1 or PositionSide.BOTH.value in legs)


def _amiss(row: OwnedRow, look: VenueSnapshot) -> bool:
    held = next((p for p in look.positions if _owns(row, p) and p.side is row.side), None)
    rule = look.markets.get(row.symbol)
    if held is None or rule is None or row.quantity is None:
        return rule is not None
    orders = [o for o in look.orders if (o.symbol, o.position_side) == _leg(held)]
    if differs(row.quantity, held.quantity, step=rule.lot_step):
        return True
    if not protection_of(held, orders, rule.lot_step).covers:
        return True
    named = [o.order_id for o in orders]
    ours = [o for o in orders if (o.client_order_id or "").startswith(f"{intent_of(row.request_key)}-s")]
    return row.stop_loss_order_id not in named or len(ours) > 1


def _one_a_leg(orders: Iterable[VenueOrder]) -> list[VenueOrder]:
    """Of several at most one in a pass: each was judged by the others' standing."""
    return list({(order.symbol, order.position_side): order for order in orders}.values())


def still_orphans(orders: Sequence[VenueOrder], rows: Sequence[OwnedRow]) -> list[VenueOrder]:
    """Those that no row which is open by now has placed."""
    return [order for order in orders if not _has_owner(order, rows)]


def _has_owner(order: VenueOrder, rows: Sequence[OwnedRow]) -> bool:
    named = order.client_order_id or ""
    return any(named.startswith(intent_of(row.request_key)) for row in rows if row.request_key)


def _is_orphan(
    order: VenueOrder, rows: Sequence[OwnedRow], first: VenueSnapshot, second: VenueSnapshot
) -> bool:
    """A stop that the core placed for a row that is no longer open, where nothing stands or what stands is covered without it."""
    if not order.conditional or not (order.client_order_id or "").startswith(OURS):
        return False
    if _has_owner(order, rows):
        return False
    if not any(p.symbol == order.symbol for p in (*first.positions, *second.positions)):
        return True
    return _covered_without(order, first) and _covered_without(order, second)


def _covered_without(order: VenueOrder, look: VenueSnapshot) -> bool:
    leg = (order.symbol, order.position_side)
    held = [p for p in look.positions if _leg(p) == leg]
    rule = look.markets.get(order.symbol)
    others = [o for o in look.orders if (o.symbol, o.position_side) == leg and o.order_id != order.order_id]
    return rule is not None and all(protection_of(p, others, rule.lot_step).covers for p in held)
