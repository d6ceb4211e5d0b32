"""The audit DAG run for real over the demo bot's day: by data interval, by params, again; and its report on the page."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from posguard.demo.botlog import log_source, write_log
from posguard.demo.records import columns, values
from posguard.demo.seed import world_mark
from posguard.demo.world import make_world
from posguard.postgres import migrate
from posguard.postgres.botworld import load, prepare
from posguard.postgres.pool import Database
from posguard.report.document import from_plain
from posguard.report.markdown import markdown
from tests.dags.conftest import of_dsn

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(300)]

# Two windows of eight hours, of which the second holds nearly all of the world; both are past, so that no exchange is asked.
END = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
EARLIER, LATER = END - timedelta(hours=16), END - timedelta(hours=8)


@pytest.fixture
def past(empty_dsn, connect, monkeypatch, tmp_path):
    """The demo world of two days ago with posguard's schema, and its bot's log declared; no exchange is connected."""
    world = make_world(END)

    async def fill():
        async with await Database.open(empty_dsn, size=1) as db, db.transaction() as connection:
            await prepare(connection, world_mark(world.now, world.seed))
            tables = {
                name: (columns(type(rows[0])), [values(row) for row in rows])
                for name, rows in world.rows.tables().items()
            }
            await load(connection, tables)

    asyncio.run(fill())
    migrate.upgrade(empty_dsn)
    source = log_source(tmp_path)
    write_log(world, source)
    monkeypatch.setenv("POSGUARD_LOG_SOURCES", json.dumps([source.model_dump()]))
    connect(posguard_db=of_dsn(empty_dsn, sslmode="disable"))
    return world, empty_dsn.get_secret_value()


@pytest.fixture
def run_dag(dag_bag, airflow_database):
    """Runs the DAG once, by hand unless a logical date is given; gives its tasks' states and the run."""

    dag = dag_bag.dags["posguard_audit"]

    def run(logical_date=None, conf=None):
        # a test run writes its conf into the DAG's params, where the next one finds it
        conf = {"from": None, "to": None, "hours": 8} | (conf or {})
        done = dag.test(run_after=datetime.now(UTC), logical_date=logical_date, run_conf=conf)
        return {task.task_id: str(task.state) for task in done.get_task_instances()}, done

    return run


def stored(dsn):
    with psycopg.connect(dsn) as connection:
        query = "SELECT * FROM posguard.audits ORDER BY window_end, id"
        with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(query).fetchall()


def test_two_intervals_are_backfilled_and_again_nothing_is_doubled(past, run_dag):
    world, dsn = past
    for end in (END, LATER):
        states, dag_run = run_dag(end)
        assert set(states.values()) == {"success"}
        assert (dag_run.data_interval_start, dag_run.data_interval_end) == (end - timedelta(hours=8), end)
    first, second = stored(dsn)
    assert (first["window_start"], second["window_start"]) == (EARLIER, LATER)
    assert first["window_end"] == second["window_start"]
    text = markdown(from_plain(second["document"]))
    opened = sum(LATER <= row.created_at < END for row in world.positions)
    assert f"| opened | {opened} |" in text
    assert "APTUSDT: duplicate-key error" in text
    # nobody looked at the exchanges then, and it says so
    assert "a complete reconciliation in the window" in " ".join(second["missing"])
    assert "APTUSDT" not in markdown(from_plain(first["document"]))
    states, _ = run_dag(END)
    assert set(states.values()) == {"success"}
    again = stored(dsn)
    assert [one["id"] for one in again] == [first["id"], second["id"]]
    assert again[1]["built_at"] > second["built_at"]


def test_by_hand_the_params_say_which_window_and_without_them_the_hours_until_now(past, run_dag):
    _, dsn = past
    conf = {"from": f"{LATER:%Y-%m-%dT%H:%M}", "to": f"{END - timedelta(hours=2):%Y-%m-%dT%H:%M}"}
    states, dag_run = run_dag(conf=conf)
    assert dag_run.data_interval_start is None
    assert set(states.values()) == {"success"}
    (made,) = stored(dsn)
    assert (made["window_start"], made["window_end"]) == (LATER, END - timedelta(hours=2))
    wrong = run_dag(conf={"from": "2026-01-02", "to": "2026-01-01"})[0]
    assert wrong["preflight"] == "failed"
    strange = run_dag(conf={"since": "2026-01-02"})[0]
    assert strange["preflight"] == "failed"
    assert len(stored(dsn)) == 1


def test_a_window_without_params_or_interval_ends_where_the_run_was_triggered():
    from types import SimpleNamespace

    import posguard_audit_tasks

    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    dag_run = SimpleNamespace(conf={}, data_interval_start=None, data_interval_end=None, run_after=now)
    params = {"from": None, "to": None, "hours": 3}
    window = posguard_audit_tasks.asked_window({"dag_run": dag_run, "params": params})
    assert (window.start, window.end) == (now - timedelta(hours=3), now)


def test_the_report_is_on_the_page_and_the_tabs_lead_to_it(past, run_dag, ask):
    _, dsn = past
    _, dag_run = run_dag(END)
    (made,) = stored(dsn)
    number = made["id"]
    listed = ask("/audits")
    assert f'href="/posguard/audits/{number}"' in listed.text
    page = ask(f"/audits/{number}")
    assert page.status_code == 200
    assert page.text.count('<section class="part"') == 16
    assert "<style" not in page.text
    tab = ask(f"/dags/posguard_audit/runs/{dag_run.run_id}")
    assert (tab.status_code, tab.headers["Location"]) == (303, f"/posguard/audits/{number}")
    assert ask("/dags/posguard_audit").headers["Location"] == "/posguard/audits"
    assert ask("/dags/posguard_audit/runs/none").status_code == 404
    assert ask(f"/audits/{number + 1}").status_code == 404
