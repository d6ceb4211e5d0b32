"""`posguard reproduce` as a person types it: dry by default, gated, and taken back whatever happens."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from posguard.errors import ExitCode
from tests.fixtures.bot_tables import do, position, rows
from tests.fixtures.races import mark
from tests.program import PROGRAM, environment, posguard

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SOME = ("--runs", "20", "--threads", "4", "--confirm")
FEW = (*SOME, "--seed", "7")


@pytest.fixture
def reproduce(race_dsn, tmp_path):
    def run(*words, folder=tmp_path, **variables):
        return posguard(
            "reproduce", *words, folder=folder, **{"POSGUARD_DSN": race_dsn.get_secret_value(), **variables}
        )

    return run


@pytest.fixture
def broken(reproduce):
    """A batch in which the races show: they are a matter of the machine's timing; a few may pass by on a busy one, ten do not."""

    def until(*words, shown=lambda _: True, **more):
        for seed in range(7, 17):
            ended = reproduce(*SOME, "--seed", str(seed), *words, **more)
            assert ended.code in {ExitCode.FINE, ExitCode.CRITICAL}, ended.err
            if ended.code == ExitCode.CRITICAL and shown(ended):
                return ended
        pytest.fail(f"ten batches, and no race shows: {ended.out}")

    return until


SHOWS = ("duplicates", "closed_by_rollback", "unique_violations")


def schemas(dsn):
    """What a reproduction may leave behind."""
    return rows(dsn, "SELECT nspname FROM pg_namespace WHERE nspname IN ('monitoring', 'posguard')")


def test_dry_by_default(reproduce, race_dsn):
    shown = reproduce()
    assert shown.code == 0, shown.err
    for words in ("Scenario B", "defective", "Dry run: nothing was written"):
        assert words in shown.out
    assert schemas(race_dsn) == []
    told = reproduce("--dry-run", "--json").json
    assert (told["dry_run"], told["held"], told["result"]) == (True, None, None)
    assert told["plan"]["scenario"] == "B"


def test_the_defective_core_ends_with_1_and_figures(broken, race_dsn):
    ended = broken("--json", shown=lambda ended: all(ended.json["result"][name] for name in SHOWS))
    result = ended.json["result"]
    assert ended.json["held"] is False
    assert (result["runs"], result["attempts"]) == (20, 20)
    assert result["success"] + result["failure"] == 20
    assert result["timings"]["window"]["min"] >= 30
    assert schemas(race_dsn) == []
    text = broken("--window", "0.01s").out
    for words in ("duplicate rows", "lock wait", "P99", "The first bad one: run "):
        assert words in text


@pytest.mark.slow
def test_the_corrected_core_ends_with_0_on_a_server_of_its_own(tmp_path):
    ended = posguard(
        "reproduce",
        "--scenario",
        "A",
        "--core",
        "corrected",
        *FEW,
        "--json",
        folder=tmp_path,
        POSGUARD_DSN="",
    )
    assert ended.code == 0, ended.err
    assert ended.json["held"] is True
    assert ended.json["plan"]["database"] == "embedded"
    assert ended.json["result"]["one_row_index"] is True
    assert ended.json["result"]["timings"]["window"] is None


def test_a_database_without_the_mark_is_refused(empty_dsn, reproduce):
    name = urlsplit(empty_dsn.get_secret_value()).path.lstrip("/")
    for words in ((), ("--confirm",)):
        ended = reproduce(*words, POSGUARD_DSN=_unmarked(empty_dsn))
        ended.fails_with(ExitCode.REFUSED, name, "COMMENT ON DATABASE", "Nothing was changed")
    assert schemas(empty_dsn) == []


def _unmarked(dsn):
    name = urlsplit(dsn.get_secret_value()).path.lstrip("/")
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(f'COMMENT ON DATABASE "{name}" IS NULL')
    return dsn.get_secret_value()


def test_foreign_rows_are_refused_and_kept(bot_dsn, reproduce):
    dsn = mark(bot_dsn).get_secret_value()
    do(bot_dsn, position("APTUSDT"))
    reproduce("--confirm", POSGUARD_DSN=dsn).fails_with(ExitCode.REFUSED, "positions", "1 rows")
    do(
        bot_dsn,
        "DELETE FROM monitoring.positions",
        "INSERT INTO monitoring.events (event_type) VALUES ('bot_started')",
    )
    reproduce("--confirm", POSGUARD_DSN=dsn).fails_with(ExitCode.REFUSED, "events", "1 rows")
    assert rows(bot_dsn, "SELECT count(*) FROM monitoring.events") == [(1,)]


def test_tables_that_are_there_stay(bot_dsn, reproduce, broken):
    dsn = mark(bot_dsn).get_secret_value()
    do(bot_dsn, position("TEST3USDT"))
    broken(POSGUARD_DSN=dsn)
    assert rows(bot_dsn, "SELECT count(*) FROM monitoring.positions") == [(0,)]
    assert rows(bot_dsn, "SELECT to_regclass('posguard.transitions') IS NOT NULL") == [(True,)]
    reproduce("--core", "corrected", "--confirm", POSGUARD_DSN=dsn).fails_with(
        ExitCode.INCONCLUSIVE, "not upgraded", "posguard db upgrade --target bot"
    )


@pytest.mark.parametrize(
    "variables", [{"POSGUARD_BINANCE_WORLD": "production"}, {"BYBIT_TESTNET": "false"}], ids=["world", "flag"]
)
def test_settings_of_production_are_refused(reproduce, race_dsn, variables):
    reproduce("--confirm", **variables).fails_with(ExitCode.REFUSED, "production", "Unset POSGUARD_DSN")
    assert schemas(race_dsn) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario", "E"), "A, B, C, D, stress, processes"),
        (("--core", "mine"), "module:object"),
        (("--dry-run", "--confirm"), "contradict"),
        (("--window", "soon"), "--window"),
        (("--duration", "0s"), "--duration"),
        (("--runs", "0"), "--runs"),
    ],
)
def test_wrong_words(reproduce, words, said):
    reproduce(*words).fails_with(ExitCode.USAGE, said)


def started(dsn, folder, *words):
    """The program under way, with rows of its own in the database."""
    running = subprocess.Popen(
        [PROGRAM, "reproduce", "--runs", "1000000", "--confirm", *words],
        cwd=folder,
        env=environment(POSGUARD_DSN=dsn.get_secret_value()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        while time.monotonic() < until and running.poll() is None:
            made = connection.execute("SELECT to_regclass('monitoring.positions') IS NOT NULL").fetchone()[0]
            if made and connection.execute("SELECT count(*) FROM monitoring.positions").fetchone()[0]:
                return running
            time.sleep(0.02)
    running.kill()
    pytest.fail(f"no rows came: {running.communicate()}")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, ()),
        (signal.SIGINT, ("--scenario", "processes")),
        (signal.SIGTERM, ("--scenario", "stress", "--core", "corrected")),
    ],
)
def test_ctrl_c_takes_everything_back(race_dsn, tmp_path, number, words):
    running = started(race_dsn, tmp_path, *words)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)
    assert err.splitlines() == ["posguard: Interrupted; nothing further was done."]
    assert schemas(race_dsn) == []


@pytest.mark.slow
def test_ctrl_c_while_its_own_server_starts_leaves_no_server(tmp_path):
    home = Path(tempfile.mkdtemp(prefix="posguard-test-"))
    home.chmod(0o755)
    running = subprocess.Popen(
        [PROGRAM, "reproduce", "--confirm"],
        cwd=tmp_path,
        env=environment(TMPDIR=str(home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while running.poll() is None and not any(home.glob("posguard-race-*")):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)
    assert list(home.iterdir()) == []
    home.rmdir()


def test_schemas_of_somebody_else_are_refused_and_kept(reproduce, race_dsn):
    do(race_dsn, "CREATE SCHEMA monitoring", "CREATE TABLE monitoring.trades (id int)")
    reproduce("--confirm").fails_with(ExitCode.INCONCLUSIVE, "Nothing was changed", "empty database")
    assert rows(race_dsn, "SELECT to_regclass('monitoring.trades') IS NOT NULL") == [(True,)]


def test_a_failure_takes_everything_back(race_dsn, tmp_path):
    running = started(race_dsn, tmp_path, "--scenario", "A")
    with psycopg.connect(race_dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("DROP TABLE monitoring.positions CASCADE")
    out, err = running.communicate(timeout=60)
    assert running.returncode == ExitCode.INCONCLUSIVE, (out, err)
    assert "Traceback" not in err
    assert schemas(race_dsn) == []


def test_the_example_of_the_documents_runs_and_breaks(broken, race_dsn):
    broken(
        *("--core", "own_core:OwnCore", "--json"),
        shown=lambda ended: ended.json["result"]["duplicates"],
        folder=EXAMPLES,
    )
    assert schemas(race_dsn) == []


def test_the_example_stands_in_the_documents_and_is_short():
    code = (EXAMPLES / "own_core.py").read_text()
    assert code in (ROOT / "docs" / "race.md").read_text()
    body = re.search(r"class OwnCore.*", code, re.DOTALL)[0]
    assert len(body.splitlines()) <= 31
