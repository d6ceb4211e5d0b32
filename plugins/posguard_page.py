"""The routes of the data-quality page, for people who may read the runs of the DAG `posguard_reconcile` and nobody else.

Plans are for those of them who may read the runs of `posguard_cleanup` too, audits for those who may read `posguard_audit`'s.

Only GET. Every answer carries a policy of its own, which allows no script at all: the page shares its origin with
Airflow's session, so a script that slipped in would be an account taken over.
"""

# Annotations are read by FastAPI at run time.
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import posguard_airflow as glue
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator

from posguard.errors import PosguardError
from posguard.model.finding import StoredFinding
from posguard.postgres import audits, findings, planlists, runs
from posguard.postgres.pool import Database
from posguard.report import documents, read, render
from posguard.report.document import from_plain
from posguard.report.render import Asked, Page
from posguard.report.view import Known

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": render.POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STATIC = {"report.css": "text/css", "icon.svg": "image/svg+xml", "icon-dark.svg": "image/svg+xml"}
LIST_LIMIT = 500
RUNS_A_PAGE = 100
PLANS_A_PAGE = 50
AUDITS_A_PAGE = 50
RACES_SHOWN = 200
# Each reader takes one connection for some milliseconds; more at once wait here, not in the bot's database.
_READERS = asyncio.Semaphore(4)

Text = Annotated[
    str, Query(max_length=60), AfterValidator(lambda text: "".join(filter(str.isprintable, text)))
]
Number = Annotated[int, Query(ge=1, le=2**62)]


def build() -> FastAPI:
    """The application. Every route is behind the right to read the runs of the reconciliation DAG."""
    may_read = Depends(requires_access_dag("GET", DagAccessEntity.RUN, glue.DAG_ID))
    app = FastAPI(
        title="posguard report", dependencies=[may_read], docs_url=None, redoc_url=None, openapi_url=None
    )
    app.middleware("http")(_guarded)
    app.exception_handler(PosguardError)(_problem)
    for path, route in (
        ("/", overview),
        ("/findings", finding_list),
        ("/findings/{finding_id}", one_finding),
        ("/races", race_list),
        ("/runs", run_list),
        ("/runs/{run_id}", one_run),
        ("/dags/{dag_id}", dag),
        ("/dags/{dag_id}/runs/{dag_run_id:path}", dag_run),
    ):
        app.get(path, response_class=HTMLResponse)(route)
    may_read_plans = Depends(requires_access_dag("GET", DagAccessEntity.RUN, glue.CLEANUP))
    app.get("/plans", response_class=HTMLResponse, dependencies=[may_read_plans])(plan_list)
    app.get("/plans/{plan_id}", response_class=HTMLResponse, dependencies=[may_read_plans])(one_plan)
    may_read_audits = Depends(requires_access_dag("GET", DagAccessEntity.RUN, glue.AUDIT))
    app.get("/audits", response_class=HTMLResponse, dependencies=[may_read_audits])(audit_list)
    app.get("/audits/{audit_id}", response_class=HTMLResponse, dependencies=[may_read_audits])(one_audit)
    app.get("/static/{name}")(static)
    return app


async def overview(request: Request) -> HTMLResponse:
    """How things stand."""
    async with _reading() as (_, known):
        return HTMLResponse(render.overview(known, _page(request, known, "Overview")))


async def finding_list(
    request: Request,
    *,
    state: Text = "",
    severity: Text = "",
    kind: Annotated[list[str] | None, Query(max_length=20)] = None,
    exchange: Text = "",
    symbol: Text = "",
) -> HTMLResponse:
    """The findings that match a filter."""
    asked = Asked(state, severity, tuple(kind or ()), exchange, symbol)
    async with _reading() as (db, known):
        found = await _matching(db, asked)
    page = _page(request, known, "Findings", limit=LIST_LIMIT)
    return HTMLResponse(render.finding_list(known, found, asked, page))


async def one_finding(request: Request, finding_id: int) -> HTMLResponse:
    """One finding."""
    async with _reading() as (db, known):
        found = await read.read_finding(db, finding_id) if _storable(finding_id) else None
    if found is None:
        return _absent(request, f"There is no finding {finding_id}.", "The list of findings has them all.")
    return HTMLResponse(render.one_finding(known, found, _page(request, known, "Findings")))


async def race_list(request: Request) -> HTMLResponse:
    """The races that the bot's logs tell of."""
    async with _reading() as (db, known):
        races = await read.read_races(db, RACES_SHOWN)
    return HTMLResponse(render.race_list(known, races, _page(request, known, "Races")))


async def run_list(request: Request, before: Number | None = None) -> HTMLResponse:
    """The history of runs, a page at a time."""
    async with _reading() as (db, known), db.connection() as connection:
        shown = await runs.recent_runs(connection, RUNS_A_PAGE, before)
    page = _page(request, known, "Runs", limit=RUNS_A_PAGE)
    return HTMLResponse(render.run_list(known, shown, page, before=before))


async def one_run(request: Request, run_id: int) -> HTMLResponse:
    """One run."""
    async with _reading() as (db, known):
        shown = await read.read_run(db, run_id) if _storable(run_id) else None
    if shown is None:
        return _absent(request, f"There is no run {run_id}.", "The list of runs has them all.")
    return HTMLResponse(render.one_run(known, shown, _page(request, known, "Runs")))


async def plan_list(request: Request, before: Number | None = None) -> HTMLResponse:
    """The cleanup plans, a page at a time, and the newest backups."""
    async with _reading() as (db, known), db.snapshot() as connection:
        shown = await planlists.summaries(connection, PLANS_A_PAGE, before=before)
        backups = await planlists.summaries(connection, PLANS_A_PAGE, backed_up=True) if not before else []
    page = _page(request, known, "Plans", limit=PLANS_A_PAGE)
    return HTMLResponse(render.plan_list(known, shown, page, backups=backups, before=before))


async def one_plan(request: Request, plan_id: int) -> HTMLResponse:
    """One cleanup plan."""
    async with _reading() as (db, known):
        found = await read.read_plan(db, plan_id) if _storable(plan_id) else None
    if found is None:
        return _absent(request, f"There is no plan {plan_id}.", "The list of plans has them all.")
    return HTMLResponse(render.one_plan(known, found, _page(request, known, "Plans", limit=LIST_LIMIT)))


async def audit_list(request: Request, before: Number | None = None) -> HTMLResponse:
    """The stored audits, a page at a time."""
    async with _reading() as (db, known), db.snapshot() as connection:
        last = await audits.by_id(connection, before) if before else None
        shown = await audits.recent(connection, AUDITS_A_PAGE, last[0] if last else None)
    page = _page(request, known, "Audits", limit=AUDITS_A_PAGE)
    return HTMLResponse(documents.audit_list(known, shown, page, before=before))


async def one_audit(request: Request, audit_id: int) -> HTMLResponse:
    """The report of one audit."""
    async with _reading() as (db, known), db.connection() as connection:
        found = await audits.by_id(connection, audit_id) if _storable(audit_id) else None
    if found is None:
        return _absent(request, f"There is no audit {audit_id}.", "The list of audits has them all.")
    page = _page(request, known, "Audits")
    return HTMLResponse(documents.document_page(from_plain(found[1]), page, number=audit_id))


async def dag(request: Request, dag_id: str) -> HTMLResponse:
    """The tab on a DAG: the overview, the plans or the audits on ours, one line on every other."""
    if dag_id in glue.CLEANUPS:
        return _to(request, "/plans")
    if dag_id == glue.AUDIT:
        return _to(request, "/audits")
    if dag_id != glue.DAG_ID:
        return _foreign(request, dag_id)
    return await overview(request)


async def dag_run(request: Request, dag_id: str, dag_run_id: str) -> HTMLResponse:
    """The tab on a DAG run: what that run recorded, the plan that it made or carried out, or its report."""
    if dag_id in glue.CLEANUPS:
        async with _reading() as (db, _), db.connection() as connection:
            made = await planlists.summaries(connection, 1, of_run=glue.run_mark(dag_run_id))
        if made:
            return _to(request, f"/plans/{made[0].id}")
    elif dag_id == glue.AUDIT:
        async with _reading() as (db, _), db.connection() as connection:
            report = await audits.id_of_dag_run(connection, dag_run_id)
        if report is not None:
            return _to(request, f"/audits/{report}")
    elif dag_id != glue.DAG_ID:
        return _foreign(request, dag_id)
    async with _reading() as (db, known):
        async with db.connection() as connection:
            stored = await runs.run_of_dag_run(connection, dag_run_id)
        shown = await read.read_run(db, stored) if stored is not None else None
    if shown is None:
        return _absent(
            request, "This DAG run has recorded nothing.", "It is under way, or failed before it could."
        )
    return HTMLResponse(render.one_run(known, shown, _page(request, known, "Runs")))


async def static(request: Request, name: str) -> Response:
    """The sheet of every page and the icons of the navigation; no other file."""
    if name not in STATIC:
        return _absent(request, "There is no such file.", "")
    return Response(render.static(name), media_type=STATIC[name])


@asynccontextmanager
async def _reading() -> AsyncIterator[tuple[Database, Known]]:
    """The bot's database, read-only, with what is known; the Connection is looked up anew, so that an edit counts at once."""
    settings = await asyncio.to_thread(glue.read_connections, venues=False)
    async with (
        _READERS,
        await Database.open(
            settings.dsn, application="posguard page", read_only=True, size=1, timeout=10
        ) as db,
    ):
        yield db, await read.read_known(db, at=datetime.now(UTC), demo=settings.demo)


async def _matching(db: Database, asked: Asked) -> list[StoredFinding]:
    only = asked.kinds[0] if len(asked.kinds) == 1 else None
    async with db.connection() as connection:
        found = await findings.list_findings(
            connection,
            states=asked.states,
            severities=asked.severities,
            kind=only,
            exchange=asked.exchange,
            symbol=asked.symbol,
            limit=LIST_LIMIT,
        )
    return [one for one in found if not asked.kinds or one.finding.kind in asked.kinds]


def _page(request: Request, known: Known, current: str, *, limit: int = 50) -> Page:
    return Page(at=known.at, base=request.scope.get("root_path", ""), current=current, limit=limit)


def _storable(number: int) -> bool:
    return 0 < number < 2**63


def _absent(request: Request, message: str, hint: str) -> HTMLResponse:
    page = Page(at=datetime.now(UTC), base=request.scope.get("root_path", ""))
    error = PosguardError(message, hint=hint)
    return HTMLResponse(render.problem(error, page, what="not found"), status_code=404)


def _to(request: Request, path: str) -> HTMLResponse:
    """Another page of the report, which checks for itself who may read it."""
    where = request.scope.get("root_path", "") + path
    return HTMLResponse(status_code=303, headers={"Location": where})


def _foreign(request: Request, dag_id: str) -> HTMLResponse:
    page = Page(at=datetime.now(UTC), base=request.scope.get("root_path", ""))
    error = PosguardError(
        f"{dag_id} is no DAG of posguard.", hint=f"This tab tells of {', '.join(glue.DAG_IDS)}."
    )
    return HTMLResponse(render.problem(error, page, what="nothing here"))


async def _problem(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, PosguardError)
    log.warning("%s", error)
    page = Page(at=datetime.now(UTC), base=request.scope.get("root_path", ""))
    return HTMLResponse(render.problem(error, page), status_code=503)


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(HEADERS)
    return response
