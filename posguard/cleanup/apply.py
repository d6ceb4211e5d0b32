"""Carrying out a plan: gate, backup, each line claimed, decided again, done and recorded; then looked at once more.

Invariants:
- nothing changes before the backup was written and read back;
- a row changes only while it is held and is as the plan saw it, in the transaction that records it;
- an order is sent only after its intent is committed, and never twice;
- a terminal status is written only once the outcome of the line's orders is settled;
- run again after an interruption, a plan is finished: what was done stays done once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.cleanup.backing import make_backup
from posguard.cleanup.gate import Asked, refuse
from posguard.cleanup.ordering import carry_out
from posguard.cleanup.rowwork import change, compared
from posguard.cleanup.verify import verify
from posguard.cleanup.work import LostError, Pace, Work, no_checkpoint
from posguard.errors import PosguardError, RefusedError, SettingsError
from posguard.model.plan import LineState, PlanState
from posguard.model.venue import VenueId
from posguard.postgres import plans, runs
from posguard.postgres.plans import Note
from posguard.postgres.schema import require_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from posguard.cleanup.work import Checkpoint
    from posguard.exchange.gateway import Gateway, TradingGateway
    from posguard.model.plan import Line, StoredLine, StoredPlan
    from posguard.postgres.pool import Database
    from posguard.settings import Settings

_UNENDED = frozenset({LineState.PLANNED, LineState.INTENDED, LineState.UNRESOLVED})


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def apply_plan(
    db: Database,
    gateways: Iterable[Gateway],
    settings: Settings,
    code: str,
    *,
    actor: str,
    traders: Iterable[TradingGateway] = (),
    backup: Path | None,
    production: str = "",
    rows: int | None = None,
    pace: Pace | None = None,
    checkpoint: Checkpoint = no_checkpoint,
    progress: Callable[[str], None] = lambda _: None,
    step: Callable[[int, int], None] = lambda _done, _all: None,
    clock: Callable[[], datetime] = _utc_now,
    owner: str = "",
) -> StoredPlan:
    """Carries out the plan of a code and returns it with what became of each line.

    gateways read the venues; traders send, opened with `before_send=posguard.trading.before_send`, and are needed for the
    venues of lines with orders alone. backup is the file to write, None for none at all. rows and production are what was
    typed to open those gates. checkpoint, for tests, is awaited at every durable step. step hears how many lines are done.

    Raises RefusedError where a gate is shut (wrong, used or expired code, another database or world), SettingsError where a
    trader is missing, and what the database raises; then the plan can be taken up again by the same call.
    """
    readers = {gateway.venue: gateway for gateway in gateways}
    async with db.snapshot() as connection:
        await require_schema(connection)
        found = await plans.by_code(connection, code)
        asked = Asked(
            code=code,
            database_fingerprint=await runs.database_fingerprint(connection),
            worlds={str(venue): gateway.world.value for venue, gateway in readers.items()},
            now=clock(),
            production=production,
            rows=rows,
        )
    stored = refuse(found, found is not None and plans.sound(found), asked)
    work = Work(
        db=db,
        plan=stored,
        readers=readers,
        traders={trader.venue: trader for trader in traders},
        settings=settings,
        actor=actor,
        owner=owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        pace=pace or Pace(),
        checkpoint=checkpoint,
        clock=clock,
        progress=progress,
    )
    _check_traders(work)
    await _start(work)
    await _back_up(work, backup)
    await _lines(work, step)
    return await _finish(work)


def _check_traders(work: Work) -> None:
    """Raises SettingsError where orders are to be sent to a venue that nobody may trade on."""
    wanted = {
        VenueId(one.line.key.exchange, one.line.key.account)
        for one in work.plan.lines
        if one.line.orders and one.state in _UNENDED
    }
    if missing := sorted(wanted - work.traders.keys()):
        name = f"POSGUARD_{missing[0].exchange.upper()}_TRADE_KEY"
        raise SettingsError(
            f"The plan sends orders to {missing[0]}, and no key that may trade is set for it. Nothing was changed.",
            hint=f"Set {name} and …_SECRET.",
        )


async def _start(work: Work) -> None:
    if work.plan.state is PlanState.APPLYING:
        return
    async with work.db.transaction() as connection:
        begun = await plans.start(connection, work.plan.id, actor=work.actor, now=work.clock())
        if begun:
            await work.note(connection, Note("started", detail={"owner": work.owner}))
    if not begun:
        raise RefusedError(
            f"The code {work.plan.code} was used a moment ago, or expired. Nothing was changed by this run.",
            hint="Run it again to take up what the other run leaves, or plan again.",
        )
    await work.checkpoint("started")


async def _back_up(work: Work, path: Path | None) -> None:
    """Once for each plan: a run that takes one up again keeps the backup of the first."""
    async with work.db.connection() as connection:
        done = any(action["event"] == "backup" for action in await plans.actions_of(connection, work.plan.id))
    if done:
        return
    made = None if path is None else await make_backup(work, path)
    await work.checkpoint("backup written")
    async with work.db.transaction() as connection:
        if made is not None:
            await plans.keep_backup(connection, work.plan.id, str(made.path), made.checksum)
        detail = {"path": str(made.path), "checksum": made.checksum} if made else {"path": None}
        await work.note(connection, Note("backup", detail=detail))
    await work.checkpoint("backup noted")


async def _lines(work: Work, step: Callable[[int, int], None]) -> None:
    for done, one in enumerate(work.plan.lines):
        step(done, len(work.plan.lines))
        if one.state not in _UNENDED:
            continue
        await _claimed(work, one)
    step(len(work.plan.lines), len(work.plan.lines))


async def _claimed(work: Work, one: StoredLine) -> None:
    """One line, once its claim is had: a run that died holds its last one until the lease is over."""
    until = time.monotonic() + work.pace.lease + work.pace.poll
    while True:
        state = await work.state(one)
        if state not in _UNENDED:
            return
        fencing = await work.claim(one)
        if fencing is not None:
            break
        if time.monotonic() >= until:
            return
        work.progress(f"line {one.number}: waiting for another run to end, or for its lease")
        await work.pause()
    await work.checkpoint("claimed")
    try:
        await _line(work, replace(one, state=state), fencing)
    except LostError:
        work.progress(f"line {one.number} was taken over by another run")
    except asyncio.CancelledError:
        with contextlib.suppress(PosguardError):
            await work.release(one, fencing)
        raise


async def _line(work: Work, one: StoredLine, fencing: int) -> None:
    """One line from where it stands to its end."""
    if one.state is LineState.PLANNED:
        if why := await _why_not(work, one.line):
            async with work.db.transaction() as connection:
                await work.end(connection, one, fencing, LineState.SKIPPED, why)
            await work.checkpoint("skipped")
            return
        await work.checkpoint("decided")
    if one.line.orders:
        await carry_out(work, one, fencing)
        return
    async with work.db.transaction() as connection:
        held, why = await compared(connection, work, one.line)
        if why:
            await work.end(connection, one, fencing, LineState.SKIPPED, why)
        else:
            await change(connection, work, one, fencing, held=held, changes=one.line.changes)
        await work.checkpoint("changing")
    await work.checkpoint("changed")


async def _why_not(work: Work, line: Line) -> str:
    """Why a line is not begun: the same rules decide otherwise on what is there now. Empty where they decide the same."""
    if work.clock() >= work.plan.plan.expires_at:
        return "the plan expired before this line was begun"
    seen = await work.seen(line)
    now = seen.lines.get(line.name)
    if now is not None and now.decision == line.decision:
        return ""
    venue = f"{VenueId(line.key.exchange, line.key.account)}:"
    for verdict in seen.observed.result.venues:
        if f"{verdict.venue}:" == venue and verdict.reasons:
            return f"the venue could not be judged: {verdict.reasons[0]}"
    if now is not None:
        changed = {ref.id for ref in now.guards} and [ref.id for ref in line.guards if ref not in now.guards]
        what = f"row #{changed[0]} changed" if changed else "what the venue holds changed"
        return f"{what} since the plan: plan again"
    said = next((out.why for out in seen.left_out if out.key == line.key), "")
    return f"no longer so: {said}" if said else "the problem is gone, or what it is about moves right now"


async def _finish(work: Work) -> StoredPlan:
    await verify(work)
    await work.checkpoint("verified")
    async with work.db.transaction() as connection:
        state = await plans.finish(connection, work.plan.id)
        if state is not None:
            await work.note(connection, Note("finished", detail={"state": state.value}))
    await work.checkpoint("finished")
    async with work.db.snapshot() as connection:
        found = await plans.by_id(connection, work.plan.id)
    assert found is not None
    return found
