"""What every DAG of the repository keeps to, and what reading them costs."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from tests.dags.conftest import ROOT

pytestmark = pytest.mark.airflow

PARSE = """
import sys
import airflow.sdk
from pathlib import Path
from time import process_time
sys.path.insert(0, {plugins!r})
begun = process_time()
for path in sorted(Path({dags!r}).glob("*.py")):
    source = compile(path.read_text(), str(path), "exec")
    exec(source, {{"__name__": path.stem, "__file__": str(path)}})
print(process_time() - begun)
print(*sorted({{"great_expectations", "ccxt", "pandas", "altair", "numpy", "asyncpg", "alembic"}} & set(sys.modules)))
"""
FILES = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


def test_every_file_gives_its_dag_without_an_error(dag_bag):
    assert dag_bag.import_errors == {}
    assert sorted(dag_bag.dags) == FILES
    assert FILES


@pytest.mark.parametrize("name", FILES)
def test_every_dag_says_whose_it_is_and_what_it_does(dag_bag, name):
    dag = dag_bag.dags[name]
    assert "posguard" in dag.tags
    assert len(dag.doc_md) > 300
    assert dag.description
    assert not dag.catchup
    assert dag.max_active_runs == 1
    assert dag.dagrun_timeout
    assert 4 <= len(dag.tasks) <= 6


@pytest.mark.parametrize("name", FILES)
def test_every_task_has_an_owner_retries_a_time_out_and_a_doc(dag_bag, name):
    for task in dag_bag.dags[name].tasks:
        assert task.owner == "posguard", task.task_id
        assert task.retries >= 1, task.task_id
        assert task.retry_delay <= timedelta(minutes=1), task.task_id
        assert timedelta() < task.execution_timeout <= timedelta(minutes=15), task.task_id
        assert task.doc_md, task.task_id


def test_the_reconciliation_runs_hourly_by_data_interval_and_publishes_its_asset(dag_bag):
    from airflow.sdk import CronDataIntervalTimetable

    dag = dag_bag.dags["posguard_reconcile"]
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 * * * *"
    assert [asset.name for asset in dag.get_task("publish").outlets] == ["posguard_reconciliation"]


def test_a_cleanup_by_hand_has_no_schedule_and_can_be_triggered_as_installed(dag_bag):
    dag = dag_bag.dags["posguard_cleanup"]
    assert dag.schedule is None
    assert dag.is_paused_upon_creation is False
    assert [task.task_id for task in dag.roots] == ["gate"]
    assert [task.task_id for task in dag.leaves] == ["summary"]


def test_the_scheduled_cleanup_is_paused_as_installed(dag_bag):
    dag = dag_bag.dags["posguard_cleanup_scheduled"]
    assert dag.is_paused_upon_creation is True
    assert dag.timetable.expression == "30 * * * *"
    assert not dag.params


@pytest.mark.parametrize("name", ["posguard_cleanup", "posguard_cleanup_scheduled"])
def test_a_retry_of_apply_comes_after_a_lines_lease(dag_bag, name):
    """A try that was killed holds its line until the lease ends; the retries go on after that."""
    from posguard.cleanup.work import Pace

    task = dag_bag.dags[name].get_task("apply")
    assert task.retries * task.retry_delay.total_seconds() > Pace().lease


def test_the_audit_runs_by_data_interval_of_eight_hours_and_is_paused_as_installed(dag_bag):
    from airflow.sdk import CronDataIntervalTimetable

    dag = dag_bag.dags["posguard_audit"]
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 */8 * * *"
    assert dag.is_paused_upon_creation is True
    assert [task.task_id for task in dag.roots] == ["preflight"]


def test_the_verdict_comes_last_and_after_everything(dag_bag):
    dag = dag_bag.dags["posguard_reconcile"]
    assert [task.task_id for task in dag.leaves] == ["verdict"]
    assert dag.get_task("verdict").get_flat_relative_ids(upstream=True) == {
        "preflight",
        "reconcile",
        "suites",
        "publish",
    }


def test_publishing_does_not_wait_for_the_suites_to_succeed(dag_bag):
    assert dag_bag.dags["posguard_reconcile"].get_task("publish").trigger_rule == "all_done_min_one_success"


def test_reading_all_dag_files_costs_under_a_second_and_loads_nothing_heavy():
    """A second of the processor's time, whatever else the machine does meanwhile; it is a fifth of one."""
    program = PARSE.format(plugins=str(ROOT / "plugins"), dags=str(ROOT / "dags"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    took, heavy = done.stdout.splitlines()[-2:]
    assert heavy == ""
    assert float(took) < 1


def test_the_plugin_loads_nothing_of_the_page_until_somebody_asks_for_it():
    program = """
import sys
import airflow.plugins_manager
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import posguard_report
print(*sorted({"fastapi", "posguard_page", "jinja2", "asyncpg", "ccxt", "great_expectations"} & set(sys.modules) - before))
"""
    arguments = [sys.executable, "-c", program, str(ROOT / "plugins")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
