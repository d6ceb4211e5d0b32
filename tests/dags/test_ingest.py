"""The two ingestion DAGs run for real: files on disk and on object storage, into real PostgreSQL, counted against the truth."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psycopg
import pytest

from posguard.logs.generator import Recipe, make_log, write_rotated
from posguard.postgres import migrate
from posguard.postgres.queries import script
from tests.conftest import run_script
from tests.dags.conftest import of_dsn

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(300)]

DAY = timedelta(days=1)
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = MIDNIGHT - 3 * DAY + timedelta(hours=20)
# Eight hours across a midnight.
LOG = Recipe(
    seed=3, zone="America/New_York", start=START, hours=8, noise=300, opens=10, happenings=60, incidents=False
)
DAGS = ("posguard_ingest_logs", "posguard_ingest_archive")


@pytest.fixture
def database(empty_dsn, connect, monkeypatch):
    run_script(empty_dsn.get_secret_value(), script("bot_schema"))
    migrate.upgrade(empty_dsn)
    connect(posguard_db=of_dsn(empty_dsn, sslmode="disable"))
    monkeypatch.delenv("POSGUARD_LOG_SOURCES", raising=False)
    return empty_dsn.get_secret_value()


@pytest.fixture
def declare(monkeypatch):
    """Declares a source by its paths."""

    def declaring(*paths):
        source = {"name": "bot", "paths": [str(path) for path in paths], "zone": LOG.zone}
        monkeypatch.setenv("POSGUARD_LOG_SOURCES", json.dumps([source]))

    return declaring


@pytest.fixture
def run_dag(dag_bag, airflow_database):
    """Runs a DAG once, by hand unless a logical date is given; gives the states of its tasks and the run."""

    def run(name, logical_date=None):
        done = dag_bag.dags[name].test(run_after=datetime.now(UTC), logical_date=logical_date)
        states = {(task.task_id, task.map_index): str(task.state) for task in done.get_task_instances()}
        return states, done

    return run


@pytest.fixture
def run_tasks(dag_bag):
    """Does what the tasks of a run do, one after the other and without Airflow's machinery around them; gives what the last hands on."""
    assert dag_bag.import_errors == {}

    def run(day=None):
        import posguard_log_tasks as work

        start, end = (day, day + DAY) if day else (None, None)
        name = f"run of {day}"
        dag_run = SimpleNamespace(
            data_interval_start=start, data_interval_end=end, run_id=name, clear_number=0
        )
        return work.races(dag_run, [work.load(dag_run, group) for group in work.files(dag_run)])

    return run


def ask(dsn, query, *values):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, values).fetchall()


def kinds(dsn):
    return dict(ask(dsn, "SELECT kind, count(*) FROM posguard.log_events GROUP BY kind"))


def within(truth, interval):
    return sum(1 for one in truth.records if one.kind and interval[0] <= one.at < interval[1])


def test_both_are_of_the_same_tasks(dag_bag):
    hourly, daily = (dag_bag.dags[name] for name in DAGS)
    assert [task.task_id for task in hourly.topological_sort()] == ["preflight", "files", "load", "races"]
    assert {
        task.task_id: (task.downstream_task_ids, task.trigger_rule, task.execution_timeout, task.outlets)
        for task in hourly.tasks
    } == {
        task.task_id: (task.downstream_task_ids, task.trigger_rule, task.execution_timeout, task.outlets)
        for task in daily.tasks
    }
    assert (hourly.timetable.expression, daily.timetable.expression) == ("0 * * * *", "0 0 * * *")
    assert (hourly.is_paused_upon_creation, daily.is_paused_upon_creation) == (None, True)


def test_by_hand_everything_is_loaded_a_task_for_each_file_and_again_nothing(
    database, declare, run_dag, run_tasks, tmp_path
):
    truth = write_rotated(tmp_path, LOG)
    declare(tmp_path)
    states, dag_run = run_dag("posguard_ingest_archive")
    assert set(states.values()) == {"success"}
    assert {key for key in states if key[0] == "load"} == {("load", 0), ("load", 1), ("load", 2)}
    assert dag_run.data_interval_start is None
    assert kinds(database) == truth.kinds
    found = ask(database, "SELECT symbol FROM posguard.findings ORDER BY symbol")
    assert found == [(symbol,) for symbol in sorted(race.symbol for race in truth.races)]
    again = run_tasks()
    assert (again["events"], again["new_events"], again["races"]) == (truth.events, 0, len(truth.races))
    assert kinds(database) == truth.kinds
    assert ask(database, "SELECT symbol FROM posguard.findings ORDER BY symbol") == found


def test_the_interval_decides_and_both_dags_over_one_day_make_the_same_rows(
    database, declare, run_dag, tmp_path
):
    truth = write_rotated(tmp_path, LOG, files=1)
    declare(tmp_path)
    states, dag_run = run_dag("posguard_ingest_archive", logical_date=MIDNIGHT - 2 * DAY)
    assert set(states.values()) == {"success"}
    day = (dag_run.data_interval_start, dag_run.data_interval_end)
    assert day[1] - day[0] == DAY
    assert sum(kinds(database).values()) == within(truth, day) > 0
    before = kinds(database)
    states, dag_run = run_dag("posguard_ingest_logs", logical_date=day[1] - timedelta(hours=1))
    hour = (dag_run.data_interval_start, dag_run.data_interval_end)
    assert hour[1] - hour[0] == timedelta(hours=1)
    assert within(truth, hour) > 0
    assert set(states.values()) == {"success"}
    assert kinds(database) == before
    assert len(ask(database, "SELECT 1 FROM posguard.log_intervals")) == 2
    # an hour in which nothing was logged: no file is read for it, and it is covered all the same
    states, _ = run_dag("posguard_ingest_logs", logical_date=day[0] + timedelta(hours=2))
    assert (states["load", -1], states["races", -1]) == ("skipped", "success")
    assert len(ask(database, "SELECT 1 FROM posguard.log_intervals")) == 3


def test_archives_on_object_storage_are_read_through_airflow(database, declare, run_dag, run_tasks, tmp_path):
    truth = write_rotated(tmp_path, LOG, files=2, packed="zst")
    declare(f"file://{tmp_path}/")
    states, _ = run_dag("posguard_ingest_archive")
    assert set(states.values()) == {"success"}
    assert kinds(database) == truth.kinds
    assert {path.partition("://")[0] for (path,) in ask(database, "SELECT path FROM posguard.log_files")} == {
        "file"
    }
    declare(f"file://{tmp_path}/bot.log*")
    # a day before the log: every file is known, unchanged and has nothing of it
    assert run_tasks(MIDNIGHT - 8 * DAY)["events"] == 0
    assert run_tasks(MIDNIGHT - 2 * DAY)["events"] > 0
    assert kinds(database) == truth.kinds


def test_without_a_declared_source_the_run_is_skipped(database, run_dag):
    states, _ = run_dag("posguard_ingest_logs")
    assert set(states.values()) == {"skipped"}


def test_a_file_that_cannot_be_read_fails_its_task_and_the_interval_is_not_covered(
    database, declare, run_dag, run_tasks, tmp_path
):
    truth = write_rotated(tmp_path, LOG, packed="", files=1)
    extra = tmp_path / "strange.log"
    extra.write_bytes(gzip.compress(make_log(replace(LOG, seed=4))[0])[:200])
    declare(tmp_path)
    # a packed file that breaks off is damage: what stands before it is loaded
    assert run_tasks()["events"] >= truth.events
    assert sum(kinds(database).values()) >= truth.events
    declare(tmp_path / "nothing.log")
    states, _ = run_dag("posguard_ingest_archive", logical_date=MIDNIGHT - 2 * DAY)
    assert states["files", -1] == "failed"
    assert states["races", -1] == "upstream_failed"
    assert ask(database, "SELECT 1 FROM posguard.log_intervals") == []
