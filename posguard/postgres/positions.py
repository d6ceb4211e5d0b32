"""The open rows of the bot's table monitoring.positions; reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.model.money import to_decimal
from posguard.model.position import PositionRow, PositionSide, parse_side
from posguard.model.scope import Scope
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERYTHING = Scope()


async def read_open_positions(
    connection: Any, accounts: Mapping[str, str], scope: Scope = _EVERYTHING
) -> tuple[PositionRow, ...]:
    """Every open row that the scope covers, by id; unknown statuses and NULL count as open.

    `accounts` names the account that an exchange's rows belong to on deployments without the column account ("main"
    where it is not named). Columns that a deployment lacks are None. Raises SchemaError where the table is missing, and
    DatabaseUnavailableError.
    """
    found = queries("positions").open_positions(connection, exchange=scope.exchange, symbol=scope.symbol)
    return tuple([_row(record, accounts) async for record in found])


async def has_symbol(connection: Any, scope: Scope) -> bool:
    """Whether any row, open or not, bears the scope's symbol on its exchange. Raises as `read_open_positions`."""
    return bool(
        await queries("positions").has_symbol(connection, symbol=scope.symbol, exchange=scope.exchange)
    )


def _row(record: Any, accounts: Mapping[str, str]) -> PositionRow:
    leg = (record["position_side"] or "").lower()
    return PositionRow(
        id=record["id"],
        exchange=record["exchange"],
        account=record["account"] or accounts.get(record["exchange"], "main"),
        raw_symbol=record["raw_symbol"],
        position_side=PositionSide(leg) if leg in set(PositionSide) else PositionSide.BOTH,
        raw_side=record["raw_side"],
        side=parse_side(record["raw_side"]),
        quantity=to_decimal(record["quantity"]),
        entry_price=to_decimal(record["entry_price"]),
        status=record["status"],
        exchange_order_id=record["exchange_order_id"],
        stop_loss_order_id=record["stop_loss_order_id"],
        stop_loss_price=to_decimal(record["stop_loss_price"]),
        has_stop_loss=record["has_stop_loss"],
        records_stop_order=record["records_stop_order"],
        created_at=record["created_at"],
        opened_at=record["opened_at"],
        updated_at=record["updated_at"],
        digest=record["digest"],
        version=record["version"],
        core_managed=record["core_managed"],
    )
