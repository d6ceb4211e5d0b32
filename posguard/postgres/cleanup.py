"""Changes of the bot's rows by a cleanup. Every function works inside the caller's transaction; nothing is ever deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import ConflictError
from posguard.model.exact_json import loads
from posguard.model.plan import NEW_STOP
from posguard.model.transitions import path
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from posguard.model.plan import Change

_APART = {
    "stop_loss_order_id": "set_stop_order",
    "account": "set_account",
    "position_side": "set_position_side",
    "origin": "set_origin",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A row that this transaction holds: the whole of it as JSON; leased while the trading core works on it."""

    whole: Mapping[str, Any]
    leased: bool


async def lock_rows(connection: Any, ids: Collection[int]) -> dict[int, Held]:
    """Holds rows until the transaction ends, by id; rows that are not there are left out."""
    found = queries("cleanup").lock_rows(connection, ids=sorted(ids))
    return {record["id"]: Held(loads(record["whole"]), record["leased"]) async for record in found}


async def whole_rows(connection: Any, ids: Collection[int]) -> list[dict[str, Any]]:
    """Rows as JSON, by id."""
    return [loads(record["whole"]) async for record in queries("cleanup").rows(connection, ids=sorted(ids))]


async def change_row(
    connection: Any,
    row_id: int,
    before: Mapping[str, Any],
    changes: Iterable[Change],
    *,
    actor: str,
    reason: str,
    stop_order_id: str = "",
) -> dict[str, Any]:
    """Writes the changes and returns the row as it is then. A row that the core manages takes legal steps only.

    Raises ConflictError where an index or a check of the database refuses it: then nothing was written.
    """
    said = resolved(changes, stop_order_id)
    try:
        async with connection.transaction():
            return await _changed(connection, row_id, before, said, actor=actor, reason=reason)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ConflictError(
            f"the database refuses it ({error.constraint_name or type(error).__name__})"
        ) from None


async def _changed(
    connection: Any,
    row_id: int,
    before: Mapping[str, Any],
    said: dict[str, str | None],
    *,
    actor: str,
    reason: str,
) -> dict[str, Any]:
    sql = queries("cleanup")
    await sql.say_who(connection, actor=actor, reason=reason)
    if before.get("core_managed") and "status" in said:
        *between, _ = path(before["status"], said["status"] or "")
        for status in between:
            await sql.set_status(connection, id=row_id, status=status)
    if "stop_loss_order_id" in said:
        await sql.set_stop_order(connection, id=row_id, order_id=said.pop("stop_loss_order_id"))
    after: dict[str, Any] = loads(await sql.change_row(connection, id=row_id, said=said))
    return after


async def adopt_row(
    connection: Any, changes: Iterable[Change], *, actor: str, reason: str, stop_order_id: str = ""
) -> int | None:
    """Adds an open row and returns its id; None where a unique index refuses it."""
    sql = queries("cleanup")
    said = resolved(changes, stop_order_id)
    await sql.say_who(connection, actor=actor, reason=reason)
    apart = {name: said.pop(name) for name in _APART if name in said}
    row_id: int | None = await sql.adopt_row(connection, said=said)
    if row_id is None:
        return None
    for name, value in apart.items():
        argument = {"order_id": value} if name == "stop_loss_order_id" else {"value": value}
        await getattr(sql, _APART[name])(connection, id=row_id, **argument)
    return row_id


def resolved(changes: Iterable[Change], stop_order_id: str) -> dict[str, str | None]:
    """What the changes write, the new stop's id put in; left out where it is not known."""
    said = {change.column: change.after for change in changes}
    if said.get("stop_loss_order_id") == NEW_STOP:
        if stop_order_id:
            said["stop_loss_order_id"] = stop_order_id
        else:
            del said["stop_loss_order_id"]
    return said
