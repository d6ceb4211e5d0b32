"""The two sides of a finding as fields people read. Nothing in them moves while the world stands still."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from posguard.model.money import plain
from posguard.model.position import PositionSide
from posguard.model.venue import OrderKind

if TYPE_CHECKING:
    from datetime import datetime

    from posguard.model.position import PositionRow
    from posguard.model.venue import VenueOrder, VenuePosition

Fields = dict[str, str]
NOTHING = "–"


def moment(at: datetime | None) -> str:
    """A time to the millisecond, UTC: `2025-10-22 21:50:40.981Z`; a dash for None."""
    if at is None:
        return NOTHING
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def row_fields(row: PositionRow) -> Fields:
    """One row of the database. `updated` is shown and, as prices move it, never counts as a change."""
    stop = {"stop_loss_order_id": row.stop_loss_order_id or NOTHING} if row.records_stop_order else {}
    return {
        "id": str(row.id),
        "symbol": row.raw_symbol,
        "exchange": row.exchange,
        "side": row.raw_side or NOTHING,
        "quantity": plain(row.quantity),
        "status": "NULL" if row.status is None else row.status,
        "entry_price": plain(row.entry_price),
        "exchange_order_id": row.exchange_order_id or NOTHING,
        **stop,
        "stop_loss_price": plain(row.stop_loss_price),
        "has_stop_loss": {None: NOTHING, True: "yes", False: "no"}[row.has_stop_loss],
        "opened": moment(row.opened_at),
        "created": moment(row.created_at),
        "updated": moment(row.updated_at),
    }


def position_fields(position: VenuePosition) -> Fields:
    """One position of a venue."""
    leg = {} if position.position_side is PositionSide.BOTH else {"leg": position.position_side.value}
    return {
        "what": "position",
        "symbol": position.symbol,
        **leg,
        "side": position.side.value,
        "quantity": plain(position.quantity),
        "entry_price": plain(position.entry_price),
        "stop_loss_price": plain(position.stop_loss),
    }


def order_fields(order: VenueOrder) -> Fields:
    """One live order of a venue; a trailing stop's trigger follows the price and is left out."""
    follows = order.kind is OrderKind.TRAILING
    return {
        "what": "order",
        "order_id": order.order_id,
        "client_order_id": order.client_order_id or NOTHING,
        "kind": order.kind.value,
        "side": "buy" if order.buys else "sell",
        "quantity": "whole position" if order.close_position else plain(order.quantity),
        "trigger_price": "follows the price" if follows else plain(order.trigger_price),
        "price": plain(order.price),
        "only_reduces": "yes" if order.only_reduces else "no",
        "created": moment(order.created_at),
    }
