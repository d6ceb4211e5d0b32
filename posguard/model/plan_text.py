"""Plans as plain JSON and back: texts, numbers and lists alone, Decimals as texts. What goes in comes out equal."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.model.plan import (
    Action,
    Change,
    Choice,
    Given,
    LeftOut,
    Line,
    Mode,
    PlannedOrder,
    PlanOptions,
    Role,
    RowRef,
)
from posguard.model.position import PositionKey, PositionSide, Side
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

Plain = dict[str, Any]


def options_plain(options: PlanOptions) -> Plain:
    """Options as JSON."""
    return {
        "mode": options.mode.value,
        "min_age": options.min_age.total_seconds(),
        "stop_distance": str(options.stop_distance),
        "exchange": options.scope.exchange,
        "symbol": options.scope.symbol,
        "action": options.choice.value if options.choice else None,
        "accept_absence": options.accept_absence,
        "safe_only": options.safe_only,
        "columns": sorted(options.columns),
    }


def options_of(said: Mapping[str, Any]) -> PlanOptions:
    """Options from JSON."""
    return PlanOptions(
        mode=Mode(said["mode"]),
        min_age=timedelta(seconds=said["min_age"]),
        stop_distance=Decimal(said["stop_distance"]),
        scope=Scope(said["exchange"], said["symbol"]),
        choice=Choice(said["action"]) if said["action"] else None,
        accept_absence=said["accept_absence"],
        safe_only=said["safe_only"],
        columns=frozenset(said["columns"]),
    )


def key_plain(key: PositionKey) -> Plain:
    """A key as JSON."""
    return {
        "exchange": key.exchange,
        "account": key.account,
        "symbol": key.symbol,
        "position_side": key.position_side.value,
    }


def key_of(said: Mapping[str, Any]) -> PositionKey:
    """A key from JSON."""
    return PositionKey(said["exchange"], said["account"], said["symbol"], PositionSide(said["position_side"]))


def line_plain(line: Line) -> Plain:
    """A line as JSON."""
    return key_plain(line.key) | {
        "mode": line.mode.value,
        "action": line.action.value,
        "why": line.why,
        "cost": line.cost,
        "row": _row_plain(line.row) if line.row else None,
        "guards": [_row_plain(ref) for ref in line.guards],
        "key_rows": list(line.key_rows),
        "changes": [_change_plain(change) for change in line.changes],
        "fallback": [_change_plain(change) for change in line.fallback],
        "orders": [order_plain(order) for order in line.orders],
        "evidence": list(line.evidence),
        "fingerprint": line.fingerprint,
        "subject": line.subject,
        "safe": line.safe,
        "accepts_absence": line.accepts_absence,
    }


def line_of(said: Mapping[str, Any]) -> Line:
    """A line from JSON."""
    return Line(
        mode=Mode(said["mode"]),
        action=Action(said["action"]),
        key=key_of(said),
        why=said["why"],
        cost=said["cost"],
        row=RowRef(**said["row"]) if said["row"] else None,
        guards=tuple(RowRef(**ref) for ref in said["guards"]),
        key_rows=tuple(said["key_rows"]),
        changes=tuple(Change(**change) for change in said["changes"]),
        fallback=tuple(Change(**change) for change in said["fallback"]),
        orders=tuple(_order_of(order) for order in said["orders"]),
        evidence=tuple(said["evidence"]),
        fingerprint=said["fingerprint"],
        subject=said["subject"],
        safe=said["safe"],
        accepts_absence=said["accepts_absence"],
    )


def left_out_plain(one: LeftOut) -> Plain:
    """What is left out, as JSON."""
    return key_plain(one.key) | {"what": one.what, "why": one.why, "row_ids": list(one.row_ids)}


def left_out_of(said: Mapping[str, Any]) -> LeftOut:
    """What is left out, from JSON."""
    return LeftOut(key_of(said), said["what"], said["why"], tuple(said["row_ids"]))


def order_plain(order: PlannedOrder) -> Plain:
    """An order as JSON."""
    return {
        "role": order.role.value,
        "side": order.side.value if order.side else None,
        "quantity": _number(order.quantity),
        "trigger": _number(order.trigger),
        "order_id": order.order_id,
        "conditional": order.conditional,
        "given": order.given.value,
    }


def _order_of(said: Mapping[str, Any]) -> PlannedOrder:
    return PlannedOrder(
        role=Role(said["role"]),
        side=Side(said["side"]) if said["side"] else None,
        quantity=_decimal(said["quantity"]),
        trigger=_decimal(said["trigger"]),
        order_id=said["order_id"],
        conditional=said["conditional"],
        given=Given(said["given"]),
    )


def _row_plain(ref: RowRef) -> Plain:
    return {"id": ref.id, "digest": ref.digest, "version": ref.version}


def _change_plain(change: Change) -> Plain:
    return {"column": change.column, "before": change.before, "after": change.after}


def _number(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
