"""`posguard check` against a real server and the simulator: what it sees, what it says, and that it touches nothing."""

from __future__ import annotations

import socket
import subprocess

import psycopg
import pytest

from posguard.errors import ExitCode
from posguard.postgres.queries import script
from posguard.simulator.defaults import READ_KEY, READ_SECRET, TRADE_KEY, TRADE_SECRET
from tests.conftest import run_script
from tests.program import PROGRAM, environment, posguard, posguard_beside

pytestmark = pytest.mark.postgres


def venues(base_url, **more):
    """The environment of both venues on the simulator, with keys that only read."""
    found = {}
    for name in ("BINANCE", "BYBIT"):
        found |= {
            f"POSGUARD_{name}_KEY": READ_KEY,
            f"POSGUARD_{name}_SECRET": READ_SECRET,
            f"POSGUARD_{name}_WORLD": "simulator",
            f"POSGUARD_{name}_URL": base_url,
        }
    return found | more


def marks(ended, area):
    return {line["what"]: line["mark"] for line in ended.json["lines"] if line["area"] == area}


def unused_address():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"http://127.0.0.1:{held.getsockname()[1]}"


async def test_everything_in_place(simulator, bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    ended = await posguard_beside(
        "check", "--json", folder=tmp_path, POSGUARD_DSN=dsn, **venues(simulator.base_url)
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["passed"] is True
    assert marks(ended, "schema") == {"posguard": "ok"}
    assert marks(ended, "venues")["bybit snapshot"] == "ok"
    assert {entry.method for entry in simulator.log} == {"GET"}


async def test_it_touches_nothing(simulator, bot_dsn, tmp_path):
    """Its session is read-only, so that a write would be an error; and the counters of the server stand still."""
    dsn = bot_dsn.get_secret_value()
    await posguard_beside("check", folder=tmp_path, POSGUARD_DSN=dsn, **venues(simulator.base_url))
    with psycopg.connect(dsn) as connection:
        counted = connection.execute(
            "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname IN ('runs', 'positions')"
        ).fetchall()
    assert {n for (n,) in counted} == {0}


async def test_a_trading_key_and_a_wrong_key_are_told(simulator, bot_dsn, tmp_path):
    env = venues(
        simulator.base_url,
        POSGUARD_BINANCE_KEY=TRADE_KEY,
        POSGUARD_BINANCE_SECRET=TRADE_SECRET,
        POSGUARD_BYBIT_SECRET="canary-secret",
    )
    ended = await posguard_beside(
        "check", "--json", folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value(), **env
    )
    ended.fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_BYBIT_KEY")
    said = [line["said"] for line in ended.json["lines"]]
    assert "may trade" in said
    assert marks(ended, "venues")["binance snapshot"] == "ok"
    assert "canary-secret" not in ended.out + ended.err


def test_an_exchange_that_is_down_leaves_the_rest_looked_at(bot_dsn, tmp_path):
    ended = posguard(
        "check",
        "--json",
        folder=tmp_path,
        POSGUARD_DSN=bot_dsn.get_secret_value(),
        **venues(unused_address()),
    )
    ended.fails_with(ExitCode.INCONCLUSIVE, "no connection")
    assert marks(ended, "schema") == {"posguard": "ok"}
    assert marks(ended, "venues")["binance"] == "fail"


def test_nothing_configured_at_all(tmp_path):
    ended = posguard("check", folder=tmp_path)
    ended.fails_with(ExitCode.INCONCLUSIVE, "no exchange is configured", "1 more above")
    assert "Set POSGUARD_DSN" in ended.out


def test_half_a_key_and_a_malformed_setting(tmp_path):
    ended = posguard("check", folder=tmp_path, POSGUARD_BINANCE_KEY="k")
    ended.fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_BINANCE_SECRET")
    ended = posguard("check", folder=tmp_path, POSGUARD_GRACE="canary-value")
    ended.fails_with(ExitCode.INCONCLUSIVE, "POSGUARD_GRACE")
    assert "canary-value" not in ended.err


def test_rows_of_an_exchange_without_credentials_fail(bot_dsn, tmp_path):
    dsn = bot_dsn.get_secret_value()
    run_script(
        dsn,
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price) "
        "VALUES ('BTCUSDT', 'bybit', 'long', 1, 1)",
    )
    ended = posguard("check", folder=tmp_path, POSGUARD_DSN=dsn)
    assert "1 open rows and no credentials" in ended.out
    assert ended.code == ExitCode.INCONCLUSIVE


def test_settings_come_from_a_env_file_and_the_environment_goes_before(bot_dsn, tmp_path):
    (tmp_path / ".env").write_text(
        f"POSGUARD_DSN={bot_dsn.get_secret_value()}\n"
        f"POSGUARD_BYBIT_KEY=k\nPOSGUARD_BYBIT_SECRET=s\nPOSGUARD_BYBIT_WORLD=simulator\nPOSGUARD_BYBIT_URL=http://nowhere.invalid\n"
    )
    (tmp_path / ".env").chmod(0o644)
    address = unused_address()
    ended = posguard("check", "--json", folder=tmp_path, POSGUARD_BYBIT_URL=address)
    said = {line["what"]: line["said"] for line in ended.json["lines"]}
    assert said[".env"] == "can be read by others"
    assert said["bybit world"] == f"simulator at {address}"
    assert "database bot" not in said["server"]


def test_older_deployments_are_fine(empty_dsn, tmp_path):
    dsn = empty_dsn.get_secret_value()
    run_script(dsn, script("bot_schema"))
    run_script(
        dsn,
        "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100), DROP has_stop_loss, DROP stop_loss_price; "
        "DROP TABLE monitoring.trailing_stop_state",
    )
    ended = posguard("check", "--json", folder=tmp_path, POSGUARD_DSN=dsn)
    tables = marks(ended, "tables")
    assert tables["monitoring.positions"] == "ok"
    assert tables["monitoring.trailing_stop_state"] == "warn"
    assert "recorded stops" not in tables


def test_the_simulator_command_says_its_address_and_ends_cleanly(tmp_path):
    process = subprocess.Popen(
        [PROGRAM, "simulator"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    address = line.split()[-1]
    env = {n: v for n, v in venues(address).items() if "BYBIT" in n}
    ended = posguard("check", "--json", folder=tmp_path, **env)
    assert marks(ended, "venues")["bybit snapshot"] == "ok"
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
