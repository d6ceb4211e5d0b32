"""Cleanup plans, their lines and the record of every step: posguard.plans, plan_lines and cleanup_actions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from posguard.model.exact_json import dumps
from posguard.model.order import Why
from posguard.model.plan import LineState, Plan, PlanState, StoredLine, StoredPlan, spelled_code
from posguard.model.plan_text import (
    left_out_of,
    left_out_plain,
    line_of,
    line_plain,
    options_of,
    options_plain,
)
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Note:
    """One step for the record. before and after are whole rows as JSON."""

    event: str
    line_id: int | None = None
    client_order_id: str | None = None
    row_id: int | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that a line has meant, how long ago, and the last thing known of it."""

    client_order_id: str
    age: timedelta
    detail: Mapping[str, Any]
    outcome: Mapping[str, Any] | None


async def store(connection: Any, plan: Plan) -> StoredPlan:
    """Writes a plan with its lines; call it inside a transaction."""
    plan_id: int = await queries("plans").insert_plan(
        connection,
        code=plan.code,
        digest=plan.digest,
        mode=plan.options.mode.value,
        options=options_plain(plan.options),
        database_fingerprint=plan.database_fingerprint,
        worlds=dict(plan.worlds),
        created_at=plan.created_at,
        created_by=plan.created_by,
        source=plan.source,
        expires_at=plan.expires_at,
        left_out=[left_out_plain(one) for one in plan.left_out],
        inconclusive=list(plan.inconclusive),
        notes=list(plan.notes),
    )
    said = [
        {"decision": line.decision, "reversible": line.reversible, "detail": line_plain(line)}
        for line in plan.lines
    ]
    made = queries("plans").insert_lines(connection, plan_id=plan_id, lines=said)
    ids = sorted([(record["number"], record["id"]) async for record in made])
    stored = tuple(
        StoredLine(id=line_id, number=number, line=line)
        for (number, line_id), line in zip(ids, plan.lines, strict=True)
    )
    return StoredPlan(replace(plan, id=plan_id), plan.code, plan.digest, PlanState.PLANNED, stored)


async def by_code(connection: Any, code: str) -> StoredPlan | None:
    """The plan of a code as a person types it, or None."""
    record = await queries("plans").by_code(connection, code=spelled_code(code))
    return await _stored(connection, record) if record else None


async def by_id(connection: Any, plan_id: int) -> StoredPlan | None:
    """One plan, or None."""
    record = await queries("plans").by_id(connection, id=plan_id)
    return await _stored(connection, record) if record else None


async def recent(connection: Any, limit: int) -> list[StoredPlan]:
    """The newest plans first."""
    records = [record async for record in queries("plans").recent(connection, limit=limit)]
    return [await _stored(connection, record) for record in records]


async def start(connection: Any, plan_id: int, *, actor: str, now: datetime) -> bool:
    """Marks a plan as under way; False where another did, or it has expired."""
    return await queries("plans").start(connection, id=plan_id, actor=actor, now=now) is not None


async def keep_backup(connection: Any, plan_id: int, path: str, checksum: str) -> None:
    """Remembers where the backup of a plan under way lies."""
    await queries("plans").keep_backup(connection, id=plan_id, backup=path, checksum=checksum)


async def finish(connection: Any, plan_id: int) -> PlanState | None:
    """Ends a plan whose lines have all ended; None where one has not."""
    state = await queries("plans").finish(connection, id=plan_id)
    return PlanState(state) if state else None


async def claim(connection: Any, line_id: int, *, owner: str, length: timedelta) -> int | None:
    """Takes a line for a while; its fencing number, or None where another holds it or it has ended."""
    number: int | None = await queries("plans").claim(connection, id=line_id, owner=owner, length=length)
    return number


async def holds(connection: Any, line_id: int, *, owner: str, fencing: int, length: timedelta) -> bool:
    """Whether a claim still stands; it is extended then."""
    found = await queries("plans").holds(connection, id=line_id, owner=owner, fencing=fencing, length=length)
    return bool(found)


async def anything_sent(connection: Any, line_id: int) -> bool:
    """Whether an order of a line was sent, or may have been: all that it meant but what is known to have stayed here."""
    meant = await intents_of(connection, line_id)
    return any((intent.outcome or {}).get("why") != Why.NEVER_SENT for intent in meant)


async def line_state(connection: Any, line_id: int) -> LineState:
    """Where a line stands now."""
    return LineState(await queries("plans").line_state(connection, id=line_id))


async def release(connection: Any, line_id: int, *, fencing: int) -> None:
    """Gives a claim back, where it still is the present one."""
    await queries("plans").release(connection, id=line_id, fencing=fencing)


async def set_line(
    connection: Any,
    line_id: int,
    state: LineState,
    *,
    fencing: int,
    reason: str = "",
    made_row: int | None = None,
) -> bool:
    """A line's new state; False where the claim was lost to another or the line has ended: then nothing was written."""
    found = await queries("plans").end_line(
        connection, id=line_id, state=state.value, fencing=fencing, reason=reason, made_row=made_row
    )
    return found is not None


async def set_verified(connection: Any, line_id: int, *, verified: bool, reason: str) -> None:
    """What the venue and the database showed after a line was done."""
    await queries("plans").verify_line(connection, id=line_id, verified=verified, reason=reason)


async def note(connection: Any, plan_id: int, actor: str, said: Note) -> None:
    """Adds a step to the record."""
    await queries("plans").note(
        connection,
        plan_id=plan_id,
        line_id=said.line_id,
        actor=actor,
        event=said.event,
        client_order_id=said.client_order_id,
        row_id=said.row_id,
        before=None if said.before is None else dumps(said.before),
        after=None if said.after is None else dumps(said.after),
        detail=dict(said.detail or {}),
    )


async def actions_of(connection: Any, plan_id: int) -> list[dict[str, Any]]:
    """The record of a plan, in order."""
    return [dict(r) async for r in queries("plans").actions_of(connection, plan_id=plan_id)]


async def intents_of(connection: Any, line_id: int) -> list[Intent]:
    """The orders that a line has meant, in order."""
    return [
        Intent(r["client_order_id"], r["age"], r["detail"], r["outcome"])
        async for r in queries("plans").intents_of(connection, line_id=line_id)
    ]


async def _stored(connection: Any, record: Any) -> StoredPlan:
    lines = [line async for line in queries("plans").lines_of(connection, plan_id=record["id"])]
    stored = tuple(
        StoredLine(
            id=line["id"],
            number=line["number"],
            line=line_of(line["detail"]),
            state=LineState(line["state"]),
            reason=line["reason"],
            verified=line["verified"],
            fencing=line["fencing"],
            made_row=line["made_row"],
        )
        for line in lines
    )
    plan = Plan(
        options=options_of(record["options"]),
        created_at=record["created_at"],
        expires_at=record["expires_at"],
        created_by=record["created_by"],
        database_fingerprint=record["database_fingerprint"],
        worlds=record["worlds"],
        lines=tuple(one.line for one in stored),
        left_out=tuple(left_out_of(one) for one in record["left_out"]),
        inconclusive=tuple(record["inconclusive"]),
        notes=tuple(record["notes"]),
        id=record["id"],
        source=record["source"],
    )
    return StoredPlan(
        plan=plan,
        code=record["code"],
        digest=record["digest"],
        state=PlanState(record["state"]),
        lines=stored,
        started_at=record["started_at"],
        finished_at=record["finished_at"],
        backup=record["backup"],
    )


def sound(stored: StoredPlan) -> bool:
    """Whether code and digest are those of what is stored: nothing of it was changed since it was written."""
    return (stored.plan.digest, stored.plan.code) == (stored.digest, stored.code)
