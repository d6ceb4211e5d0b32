"""What each task of the DAG `posguard_reconcile` does: the Connections become settings, posguard does the work.

What posguard needs for the work is imported inside the functions: the DAG processor imports this module to parse the DAG.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from posguard_airflow import one_line, read_connections, said

from posguard.errors import SchemaError

if TYPE_CHECKING:
    from posguard.model.run import StoredRun
    from posguard.report.view import Known
    from posguard.settings import Settings

log = logging.getLogger(__name__)


def external_id(dag_run: Any) -> str:
    """What a stored run remembers of its DAG run: the same for every retry, another one after somebody cleared it."""
    cleared = dag_run.clear_number or 0
    return f"{dag_run.run_id}#{cleared}" if cleared else str(dag_run.run_id)


def preflight(*, venues: bool = True) -> None:
    """Checks what the other tasks need: the Connections (of the database alone without `venues`), posguard's schema. Changes nothing."""
    from posguard.postgres.migrate import schema_state

    with one_line():
        settings = read_connections(venues=venues)
        state = schema_state(settings.dsn)
        if not state.up_to_date:
            have = f"stands at {state.current}" if state.current else "is missing"
            raise SchemaError(
                f"posguard's schema {have}, this version needs {state.newest}. Nothing was done.",
                hint="Run `posguard db upgrade`.",
            )
        for venue in settings.venues:
            where = f" at {venue.base_url}" if venue.base_url else ""
            log.info("%s: world %s%s", venue.id, venue.world, where)


def reconcile(dag_run: Any) -> int:
    """One pass over all venues, recorded; returns the id of the stored run. A retry returns the run that is there already."""
    with one_line():
        run = asyncio.run(_reconcile(read_connections(), external_id(dag_run), _interval(dag_run)))
    log.info("Run %s: %s, %s of %s open rows compared", run.id, run.outcome, run.rows_compared, run.rows_read)
    return run.id


def suites(run_id: int) -> None:
    """Every suite, its results stored with the run; again is fine."""
    from posguard.quality.run import run_suites
    from posguard.report.suites import outcomes_text

    with one_line():
        settings = read_connections(venues=False)
        found = run_suites(settings.dsn, settings=settings)
        asyncio.run(_store(settings, run_id, found))
    log.info("%s", outcomes_text(found))
    for one in found:
        if one.result not in {"pass", "not_applicable"}:
            log.warning(
                "%s %s: %s (%s failing) %s", one.result, one.expectation, one.title, one.failing, one.message
            )


def publish(run_id: int) -> dict[str, Any]:
    """The summary into the task's log; returns what the asset's event carries: run, outcome, counts."""
    from posguard.report.view import first_screen

    with one_line():
        run, known = asyncio.run(_known(read_connections(venues=False), run_id))
    screen = first_screen(known)
    if screen.demo:
        log.info("DEMO DATA")
    log.info("%s", screen.headline)
    log.info("%s", screen.line)
    log.info("%s %s %s", screen.compared, screen.complete, screen.worlds)
    for stored in screen.top:
        finding = stored.finding
        log.warning("%s: %s", finding.kind, finding.title)
    return {"run": run.id, "outcome": run.outcome.value, "counts": dict(run.counts), "world": run.world}


def verdict(run_id: int) -> None:
    """Fails where the run could not judge a venue, with the reasons in one line; findings do not fail it."""
    from airflow.sdk.exceptions import AirflowFailException

    with one_line():
        run, _ = asyncio.run(_known(read_connections(venues=False), run_id))
    if run.conclusive:
        log.info("Every venue was judged.")
        return
    raise said(AirflowFailException(inconclusive_line(run)))


def inconclusive_line(run: StoredRun) -> str:
    """Which venues nobody knows, and why, in one line."""
    from posguard.report.view import venue_line

    lost = [v for v in map(venue_line, run.venues) if not v.conclusive]
    why = "; ".join(f"{v.name}: {', '.join(v.reasons) or 'no reason given'}" for v in lost)
    why = why or "; ".join(run.notes) or f"it ended as {run.outcome}"
    return f"INCONCLUSIVE: {why}. Run {run.id} and its findings are stored; none of these venues was called flat."


async def _reconcile(settings: Settings, name: str, interval: tuple[datetime, datetime] | None) -> StoredRun:
    from posguard.alerts.heartbeat import beat

    run = await _recorded(settings, name, interval)
    if (heard := await beat(settings.heartbeat_url, run)) is not None:
        log.info("The heartbeat address %s", "was asked" if heard else "did not answer well")
    return run


async def _recorded(settings: Settings, name: str, interval: tuple[datetime, datetime] | None) -> StoredRun:
    from contextlib import AsyncExitStack

    from posguard.exchange.gateway import open_gateway
    from posguard.model.run import RunOutcome
    from posguard.postgres import runs
    from posguard.postgres.pool import Database
    from posguard.postgres.weights import open_weights
    from posguard.reconcile.run import record_pass, take_pass

    async with AsyncExitStack() as opened:
        db = await opened.enter_async_context(await Database.open(settings.dsn, application="posguard dag"))
        async with db.connection() as connection:
            before = await runs.run_by_external_id(connection, name)
        if before is not None and before.outcome not in {RunOutcome.RUNNING, RunOutcome.FAILED}:
            return before
        ledger = await opened.enter_async_context(open_weights(settings.dsn))
        gateways = [
            await opened.enter_async_context(open_gateway(venue, settings, ledger=ledger))
            for venue in settings.venues
        ]
        result = await take_pass(db, gateways, settings, progress=lambda text: log.info("%s", text))
        return await record_pass(db, result, source="airflow", external_id=name, interval=interval)


async def _store(settings: Settings, run_id: int, found: tuple[Any, ...]) -> None:
    from posguard.postgres import results
    from posguard.postgres.pool import Database

    async with (
        await Database.open(settings.dsn, application="posguard dag", size=1) as db,
        db.transaction() as connection,
    ):
        await results.store_results(connection, run_id, found)


async def _known(settings: Settings, run_id: int) -> tuple[StoredRun, Known]:
    from posguard.postgres.pool import Database
    from posguard.report.read import read_known, read_run

    async with await Database.open(settings.dsn, application="posguard dag", read_only=True, size=1) as db:
        shown = await read_run(db, run_id)
        if shown is None:
            raise SchemaError(
                f"The run {run_id} is no longer stored. Nothing was done.", hint="Clear the DAG run."
            )
        return shown.run, await read_known(db, at=datetime.now(UTC), demo=settings.demo)


def _interval(dag_run: Any) -> tuple[datetime, datetime] | None:
    """The data interval; None for a run triggered by hand."""
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    return (start, end) if start and end else None
