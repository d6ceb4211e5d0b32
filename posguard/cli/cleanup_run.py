"""What `posguard cleanup` does with its words: a plan drawn, stored and told; a code carried out and its end told."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from posguard.cli import output
from posguard.errors import ExitCode, OperatorError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.cli.connect import Connections
    from posguard.model.plan import Line, Plan, StoredPlan
    from posguard.settings import VenueSettings


@dataclass(frozen=True, slots=True)
class Planned:
    """What was asked to be planned."""

    mode: str
    scope: tuple[str, str]
    min_age: timedelta
    action: str | None
    accept_absence: bool
    by: str
    demo: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """What was asked to be carried out."""

    code: str
    rows: int | None
    production: str
    backup: str
    no_backup: bool
    by: str
    demo: bool
    as_json: bool


def plan(asked: Planned, then: Applied, *, interactive: bool) -> None:
    """Draws, stores and tells a plan; interactively it then asks for each line and for the code, and carries it out."""
    from posguard.cli.connect import connections

    to = connections(demo=asked.demo)
    output.load_drivers()
    with output.progress("connecting …") as say:
        drawn = asyncio.run(_drawn(to, asked, say))
    refused = _refused(drawn) if interactive and drawn.lines else ()
    stored = asyncio.run(_stored(to, drawn, refused))
    told = then.as_json and not interactive
    _tell_plan(stored, to, as_json=told)
    if interactive and stored.plan.lines:
        typed = typer.prompt("The code, to carry it out; anything else ends here", err=True)
        from posguard.model.plan import spelled_code

        if spelled_code(typed) != stored.code:
            raise RefusedError("That is not the plan's code. Nothing was changed.")
        rows = then.rows
        if stored.plan.accepted_absences and rows is None:
            rows = typer.prompt(
                "How many rows are closed although their absence is not proven", type=int, err=True
            )
        apply(replace(then, code=stored.code, rows=rows))


def _refused(drawn: Plan) -> tuple[Line, ...]:
    """The lines that a person does not want, asked one by one."""
    from posguard.cli import plan_text
    from posguard.model.plan import StoredLine

    if not sys.stdin.isatty():
        raise UsageError("--interactive asks a person, and nobody is at this terminal. Nothing was done.")
    gone = []
    for number, line in enumerate(drawn.lines, 1):
        plan_text.show_line(StoredLine(0, number, line))
        if not typer.confirm(f"Line {number} of {len(drawn.lines)}: do this?", default=False, err=True):
            gone.append(line)
    return tuple(gone)


async def _drawn(to: Connections, asked: Planned, say: Callable[[str], None]) -> Plan:
    from posguard.cleanup.plans import draw_plan
    from posguard.cli.desk import actor
    from posguard.exchange.gateway import open_gateway
    from posguard.model.plan import Choice, Mode
    from posguard.model.scope import Scope
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights

    where = Scope(*asked.scope)
    async with (
        await Database.open(to.dsn, application="posguard cleanup", timeout=_seconds(to)) as db,
        AsyncExitStack() as stack,
    ):
        ledger = await stack.enter_async_context(open_weights(to.dsn))
        gateways = [
            await stack.enter_async_context(open_gateway(venue, to.settings, ledger=ledger))
            for venue in to.venues
            if where.covers(venue.exchange)
        ]
        return await draw_plan(
            db,
            gateways,
            to.settings,
            Mode(asked.mode),
            actor=actor(asked.by),
            scope=where,
            min_age=asked.min_age,
            choice=Choice(asked.action) if asked.action else None,
            accept_absence=asked.accept_absence,
            progress=say,
        )


async def _stored(to: Connections, drawn: Plan, refused: tuple[Line, ...]) -> StoredPlan:
    """The plan under its code; one without a line is not stored and has none."""
    from posguard.cleanup.planning import without
    from posguard.cleanup.plans import store_plan
    from posguard.model.plan import PlanState, StoredPlan
    from posguard.postgres.pool import Database

    taken = without(drawn, refused) if refused else drawn
    if not taken.lines:
        return StoredPlan(taken, taken.code, taken.digest, PlanState.PLANNED, ())
    async with await Database.open(to.dsn, application="posguard cleanup", size=1) as db:
        return await store_plan(db, taken)


def apply(asked: Applied) -> None:
    """Carries out the plan of a code and tells what became of each line. Ends with 5 where not all of them are done."""
    from posguard.cli import plan_text
    from posguard.cli.cleanup_shapes import PlanReport
    from posguard.cli.connect import connections

    if asked.backup and asked.no_backup:
        raise UsageError("Name either --backup FILE or --no-backup. Nothing was done.")
    to = connections(demo=asked.demo)
    output.load_drivers()
    if asked.no_backup:
        output.warn("no backup is kept: what this changes cannot be restored")
    stored = asyncio.run(_applied(to, asked))
    code = _code(stored)
    if asked.as_json:
        output.emit(PlanReport.of(stored, exit_code=code, demo=to.settings.demo))
    else:
        plan_text.show_result(stored)
    if code is not ExitCode.FINE:
        raise typer.Exit(code)


def _code(stored: StoredPlan) -> ExitCode:
    done = all(one.state == "done" and one.verified is not False for one in stored.lines)
    return ExitCode.FINE if done else ExitCode.PARTLY


async def _applied(to: Connections, asked: Applied) -> StoredPlan:
    from posguard.cleanup.apply import apply_plan
    from posguard.cli.desk import actor
    from posguard.exchange.gateway import open_gateway, open_trading_gateway
    from posguard.postgres import plans
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights
    from posguard.trading.permit import before_send

    async with (
        await Database.open(to.dsn, application="posguard cleanup", timeout=_seconds(to)) as db,
        AsyncExitStack() as stack,
    ):
        async with db.snapshot() as connection:
            found = await plans.by_code(connection, asked.code)
        # Every account of an exchange that the plan touches: whose a row without an account is depends on how many there are.
        exchanges = {one.line.key.exchange for one in found.lines} if found else set()
        sends = (
            {(o.line.key.exchange, o.line.key.account) for o in found.lines if o.line.orders}
            if found
            else set()
        )
        venues = [venue for venue in to.venues if venue.exchange in exchanges]
        ledger = await stack.enter_async_context(open_weights(to.dsn))
        gateways = [
            await stack.enter_async_context(open_gateway(venue, to.settings, ledger=ledger))
            for venue in venues
        ]
        traders = [
            await stack.enter_async_context(
                open_trading_gateway(_keyed(venue, to), to.settings, before_send=before_send, ledger=ledger)
            )
            for venue in venues
            if (venue.exchange, venue.account) in sends
        ]
        with output.bar("lines", len(found.lines) if found else 0) as show:
            shown = _Shown(show)
            return await apply_plan(
                db,
                gateways,
                to.settings,
                asked.code,
                actor=actor(asked.by),
                traders=traders,
                backup=_backup_path(to, asked, found),
                production=asked.production,
                rows=asked.rows,
                progress=shown.news,
                step=shown.step,
            )


@dataclass
class _Shown:
    """What the bar shows: how many lines are done, and what is being looked at."""

    show: Callable[[int, str], None]
    done: int = 0

    def news(self, text: str) -> None:
        self.show(self.done, text)

    def step(self, done: int, _whole: int) -> None:
        self.done = done
        self.show(done, "")


def _backup_path(to: Connections, asked: Applied, found: StoredPlan | None) -> Path | None:
    from posguard.cleanup.backup import default_name, named_path

    if asked.no_backup or found is None:
        return None
    folder = Path(to.settings.backup_folder)
    name = asked.backup or default_name(found.code, found.plan.options.mode, datetime.now(UTC))
    return named_path(folder, name)


def _keyed(venue: VenueSettings, to: Connections) -> VenueSettings:
    """The venue with what may trade on it; the demo's simulator takes a key that everybody knows."""
    if not to.settings.demo or venue.trade_key is not None:
        return venue
    from pydantic import SecretStr

    from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET

    return venue.model_copy(
        update={"trade_key": SecretStr(TRADE_KEY), "trade_secret": SecretStr(TRADE_SECRET)}
    )


def _tell_plan(stored: StoredPlan, to: Connections, *, as_json: bool) -> None:
    """Prints a plan. Raises OperatorError where nothing is planned and a venue could not be judged."""
    from posguard.cli import plan_text
    from posguard.cli.cleanup_shapes import PlanReport

    nothing = not stored.plan.lines and bool(stored.plan.inconclusive)
    code = ExitCode.INCONCLUSIVE if nothing else ExitCode.FINE
    if as_json:
        output.emit(PlanReport.of(stored, exit_code=code, demo=to.settings.demo))
    else:
        plan_text.show_plan(stored, production="production" in stored.plan.worlds.values())
    if nothing:
        raise OperatorError(f"Nothing is planned: {'; '.join(stored.plan.inconclusive)}.")


def _seconds(to: Connections) -> float:
    return to.settings.database_timeout.total_seconds()
