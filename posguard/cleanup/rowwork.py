"""Changing one row: held, compared with what the plan saw, and written with its record in one short transaction (CLN-2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from posguard.errors import ConflictError
from posguard.model.plan import Action, Change, LineState
from posguard.model.position import PositionSide, is_open
from posguard.model.scope import Scope
from posguard.postgres import cleanup, managed, plans
from posguard.postgres.plans import Note
from posguard.postgres.positions import read_open_positions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posguard.cleanup.work import Work
    from posguard.model.plan import Line, StoredLine
    from posguard.model.position import PositionRow
    from posguard.postgres.cleanup import Held


async def compared(connection: Any, work: Work, line: Line) -> tuple[dict[int, Held], str]:
    """Holds the rows that a line depends on; and why it may not go on, empty where they are as the plan saw them."""
    held = await cleanup.lock_rows(connection, {ref.id for ref in line.guards})
    rows = await read_open_positions(connection, work.accounts, Scope(line.key.exchange, line.key.symbol))
    by_id = {row.id: row for row in rows}
    for ref in line.guards:
        row = by_id.get(ref.id)
        if row is None:
            return held, f"row #{ref.id} is no longer open"
        if (row.digest, row.version) != (ref.digest, ref.version):
            return held, f"row #{ref.id} changed since the plan"
        if held[ref.id].leased:
            return held, f"the trading core is at work on row #{ref.id}"
    others = [row.id for row in rows if _claims(row, line) and row.id not in line.key_rows]
    if others:
        return held, f"row #{others[0]} claims the same position since"
    return held, ""


def _claims(row: PositionRow, line: Line) -> bool:
    """Whether an open row claims the line's key; in hedge mode a row that names no leg lives in the leg of its side."""
    key = line.key
    if row.position_side is PositionSide.BOTH and key.position_side is not PositionSide.BOTH and row.side:
        row = replace(row, position_side=PositionSide(row.side.value))
    return row.key == key


async def change(
    connection: Any,
    work: Work,
    one: StoredLine,
    fencing: int,
    *,
    held: Mapping[int, Held],
    changes: tuple[Change, ...],
    stop_order_id: str = "",
) -> None:
    """Writes what a line changes, its record and its end. Raises LostError, and then nothing was written."""
    line = one.line
    if line.action is Action.ADOPT:
        await _adopt(connection, work, one, fencing, stop_order_id)
        return
    if line.row is not None and changes:
        before = held[line.row.id].whole
        try:
            after = await cleanup.change_row(
                connection, line.row.id, before, changes, actor=work.actor, reason=_reason(work, one),
                stop_order_id=stop_order_id,
            )  # fmt: skip
        except ConflictError as error:
            state = LineState.FAILED if line.orders else LineState.SKIPPED
            await work.end(
                connection, one, fencing, state, f"row #{line.row.id} was left as it is: {error.message}"
            )
            return
        await work.note(connection, Note("changed", one.id, row_id=line.row.id, before=before, after=after))
    await work.end(connection, one, fencing, LineState.DONE, "")


async def _adopt(connection: Any, work: Work, one: StoredLine, fencing: int, stop_order_id: str) -> None:
    line = one.line
    await managed.take_lock(connection, line.key)
    _, why = await compared(connection, work, line)
    row_id = None
    if not why:
        row_id = await cleanup.adopt_row(
            connection, line.changes, actor=work.actor, reason=_reason(work, one), stop_order_id=stop_order_id
        )
        why = "" if row_id else "another open row of this key is there"
    if row_id is None:
        await work.end(connection, one, fencing, LineState.FAILED, f"not adopted: {why}")
        return
    (after,) = await cleanup.whole_rows(connection, [row_id])
    await work.note(connection, Note("changed", one.id, row_id=row_id, after=after))
    done = await plans.set_line(
        connection, one.id, LineState.DONE, fencing=fencing, reason="", made_row=row_id
    )
    assert done


def _reason(work: Work, one: StoredLine) -> str:
    return f"cleanup {work.plan.code} line {one.number}: {one.line.action}"


async def ended_meanwhile(connection: Any, line: Line) -> bool:
    """Whether the row of a line has been ended by another hand."""
    if line.row is None:
        return False
    rows = await cleanup.whole_rows(connection, [line.row.id])
    return bool(rows) and not is_open(rows[0].get("status"))


async def undo(connection: Any, work: Work, one: StoredLine) -> str:
    """Opens a row again that a line ended although its position is there; what was done, in words.

    Nothing where the row is no longer as the line left it, another row claims the key, or the core manages it.
    """
    line = one.line
    if line.row is None:
        return "nothing to take back"
    held = (await cleanup.lock_rows(connection, [line.row.id])).get(line.row.id)
    left = next((c.after for c in line.changes if c.column == "status"), None)
    if held is None or held.whole.get("status") != left:
        return "the row was changed again since, and is left as it is"
    if held.whole.get("core_managed"):
        return "the core manages the row, and what it ended stays ended"
    was = await _before(connection, work, one)
    back = tuple(Change(change.column, change.after, was.get(change.column)) for change in line.changes)
    try:
        after = await cleanup.change_row(
            connection,
            line.row.id,
            held.whole,
            back,
            actor=work.actor,
            reason=f"{_reason(work, one)}, taken back",
        )
    except ConflictError as error:
        return f"the row could not be opened again: {error.message}"
    note = Note("restored", one.id, row_id=line.row.id, before=held.whole, after=after)
    await work.note(connection, note)
    return "the row was opened again"


async def _before(connection: Any, work: Work, one: StoredLine) -> Mapping[str, Any]:
    """The row as it was before a line changed it, by the record."""
    for action in await plans.actions_of(connection, work.plan.id):
        if action["event"] == "changed" and action["line_id"] == one.id:
            return action["before"] or {}
    return {}
