"""`posguard cleanup`: prints and stores a plan with its code, and carries out the plan of a code."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from posguard.cli.options import AsJson, By, OnDemo, OneExchange, OneSymbol
from posguard.errors import ExitCode, OperatorError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.cli.connect import Connections
    from posguard.model.plan import Plan, StoredPlan


class ModeName(StrEnum):
    """The modes, as they are typed."""

    DUPLICATES = "duplicates"
    INCOMPLETE = "incomplete"
    ORPHANED_DB = "orphaned-db"
    ORPHANED_EX = "orphaned-ex"
    UNPROTECTED = "unprotected"
    MISMATCH = "mismatch"
    ZOMBIES = "zombies"
    ALL = "all"


class ActionName(StrEnum):
    """What becomes of external positions."""

    CLOSE = "close"
    ADOPT = "adopt"


AMode = Annotated[ModeName, typer.Argument(metavar="MODE", help=f"{', '.join(ModeName)}.")]
Age = Annotated[
    float,
    typer.Option("--age", metavar="HOURS", min=0, help="incomplete: leave out rows that are younger."),
]
AnAction = Annotated[
    ActionName | None,
    typer.Option("--action", help="orphaned-ex: close the position, or adopt it into the database."),
]
Accept = Annotated[
    bool,
    typer.Option(
        "--accept-absence",
        help="orphaned-db: also rows whose absence is not proven; looks three times over ten minutes.",
    ),
]


def cleanup(
    mode: AMode,
    *,
    symbol: OneSymbol = None,
    exchange: OneExchange = None,
    age: Age = 1,
    action: AnAction = None,
    accept_absence: Accept = False,
    by: By = "",
    demo: OnDemo = False,
    as_json: AsJson = False,
) -> None:
    """Plan a cleanup: every row with what would happen to it and why, every order, what cannot be undone.

    Nothing is changed: the plan is stored under a code that names it. Only what is proven enters a plan; a venue that cannot be
    judged gets none (exit code 3 where nothing else is planned).

    \b
    Examples:
      posguard cleanup duplicates
      posguard cleanup incomplete --age 2 --exchange binance --symbol BTCUSDT
      posguard cleanup orphaned-ex --symbol SEIUSDT --exchange binance --action adopt
      posguard cleanup all --json
    """
    from posguard.cli import output
    from posguard.cli.connect import connections
    from posguard.cli.desk import actor
    from posguard.model.plan import Mode

    _check(mode, action=action, accept_absence=accept_absence)
    output.structured_log_to_stderr()
    to = connections(demo=demo)
    output.load_drivers()
    with output.progress("connecting …") as say:
        plan = asyncio.run(
            _planned(
                to,
                Mode(mode),
                say,
                actor=actor(by),
                scope=(exchange or "", symbol or ""),
                min_age=timedelta(hours=age),
                action=action,
                accept_absence=accept_absence,
            )
        )
    _told(plan, to, as_json=as_json)


def _check(mode: ModeName, *, action: ActionName | None, accept_absence: bool) -> None:
    """Raises UsageError for options of another mode."""
    if action is not None and mode not in {ModeName.ORPHANED_EX, ModeName.ALL}:
        raise UsageError("--action belongs to orphaned-ex and all. Nothing was done.")
    if accept_absence and mode is not ModeName.ORPHANED_DB:
        raise UsageError("--accept-absence belongs to orphaned-db. Nothing was done.")


async def _planned(
    to: Connections,
    mode: object,
    say: Callable[[str], None],
    *,
    actor: str,
    scope: tuple[str, str],
    min_age: timedelta,
    action: ActionName | None,
    accept_absence: bool,
) -> StoredPlan:
    from contextlib import AsyncExitStack

    from posguard.cleanup.plans import draw_plan, store_plan
    from posguard.exchange.gateway import open_gateway
    from posguard.model.plan import Choice, Mode
    from posguard.model.scope import Scope
    from posguard.postgres.pool import Database

    where = Scope(*scope)
    timeout = to.settings.database_timeout.total_seconds()
    async with (
        await Database.open(to.dsn, application="posguard cleanup", timeout=timeout) as db,
        AsyncExitStack() as stack,
    ):
        gateways = [
            await stack.enter_async_context(open_gateway(venue, to.settings))
            for venue in to.venues
            if where.covers(venue.exchange)
        ]
        plan = await draw_plan(
            db,
            gateways,
            to.settings,
            Mode(str(mode)),
            actor=actor,
            scope=where,
            min_age=min_age,
            choice=Choice(action) if action else None,
            accept_absence=accept_absence,
            progress=say,
        )
        return await store_plan(db, plan) if plan.lines else _unstored(plan)


def _unstored(plan: Plan) -> StoredPlan:
    """A plan without a line, which has no code and no number."""
    from posguard.model.plan import PlanState, StoredPlan

    return StoredPlan(plan, plan.code, plan.digest, PlanState.PLANNED, ())


def _told(stored: StoredPlan, to: Connections, *, as_json: bool) -> None:
    """Prints a plan. Raises OperatorError where nothing is planned and a venue could not be judged."""
    from posguard.cli import output, plan_text
    from posguard.cli.cleanup_shapes import PlanReport

    nothing = not stored.plan.lines and bool(stored.plan.inconclusive)
    code = ExitCode.INCONCLUSIVE if nothing else ExitCode.FINE
    if as_json:
        output.emit(PlanReport.of(stored, exit_code=code, demo=to.settings.demo))
    else:
        plan_text.show_plan(stored, production="production" in stored.plan.worlds.values())
    if nothing:
        raise OperatorError(f"Nothing is planned: {'; '.join(stored.plan.inconclusive)}.")
