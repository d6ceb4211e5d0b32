"""What each task of the two cleanup DAGs does: params become options, Connections settings, posguard plans and applies.

What posguard needs for the work is imported inside the functions: the DAG processor imports this module to parse the DAGs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posguard_airflow import (
    CLEANUP,
    one_line,
    read_connections,
    read_writer,
    run_mark,
    said,
    with_trade_key,
)
from posguard_approval import approver
from posguard_cleanup_params import PRODUCTION, Asked, approval_modes, read_params
from posguard_tasks import preflight

from posguard.errors import OperatorError, RefusedError, RetryableError
from posguard.model.plan import LineState, Mode, PlanState
from posguard.model.scope import Scope
from posguard.model.venue import World
from posguard.reconcile.breaker import tripped_in

if TYPE_CHECKING:
    from posguard.model.plan import StoredPlan
    from posguard.settings import Settings, VenueSettings

log = logging.getLogger(__name__)

# How many lines of a plan a log and an approval show; the page has them all.
SHOWN = 200


def gate(context: Any) -> str:
    """The task to go on with: `plan` without a code; `approve` or `apply` with one that opens the gate.

    Changes nothing. A wrong, used or expired code, one of another database or another world ends the run here.
    """
    with one_line():
        asked = read_params(context["params"], context["dag_run"].conf)
        modes = approval_modes()
    preflight()
    if not asked.code:
        log.info("No code: a plan is made, and nothing is changed.")
        return "plan"
    with one_line():
        stored = asyncio.run(_checked(read_connections(), asked))
    handed = {
        "id": stored.id,
        "code": stored.code,
        "expires_at": stored.plan.expires_at.isoformat(),
        "text": as_markdown(text := _plan_text(stored, how=False)),
    }
    context["ti"].xcom_push(key="plan", value=handed)
    log.info("The code %s opens the gate.\n%s", stored.code, text)
    return "approve" if stored.plan.options.mode in modes else "apply"


def plan(context: Any) -> int:
    """A plan for what the params ask, stored; returns its number. Reads the venues and changes nothing."""
    with one_line():
        asked = read_params(context["params"], context["dag_run"].conf)
        stored = asyncio.run(_planned(read_connections(), asked, actor(context)))
    _say(stored)
    return stored.id


def scheduled_gate() -> str:
    """Checks what the other tasks need, and that production is named where there is any; returns how it is named."""
    from airflow.sdk import Variable

    preflight()
    with one_line():
        settings = read_connections(venues=True)
        named = str(Variable.get(PRODUCTION, default="") or "").strip()
        if all(venue.world is not World.PRODUCTION for venue in settings.venues):
            return ""
        fingerprint = asyncio.run(_fingerprint(settings))
        if named != fingerprint:
            raise RefusedError(
                "A venue is production, and production is not named. Nothing was done.",
                hint=f"Set the Airflow variable {PRODUCTION} to the database's fingerprint {fingerprint}.",
            )
    return named


def scheduled_plan(context: Any) -> int:
    """A plan of the safe modes over everything, stored; returns its number. Changes nothing."""
    whole = Asked(Mode.ALL, Scope(), timedelta(hours=1), None, "", "")
    with one_line():
        stored = asyncio.run(_planned(read_connections(), whole, actor(context), safe_only=True))
    _say(stored)
    return stored.id


def apply(context: Any) -> int:
    """Carries out the plan that the gate let through; returns its number. Again is fine: it goes on where it was.

    Reads the Connections that may change something, here alone.
    """
    handed = context["ti"].xcom_pull(task_ids="gate", key="plan")
    production = str(context["params"]["production"] or "")
    return _carry_out(handed["id"], actor(context), production)


def scheduled_apply(context: Any, plan_id: int, production: str) -> int:
    """Carries out a plan of the safe modes; returns its number. Again is fine: it goes on where it was."""
    return _carry_out(plan_id, actor(context), production)


def summary(plan_id: int, *, strict: bool) -> None:
    """What became of each line into the log; red where something went wrong.

    strict: a line that was skipped is something wrong too, as after a confirmation by hand.
    """
    from airflow.sdk.exceptions import AirflowFailException

    with one_line():
        stored = asyncio.run(_read(read_connections(venues=False), plan_id))
    _say(stored)
    if trouble := troubles(stored, strict=strict):
        raise said(AirflowFailException(trouble))


def troubles(stored: StoredPlan, *, strict: bool) -> str:
    """What is wrong with how a plan stands, in one line; empty where nothing is."""
    plan = stored.plan
    fine = {LineState.DONE} if strict else {LineState.DONE, LineState.SKIPPED}
    wrong = [
        f"line {one.number} {one.state}"
        + (" and not verified" if one.verified is False else "")
        + (f" ({one.reason})" if one.reason else "")
        for one in stored.lines
        if one.verified is False or one.state not in fine
    ]
    said = []
    if wrong and stored.state is not PlanState.PLANNED:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        said.append(f"PARTLY: {'; '.join(wrong[:5])}{more}.")
    if tripped := [out.why for out in plan.left_out if tripped_in(out.why)]:
        said.append(f"BREAKER: {'; '.join(sorted(set(tripped)))}.")
    if not plan.lines and plan.inconclusive:
        said.append(f"INCONCLUSIVE: nothing is planned: {'; '.join(plan.inconclusive)}.")
    return " ".join([*said, f"Plan {stored.id} is on the page."]) if said else ""


def actor(context: Any) -> str:
    """Who does it, for the record: whoever triggered the run and whoever approved, and the run at the end."""
    run = context["dag_run"]
    answer = context["ti"].xcom_pull(task_ids="approve") if run.dag_id == CLEANUP else None
    approved = f", approved by {approver(answer['responded_by_user'])}" if answer else ""
    return f"{run.triggering_user_name or 'the schedule'}{approved}, {run_mark(run.run_id)}"


def _carry_out(plan_id: int, who: str, production: str) -> int:
    with one_line():
        settings = read_connections()
        settings = settings.model_copy(update={"dsn": read_writer() or settings.dsn})
        planned = asyncio.run(_read(settings, plan_id))
        traders = [with_trade_key(venue) for venue in _venues_of(settings, planned, sending=True)]
        stored = asyncio.run(_applied(settings, planned, traders, who, production))
        if stored.state is PlanState.APPLYING:
            left = [str(one.number) for one in stored.lines if one.state not in _ENDED]
            raise RetryableError(
                f"Of plan {stored.id} these lines have not ended: {', '.join(left[:20])}. What was done is recorded.",
                hint="The next try takes them up.",
            )
    return stored.id


def _venues_of(settings: Settings, stored: StoredPlan, *, sending: bool = False) -> list[VenueSettings]:
    """Every account of the exchanges that a plan touches, as the plan saw them; sending: the venues of lines that send orders."""
    if not sending:
        exchanges = {one.line.key.exchange for one in stored.lines}
        return [venue for venue in settings.venues if venue.exchange in exchanges]
    keys = {(one.line.key.exchange, one.line.key.account) for one in stored.lines if one.line.orders}
    return [venue for venue in settings.venues if (venue.exchange, venue.account) in keys]


_ENDED = frozenset({LineState.DONE, LineState.SKIPPED, LineState.FAILED})


def _say(stored: StoredPlan) -> None:
    log.info("%s", _plan_text(stored, how=not stored.plan.options.safe_only))


def _plan_text(stored: StoredPlan, *, how: bool) -> str:
    from posguard.report.plans import plan_text

    return plan_text(stored, lines=SHOWN, how=how)


async def _checked(settings: Settings, asked: Asked) -> StoredPlan:
    from posguard.cleanup import gate as gates
    from posguard.postgres import plans, runs
    from posguard.postgres.pool import Database

    async with (
        await Database.open(settings.dsn, application="posguard dag", read_only=True, size=1) as db,
        db.snapshot() as connection,
    ):
        found = await plans.by_code(connection, asked.code)
        fingerprint = await runs.database_fingerprint(connection)
    typed = gates.Asked(
        code=asked.code,
        database_fingerprint=fingerprint,
        worlds={str(venue.id): venue.world.value for venue in settings.venues},
        now=datetime.now(UTC),
        production=fingerprint,  # asked for below, in the words of this form
        rows=found.plan.accepted_absences if found else None,
    )
    stored = gates.refuse(found, found is not None and plans.sound(found), typed)
    if accepted := stored.plan.accepted_absences:
        raise RefusedError(
            f"The plan {stored.code} closes {accepted} rows on a person's word, which no form takes. Nothing was changed.",
            hint=f"Type it: posguard cleanup --confirm {stored.code} --rows {accepted}.",
        )
    if World.PRODUCTION.value in stored.plan.worlds.values() and asked.production != fingerprint:
        raise RefusedError(
            "The plan is for production. Nothing was changed.",
            hint=f"Put the database's fingerprint {fingerprint} into the param production.",
        )
    if not stored.plan.lines:
        raise RefusedError(f"The plan {stored.code} does nothing. Nothing was changed.")
    return stored


async def _fingerprint(settings: Settings) -> str:
    from posguard.postgres import runs
    from posguard.postgres.pool import Database

    async with (
        await Database.open(settings.dsn, application="posguard dag", read_only=True, size=1) as db,
        db.connection() as connection,
    ):
        return await runs.database_fingerprint(connection)


async def _planned(settings: Settings, asked: Asked, who: str, *, safe_only: bool = False) -> StoredPlan:
    from posguard.cleanup.plans import draw_plan, store_plan
    from posguard.exchange.gateway import open_gateway
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights

    async with (
        await Database.open(settings.dsn, application="posguard dag") as db,
        AsyncExitStack() as opened,
    ):
        ledger = await opened.enter_async_context(open_weights(settings.dsn))
        gateways = [
            await opened.enter_async_context(open_gateway(venue, settings, ledger=ledger))
            for venue in settings.venues
            if asked.scope.covers(venue.exchange)
        ]
        drawn = await draw_plan(
            db,
            gateways,
            settings,
            asked.mode,
            actor=who,
            scope=asked.scope,
            min_age=asked.min_age,
            choice=asked.choice,
            safe_only=safe_only,
            source="airflow",
            progress=lambda text: log.info("%s", text),
        )
        return await store_plan(db, drawn)


async def _applied(
    settings: Settings, stored: StoredPlan, trading: list[VenueSettings], who: str, production: str
) -> StoredPlan:
    from posguard.cleanup.apply import apply_plan
    from posguard.exchange.gateway import open_gateway, open_trading_gateway
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights
    from posguard.trading.permit import before_send

    async with (
        await Database.open(settings.dsn, application="posguard dag") as db,
        AsyncExitStack() as opened,
    ):
        if not stored.plan.lines or await _done_by(db, stored, who):
            return stored
        ledger = await opened.enter_async_context(open_weights(settings.dsn))
        readers = [open_gateway(venue, settings, ledger=ledger) for venue in _venues_of(settings, stored)]
        traders = [
            open_trading_gateway(venue, settings, before_send=before_send, ledger=ledger) for venue in trading
        ]
        return await apply_plan(
            db,
            [await opened.enter_async_context(reader) for reader in readers],
            settings,
            stored.code,
            actor=who,
            traders=[await opened.enter_async_context(trader) for trader in traders],
            backup=_backup_path(settings, stored),
            production=production,
            progress=lambda text: log.info("%s", text),
            step=_progress,
        )


def as_markdown(text: str) -> str:
    """A plan's text as nested lists, every sign that Markdown reads taken at its word; Airflow shows no other line ends."""
    lines = []
    for line in text.splitlines():
        words = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line.strip())
        depth = len(line) - len(line.lstrip())
        lines.append(f"\n{words}\n" if not depth else f"{'  ' if depth > 2 else ''}- {words}")
    return "\n".join(lines)


def _progress(done: int, whole: int) -> None:
    """Every twentieth part of the way into the log."""
    if done == whole or done % max(1, whole // 20) == 0:
        log.info("line %s of %s", done, whole)


def _backup_path(settings: Settings, stored: StoredPlan) -> Path:
    """A new file in the folder of backups; a relative folder lies below Airflow's home, wherever a worker was started."""
    from posguard.cleanup.backup import default_name, named_path

    folder = Path(os.environ.get("AIRFLOW_HOME") or Path.home() / "airflow") / settings.backup_folder
    return named_path(folder, default_name(stored.code, stored.plan.options.mode, datetime.now(UTC)))


async def _done_by(db: Any, stored: StoredPlan, who: str) -> bool:
    """Whether an earlier try of the same run carried the plan out to its end, and only its task did not get to say so."""
    from posguard.postgres import plans

    if stored.state not in {PlanState.APPLIED, PlanState.PARTLY}:
        return False
    async with db.connection() as connection:
        actions = await plans.actions_of(connection, stored.id)
    return any(action["event"] == "finished" and action["actor"] == who for action in actions)


async def _read(settings: Settings, plan_id: int) -> StoredPlan:
    from posguard.postgres.pool import Database

    async with await Database.open(settings.dsn, application="posguard dag", read_only=True, size=1) as db:
        return await _stored(db, plan_id)


async def _stored(db: Any, plan_id: int) -> StoredPlan:
    from posguard.postgres import plans

    async with db.snapshot() as connection:
        found = await plans.by_id(connection, plan_id)
    if found is None:
        raise OperatorError(f"The plan {plan_id} is no longer stored. Nothing was done.", hint="Plan again.")
    return found
