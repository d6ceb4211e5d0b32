"""The DAG run for real: real PostgreSQL, real ccxt over HTTP against a simulator, real Great Expectations."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from posguard.demo.truth import compare
from posguard.model.run import RunOutcome
from posguard.postgres import findings, results, runs
from posguard.postgres.pool import Database
from posguard.simulator.client import SimulatorControl
from posguard.simulator.defaults import READ_KEY, READ_SECRET
from tests.conftest import run_script
from tests.dags.conftest import of_dsn

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture
def connected(connect, empty_dsn, simulator_url, monkeypatch):
    """Connections to the database and the simulator, and passes that do not wait between snapshots."""
    venue = {
        "host": simulator_url,
        "login": READ_KEY,
        "password": READ_SECRET,
        "extra": {"world": "simulator"},
    }
    connect(posguard_db=of_dsn(empty_dsn, sslmode="disable"), posguard_binance=venue, posguard_bybit=venue)
    monkeypatch.setenv("POSGUARD_SNAPSHOT_GAP", "0.02s")
    monkeypatch.setenv(
        "POSGUARD_WEIGHT_SHARE", "1"
    )  # the simulator has no limit that a second run must wait for
    return connect


@pytest.fixture
def run_dag(dag_bag, airflow_database):
    """Runs the DAG once, triggered by hand (no logical date) unless one is given; gives its tasks' states and the run."""
    dag = dag_bag.dags["posguard_reconcile"]

    def run(logical_date=None):
        done = dag.test(run_after=datetime.now(UTC), logical_date=logical_date)
        return {task.task_id: str(task.state) for task in done.get_task_instances()}, done

    return run


def stored(dsn):
    """All runs, newest first, with the findings that count and the suite results of the newest."""

    async def read():
        async with await Database.open(dsn) as db, db.connection() as connection:
            found = await runs.recent_runs(connection, 50)
            open_now = [f for f in await findings.unresolved(connection) if f.counts]
            judged = await results.results_of(connection, found[0].id) if found else ()
            return found, open_now, judged

    return asyncio.run(read())


def fault(url, kind, **address):
    async def order():
        async with SimulatorControl(url) as control:
            await control.fault(kind, **address)

    asyncio.run(order())


ALL = ("preflight", "reconcile", "suites", "publish", "verdict")


def test_one_run_by_hand_finds_what_was_planted_and_findings_do_not_fail_it(
    demo_world, connected, run_dag, empty_dsn, webhook_apart, monkeypatch
):
    monkeypatch.setenv("POSGUARD_HEARTBEAT_URL", f"{webhook_apart.url}/heartbeat")
    connected(posguard_alerts_webhook={"host": f"{webhook_apart.url}/alerts"})
    states, dag_run = run_dag()
    assert states == dict.fromkeys(ALL, "success")
    assert dag_run.logical_date is None
    heartbeat, told = webhook_apart.bodies
    assert heartbeat is None
    (run,), open_now, judged = stored(empty_dsn)
    assert run.outcome is RunOutcome.PROBLEMS
    assert run.external_id == dag_run.run_id
    assert run.interval_start is None
    truth = compare(demo_world.truth, [f.finding for f in open_now], judged, at=run.finished_at)
    assert truth.exact, "\n".join((*truth.missed, *truth.unexpected, *truth.differing))
    assert truth.found == truth.planted > 50
    wanted = [f for f in open_now if f.finding.severity in {"critical", "warning"}]
    wanted += [one for one in judged if one.result == "violation" and one.severity in {"critical", "warning"}]
    assert sum(told["counts"].values()) == len(wanted)  # after the run, in one message
    assert asset_events(dag_run.run_id) == [
        {"run": run.id, "outcome": "problems", "counts": dict(run.counts), "world": "simulator"}
    ]


def asset_events(run_id):
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        events = session.query(AssetEvent).filter(AssetEvent.source_run_id == run_id).all()
        return [event.extra for event in events]


def test_a_scheduled_interval_is_recorded_with_the_run(demo_world, connected, run_dag, empty_dsn):
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    states, _ = run_dag(logical_date=hour)
    assert set(states.values()) == {"success"}
    (run,), _, _ = stored(empty_dsn)
    assert run.interval_end - run.interval_start == timedelta(hours=1)


def test_an_inconclusive_venue_fails_the_last_task_after_everything_is_stored(
    demo_world, connected, run_dag, empty_dsn, simulator_url
):
    run_dag()
    _, before, _ = stored(empty_dsn)
    fault(simulator_url, "html", venue="binance", path="*positionRisk*", count=None)
    states, dag_run = run_dag()
    assert states == dict.fromkeys(ALL, "success") | {"verdict": "failed"}
    (run, _), open_now, judged = stored(empty_dsn)
    assert run.outcome is RunOutcome.INCONCLUSIVE
    assert judged
    assert asset_events(dag_run.run_id)[0]["outcome"] == "inconclusive"
    verdicts = {v.venue.exchange: v.verdict for v in run.venues}
    assert verdicts == {"binance": "inconclusive", "bybit": "conclusive"}
    # Nothing is resolved; what a lost venue can no longer soften may come on top.
    assert {f.id for f in open_now} >= {f.id for f in before}


def test_a_retry_of_the_task_does_not_double_the_run(demo_world, connected, empty_dsn):
    import posguard_tasks

    class Run:
        run_id = "manual__1"
        clear_number = 0
        data_interval_start = data_interval_end = None

    first = posguard_tasks.reconcile(Run)
    assert posguard_tasks.reconcile(Run) == first
    posguard_tasks.suites(first)
    posguard_tasks.suites(first)
    found, _, judged = stored(empty_dsn)
    assert [run.id for run in found] == [first]
    assert len({(r.suite, r.expectation) for r in judged}) == len(judged)
    Run.clear_number = 1
    assert posguard_tasks.reconcile(Run) > first


def test_a_missing_schema_stops_at_the_first_task_with_the_command(
    demo_world, connected, run_dag, empty_dsn, caplog
):
    run_script(empty_dsn.get_secret_value(), "DROP SCHEMA posguard CASCADE")
    states, _ = run_dag()
    assert states == dict.fromkeys(ALL, "upstream_failed") | {"preflight": "failed"}
    lines = [record.getMessage() for record in caplog.records if record.name == "posguard_airflow"]
    assert lines == [lines[0]]
    assert "posguard db upgrade" in lines[0]


def test_a_missing_connection_stops_at_the_first_task_with_one_line(
    demo_world, connected, run_dag, monkeypatch, caplog
):
    monkeypatch.delenv("AIRFLOW_CONN_POSGUARD_DB")
    states, _ = run_dag()
    assert states["preflight"] == "failed"
    lines = [record.getMessage() for record in caplog.records if record.name == "posguard_airflow"]
    assert len(lines) == 1
    assert "posguard_db is not there" in lines[0]


def test_publishing_goes_on_where_the_suites_fail(
    demo_world, connected, run_dag, dag_bag, empty_dsn, monkeypatch
):
    """A role that may not write the results: the pass is stored and published, the run ends red."""
    with psycopg.connect(empty_dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("ALTER TABLE posguard.suite_results ADD CONSTRAINT full_disk CHECK (run_id < 0)")
    monkeypatch.setattr(dag_bag.dags["posguard_reconcile"].get_task("suites"), "retries", 0)
    states, dag_run = run_dag()
    assert states["suites"] == "failed"
    assert states["publish"] == "success"
    assert states["verdict"] == "upstream_failed"
    assert asset_events(dag_run.run_id)
