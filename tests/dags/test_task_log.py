"""What a task's log holds, as Airflow's own supervisor writes it, where a task fails for a reason posguard knows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from posguard.postgres.embedded import free_port
from posguard.simulator.defaults import READ_KEY, READ_SECRET
from tests.conftest import run_script
from tests.dags.conftest import ROOT, of_dsn

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(180)]

DAG_FILE = ROOT / "dags" / "posguard_reconcile.py"
CLEANUP_FILE = ROOT / "dags" / "posguard_cleanup.py"
VENUE = {"login": READ_KEY, "password": READ_SECRET, "extra": {"world": "demo"}}
TRACES = ("Traceback", "error_detail", "exc_info", "Error Stack", "Task failed with exception")

PLANTED = """
from datetime import UTC, datetime
from airflow.sdk import dag, task
from posguard_airflow import one_line, said
from posguard.errors import PosguardBugError, SettingsError

@dag(dag_id="planted", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))
def planted():
    @task
    def bug():
        with one_line():
            {}["planted"]

    @task
    def broken_invariant():
        with one_line():
            raise PosguardBugError("The planted invariant broke.")

    @task
    def bug_after_what_was_said():
        try:
            with one_line():
                raise SettingsError("Said before.")
        except Exception:
            {}["planted"]

    bug(), broken_invariant(), bug_after_what_was_said()

planted()
"""


@pytest.fixture
def supervise(tmp_path):
    """Runs named cases under the supervisor; gives each log's lines."""

    def run(cases):
        command = [sys.executable, "-m", "tests.dags.supervised", str(tmp_path)]
        done = subprocess.run(
            command, input=json.dumps(cases), text=True, capture_output=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr
        logs = {name: (tmp_path / f"{name}.log").read_text() for name in cases}
        return {name: [json.loads(line) for line in log.splitlines()] for name, log in logs.items()}

    return run


def case(task, file=DAG_FILE, dag="posguard_reconcile", **connections):
    env = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    return {"file": str(file), "dag": dag, "task": task, "env": env}


def test_what_posguard_knows_is_one_line_in_the_stored_log_and_no_traceback(supervise, empty_dsn):
    run_script(empty_dsn.get_secret_value(), "CREATE SCHEMA monitoring; CREATE TABLE monitoring.positions ()")
    away = of_dsn(empty_dsn) | {"host": "127.0.0.1", "port": free_port()}
    stranger = of_dsn(empty_dsn) | {"login": "nobody", "password": "canary-s3cret"}
    no_world = VENUE | {"extra": {"world": "tesnet"}}
    expected = {
        "missing": (case("preflight"), "posguard_db is not there", "AIRFLOW_CONN_POSGUARD_DB"),
        "wrong": (
            case("preflight", posguard_db=of_dsn(empty_dsn), posguard_binance=no_world),
            "posguard_binance names no world",
            "the worlds are",
        ),
        "no_schema": (
            case("preflight", posguard_db=of_dsn(empty_dsn), posguard_binance=VENUE),
            "posguard's schema is missing",
            "posguard db upgrade",
        ),
        "login": (
            case("preflight", posguard_db=stranger, posguard_binance=VENUE),
            "refused the login",
            "Check user and password",
        ),
        "away": (
            case("reconcile", posguard_db=away, posguard_binance=VENUE),
            "The database did not answer",
            "Check that it runs",
        ),
    }
    logs = supervise({name: one for name, (one, _, _) in expected.items()})
    for name, (_, says, hint) in expected.items():
        wrong = [line for line in logs[name] if line["level"] in {"error", "critical"}]
        assert len(wrong) == 1, (name, wrong)
        assert says in wrong[0]["event"], name
        assert hint in wrong[0]["event"], name
        whole = json.dumps(logs[name])
        assert not [trace for trace in TRACES if trace in whole], name
        assert "canary-s3cret" not in whole


def test_a_code_that_opens_nothing_is_one_line_in_the_stored_log(supervise, bot_dsn):
    gate = case("gate", CLEANUP_FILE, "posguard_cleanup", posguard_db=of_dsn(bot_dsn), posguard_binance=VENUE)
    cases = {
        "wrong": (gate | {"conf": {"confirm": "2222-2222"}}, "There is no plan of the code 2222-2222"),
        "slip": (gate | {"conf": {"confrim": "2222-2222"}}, "The param confrim is no param of this DAG"),
        "newline": (gate | {"conf": {"symbol": "BTCUSDT\n"}}, "The param symbol is not written"),
    }
    logs = supervise({name: one for name, (one, _) in cases.items()})
    for name, (_, says) in cases.items():
        (line,) = [line for line in logs[name] if line["level"] in {"error", "critical"}]
        assert says in line["event"], name
        assert not [trace for trace in TRACES if trace in json.dumps(logs[name])], name


def test_a_bug_keeps_its_traceback_in_the_stored_log(supervise, tmp_path):
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    names = ("bug", "broken_invariant", "bug_after_what_was_said")
    logs = supervise({name: case(name, file, "planted") for name in names})
    for name, kind in zip(names, ("KeyError", "PosguardBugError", "KeyError"), strict=True):
        (failed,) = [line for line in logs[name] if line["event"] == "Task failed with exception"]
        last = failed["error_detail"][0]
        assert last["exc_type"] == kind, name
        assert last["frames"], name
    said = [line["event"] for line in logs["bug_after_what_was_said"]]
    assert "Said before." in said
