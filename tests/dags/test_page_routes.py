"""The page's routes inside Airflow's own application: who may read, and what is said where nothing can be shown."""

from __future__ import annotations

import asyncio

import pytest

from posguard.postgres import plans
from posguard.postgres.embedded import free_port
from posguard.postgres.pool import Database
from tests.conftest import run_script
from tests.dags.conftest import of_dsn
from tests.fixtures.plans import plan, row_line

pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CANARY = "canary-s3cret"
PATHS = (
    "/",
    "/findings",
    "/findings/1",
    "/races",
    "/runs",
    "/runs/1",
    "/dags/posguard_reconcile",
    "/dags/posguard_reconcile/runs/manual__1",
    "/dags/other",
    "/plans",
    "/plans/1",
    "/audits",
    "/audits/1",
    "/static/report.css",
)


def test_the_paths_below_are_all_there_are(application):
    import posguard_page
    from fastapi.routing import APIRoute

    routes = [route for route in posguard_page.build().routes if isinstance(route, APIRoute)]
    assert len(routes) == len({path.replace("/other", "/posguard_reconcile") for path in PATHS})
    assert {method for route in routes for method in route.methods} == {"GET"}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_login_or_the_right_to_read_the_dag_there_is_nothing_to_see(ask, connect, bot_dsn, path):
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    assert ask(path, "").status_code == 401
    assert ask(path, None).status_code == 403
    allowed = ask(path)
    assert allowed.status_code in {200, 404}
    for answer in (ask(path, ""), ask(path, None), allowed):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_connection_kept_in_airflow_itself_is_found_and_an_edit_counts_at_once(
    ask, connect, bot_dsn, empty_dsn, monkeypatch
):
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # as the api-server has it
    connect()
    good, bad = of_dsn(bot_dsn), of_dsn(empty_dsn)
    fields = {"conn_type": "postgres", "extra": '{"sslmode": "disable"}'}
    kept = Connection(conn_id="posguard_db", **{k: v for k, v in good.items() if k != "extra"} | fields)
    with create_session() as session:
        session.add(kept)
    try:
        assert "No run yet" in ask("/").text
        with create_session() as session:
            session.query(Connection).filter_by(conn_id="posguard_db").one().schema = bad["schema"]
        assert "posguard db upgrade" in ask("/").text
    finally:
        with create_session() as session:
            session.query(Connection).filter_by(conn_id="posguard_db").delete()


def test_without_a_connection_the_page_says_which_and_how(ask, connect):
    connect()
    answer = ask("/")
    assert answer.status_code == 503
    assert "posguard_db is not there" in answer.text
    assert "Admin, Connections" in answer.text


def test_a_database_that_is_away_is_one_line_without_its_password(ask, connect):
    connect(
        posguard_db={
            "host": "127.0.0.1",
            "port": free_port(),
            "schema": "bot",
            "login": "b",
            "password": CANARY,
        }
    )
    answer = ask("/")
    assert answer.status_code == 503
    assert "The database did not answer" in answer.text
    assert CANARY not in answer.text
    assert 'class="hero absent"' in answer.text


def test_a_database_without_the_schema_says_what_to_run(ask, connect, bot_dsn):
    run_script(bot_dsn.get_secret_value(), "DROP SCHEMA posguard CASCADE")
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    answer = ask("/runs")
    assert answer.status_code == 503
    assert "posguard db upgrade" in answer.text


def test_below_a_path_of_its_own_every_link_stays_there(ask, connect, bot_dsn, monkeypatch):
    import posguard_report

    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    assert 'href="/airflow/posguard/findings"' in ask("/", root="/airflow").text
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host.example/airflow/")
    assert posguard_report._address("/runs") == "/airflow/posguard/runs"


def test_the_page_cannot_write(connect, bot_dsn):
    """Its session is read-only, whatever a route would do."""
    import asyncio

    import posguard_page

    from posguard.errors import PosguardError

    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))

    async def write():
        async with posguard_page._reading() as (db, _), db.connection() as connection:
            await connection.execute("DELETE FROM posguard.runs")

    with pytest.raises(Exception, match="read-only transaction") as raised:
        asyncio.run(write())
    assert not isinstance(raised.value, PosguardError) or "read-only" in str(raised.value)


TABS = (
    ("/dags/posguard_cleanup", "/plans"),
    ("/dags/posguard_cleanup_scheduled", "/plans"),
    ("/dags/posguard_cleanup/runs/manual__1", "/plans/1"),
    ("/dags/posguard_cleanup_scheduled/runs/scheduled__2", "/plans/1"),
)


@pytest.mark.parametrize(("tab", "leads_to"), TABS)
def test_the_tabs_of_the_cleanup_dags_lead_to_their_plans(ask, connect, bot_dsn, tab, leads_to):
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    name = f"ann, Airflow run {tab.rpartition('/')[2]}"
    asyncio.run(store(bot_dsn, plan(row_line(), created_by=name)))
    answer = ask(tab)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/posguard{leads_to}")
    assert "row #8 matches the exchange" in ask("/plans/1").text
    assert ask("/dags/posguard_cleanup/runs/manual__none").status_code == 404
    assert ask(tab, None).status_code == 403


async def store(dsn, made):
    async with await Database.open(dsn) as db, db.transaction() as connection:
        await plans.store(connection, made)


def test_plans_need_the_right_to_read_the_cleanup_dag_too(ask, connect, bot_dsn, monkeypatch):
    """A user who may read the reconciliation alone sees its findings, and no plan."""
    from airflow.api_fastapi.app import get_auth_manager

    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"))
    manager = get_auth_manager()
    allowed = manager.is_authorized_dag

    def only_reconciliation(**asked):
        return asked["details"].id == "posguard_reconcile" and allowed(**asked)

    monkeypatch.setattr(manager, "is_authorized_dag", only_reconciliation)
    assert ask("/findings").status_code == 200
    assert ask("/plans").status_code == 403
    assert ask("/plans/1").status_code == 403
