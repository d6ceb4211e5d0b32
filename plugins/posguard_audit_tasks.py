"""What each task of the DAG `posguard_audit` does: which window, the report, what to say of it.

What posguard needs for the work is imported inside the functions: the DAG processor imports this module to parse the DAG.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard_airflow import one_line, read_connections

from posguard.errors import SchemaError, SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posguard.audit.build import Audit
    from posguard.audit.read import Asked
    from posguard.model.audit import Window
    from posguard.model.finding import Pass
    from posguard.model.quality import ExpectationResult
    from posguard.postgres.audits import StoredAudit
    from posguard.postgres.pool import Database
    from posguard.settings import Settings

log = logging.getLogger(__name__)

PARAMS = ("from", "to", "hours")
TIME = r"[0-9T:.+Zz -]{0,35}"
MOST_HOURS = 24 * 31


def preflight(context: Mapping[str, Any]) -> None:
    """Checks params, database and schema; says which window it will be. Changes nothing."""
    import posguard_tasks

    posguard_tasks.preflight(venues=False)
    with one_line():
        window = asked_window(context)
    log.info("The window is %s", window)


def audit(context: Mapping[str, Any]) -> int:
    """Makes the report of the window and stores it; a retry replaces it. Returns its number."""
    with one_line():
        settings = _settings()
        audit_id, made = asyncio.run(_audit(settings, asked_window(context), context["dag_run"]))
    log.info("Audit %s, %s: %s", audit_id, made.facts.window, made.headline)
    return audit_id


def publish(audit_id: int) -> dict[str, Any]:
    """The issues by urgency into the task's log; returns what the asset's event carries."""
    with one_line():
        stored = asyncio.run(_stored(read_connections(venues=False), audit_id))
    log.info("%s to %s UTC: %s", stored.window_start, stored.window_end, stored.headline)
    log.info("%s", ", ".join(f"{name} {number}" for name, number in stored.counts.items()))
    log.info("The report: Data quality, Audits, %s", audit_id)
    return {
        "audit": audit_id,
        "window_start": stored.window_start.isoformat(),
        "window_end": stored.window_end.isoformat(),
        "light": stored.light,
        "counts": dict(stored.counts),
        "missing": list(stored.missing),
    }


def missing(audit_id: int) -> int:
    """Each source that was not there as a warning in the task's log; returns how many. It fails nothing: the report says it too."""
    with one_line():
        stored = asyncio.run(_stored(read_connections(venues=False), audit_id))
    for what in stored.missing:
        log.warning("Missing: %s", what)
    if not stored.missing:
        log.info("Every source was there.")
    return len(stored.missing)


def asked_window(context: Mapping[str, Any]) -> Window:
    """The window of a run: its params, else its data interval, else the hours before it was triggered.

    Raises UsageError that names the param.
    """
    from posguard.audit.windows import window_of

    dag_run, params = context["dag_run"], context["params"]
    if unknown := sorted(set(dag_run.conf or {}) - set(PARAMS)):
        raise UsageError(
            f"The param {unknown[0]} is no param of this DAG. Nothing was done.",
            hint=f"They are {', '.join(PARAMS)}.",
        )
    hours = params["hours"]
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= MOST_HOURS:
        raise UsageError(
            "The param hours is no number of hours. Nothing was done.", hint=f"Up to {MOST_HOURS}."
        )
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    interval = (start, end) if start and end and start < end else None
    now = dag_run.run_after or datetime.now(UTC)
    since, until = (str(params[name] or "").strip() for name in ("from", "to"))
    return window_of(
        since, until, now.astimezone(UTC), interval=interval, length=timedelta(hours=float(hours))
    )


def _identity(window: Window, dag_run: Any) -> str:
    """What makes two reports the same one: the data interval where it is the window, whichever run it is; else the run."""
    if (dag_run.data_interval_start, dag_run.data_interval_end) == (window.start, window.end):
        return f"interval {window.start.isoformat()}/{window.end.isoformat()}"
    return f"run {dag_run.run_id}"


def _settings() -> Settings:
    """With the venues where there are Connections for them: only an audit of the present may have to look at them."""
    try:
        return read_connections()
    except SettingsError as error:
        log.warning("No exchange can be looked at: %s", error)
        return read_connections(venues=False)


async def _audit(settings: Settings, window: Window, dag_run: Any) -> tuple[int, Audit]:
    from posguard.audit.build import build, document
    from posguard.audit.read import read_facts
    from posguard.postgres import audits
    from posguard.postgres.pool import Database
    from posguard.report.document import to_plain

    async with await Database.open(settings.dsn, application="posguard audit", size=3) as db:
        made = build(await read_facts(db, _asked(db, settings, window)))
        async with db.transaction() as connection:
            audit_id = await audits.keep(
                connection,
                window,
                built_at=made.facts.at,
                identity=_identity(window, dag_run),
                external_id=str(dag_run.run_id),
                light=made.light,
                headline=made.headline,
                counts=made.counts,
                missing=[f"{gap.what}: {gap.loses}" for gap in made.gaps],
                document=to_plain(document(made)),
            )
    return audit_id, made


def _asked(db: Database, settings: Settings, window: Window) -> Asked:
    from posguard.audit.logread import declared_files
    from posguard.audit.read import Asked

    async def look() -> Pass:
        return await _look(db, settings)

    def judge() -> tuple[ExpectationResult, ...]:
        from posguard.quality.run import run_suites

        return run_suites(settings.dsn, settings=settings)

    return Asked(
        window=window,
        at=datetime.now(UTC),
        demo=settings.demo,
        log=declared_files(settings),
        aged=settings.aged_after,
        look=look if settings.venues else None,
        judge=judge,
    )


async def _look(db: Database, settings: Settings) -> Pass:
    from contextlib import AsyncExitStack

    from posguard.exchange.gateway import open_gateway
    from posguard.postgres.weights import open_weights
    from posguard.reconcile.run import take_pass

    async with AsyncExitStack() as opened:
        ledger = await opened.enter_async_context(open_weights(settings.dsn))
        gateways = [
            await opened.enter_async_context(open_gateway(venue, settings, ledger=ledger))
            for venue in settings.venues
        ]
        return await take_pass(db, gateways, settings, progress=lambda text: log.info("%s", text))


async def _stored(settings: Settings, audit_id: int) -> StoredAudit:
    from posguard.postgres import audits
    from posguard.postgres.pool import Database

    async with (
        await Database.open(settings.dsn, application="posguard audit", read_only=True, size=1) as db,
        db.connection() as connection,
    ):
        found = await audits.by_id(connection, audit_id)
    if found is None:
        raise SchemaError(
            f"The audit {audit_id} is no longer stored. Nothing was done.", hint="Clear the DAG run."
        )
    return found[0]
