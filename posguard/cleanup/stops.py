"""Where a stop belongs, and what a line sends to place one or to leave a position. Pure.

Invariants: a stop triggers on the losing side of the price; it covers the whole position; nothing that protects is cancelled
before the new stop stands or the position is flat.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from posguard.model.plan import Given, PlannedOrder, Role
from posguard.model.position import Side
from posguard.model.venue import OrderKind

if TYPE_CHECKING:
    from posguard.model.position import PositionRow
    from posguard.model.venue import VenueOrder
    from posguard.reconcile.facts import KeyCase


def stop_price(case: KeyCase, row: PositionRow | None, distance: Decimal) -> Decimal | None:
    """The price that the row records, else `distance` (a share) from the entry; on the market's tick.

    None where no price is known, or that price is through already.
    """
    position, market = case.position, case.market
    if position is None or market is None:
        return None
    wanted = row.stop_loss_price if row else None
    if wanted is None:
        entry = position.entry_price or (row.entry_price if row else None)
        if entry is None:
            return None
        wanted = entry * (1 - distance if position.side is Side.LONG else 1 + distance)
    ticks = (wanted / market.tick_size).to_integral_value(rounding=ROUND_HALF_UP)
    trigger = ticks * market.tick_size
    reference = position.mark_price or position.entry_price
    if reference is None or trigger <= 0:
        return None
    losing = trigger < reference if position.side is Side.LONG else trigger > reference
    return trigger if losing else None


def stop_order(case: KeyCase, trigger: Decimal) -> PlannedOrder:
    """A stop behind the whole position."""
    assert case.position is not None
    return PlannedOrder(Role.STOP, case.position.side, case.position.quantity, trigger)


def close_order(case: KeyCase, given: Given = Given.ALWAYS) -> PlannedOrder:
    """A reduce-only market order for the whole position."""
    assert case.position is not None
    return PlannedOrder(
        Role.CLOSE, case.position.side, case.position.quantity, conditional=False, given=given
    )


def cancel_order(order: VenueOrder, given: Given = Given.ALWAYS) -> PlannedOrder:
    """The cancelling of one live order."""
    return PlannedOrder(Role.CANCEL, order_id=order.order_id, conditional=order.conditional, given=given)


def replaced(case: KeyCase) -> list[VenueOrder]:
    """The stops that a new one makes needless: too small ones, and those that can never protect."""
    guarded = case.protection
    if guarded is None:
        return []
    ids = {stop.order_id for stop in (*guarded.valid, *guarded.wrong) if stop.order_id}
    return [order for order in _cancellable(case) if order.order_id in ids and order.kind is OrderKind.STOP]


def left_behind(case: KeyCase) -> list[VenueOrder]:
    """The live orders of the key that have nothing to close once the position is flat."""
    return [order for order in _cancellable(case) if order.conditional or order.only_reduces]


def _cancellable(case: KeyCase) -> list[VenueOrder]:
    """A stop that is part of the position goes with it and is no order to cancel."""
    return [order for order in case.orders if not order.position_level]
