"""Changes of the bot's rows by a cleanup. Every function works inside the caller's transaction; nothing is ever deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import ConflictError
from posguard.model.exact_json import dumps, loads
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row that a line changed, before and after; before is None for a row that it added."""

    line_id: int
    number: int
    row_id: int
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]


async def recorded(connection: Any, plan_id: int) -> list[Recorded]:
    """What a plan changed and nobody has taken back yet, the last change first."""
    return [
        Recorded(
            r["line_id"],
            r["number"],
            r["row_id"],
            loads(r["before"]) if r["before"] else None,
            loads(r["after"]),
        )
        async for r in queries("cleanup").recorded(connection, plan_id=plan_id)
    ]


async def restore_row(
    connection: Any, plan_id: int, row_id: int, was: Mapping[str, Any], *, actor: str, managed: bool
) -> dict[str, Any]:
    """Writes a row as it was and returns it. Raises ConflictError where an index or a check refuses it."""
    sql = queries("cleanup")
    try:
        async with connection.transaction():
            await sql.say_who(connection, actor=actor, reason=f"cleanup plan {plan_id} taken back")
            if managed:
                await sql.announce_restore(connection, plan_id=plan_id, row_id=row_id)
            after: dict[str, Any] = loads(await sql.restore_row(connection, row_id=row_id, was=dumps(was)))
            return after
    except asyncpg.IntegrityConstraintViolationError as error:
        why = error.constraint_name or type(error).__name__
        raise ConflictError(f"row #{row_id} cannot come back: the database refuses it ({why})") from None


async def open_rows_of(connection: Any, exchange: str, symbol: str) -> list[dict[str, Any]]:
    """The open rows of a market, whole."""
    found = queries("cleanup").open_rows_of(connection, exchange=exchange, symbol=symbol)
    return [loads(record["whole"]) async for record in found]
