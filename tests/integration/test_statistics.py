"""Statistics of the bot's tables on a real PostgreSQL, and what they say where a source is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.model.baseline import BEFORE, Baseline
from posguard.model.scope import Scope
from posguard.postgres import baselines
from posguard.postgres.pool import Database
from posguard.reconcile.statistics import measure, read_statistics
from tests.conftest import run_script

pytestmark = pytest.mark.postgres

NOW = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
ROWS = """
INSERT INTO monitoring.positions
    (id, symbol, exchange, side, quantity, entry_price, status, created_at, opened_at, closed_at, exit_reason)
VALUES
    (1, 'APTUSDT', 'binance', 'long', 1, 1, 'active', {now} - interval '2 h', {now} - interval '2 h', NULL, NULL),
    (2, 'KASUSDT', 'bybit', 'long', 1, 1, 'closed', {now} - interval '9 h', {now} - interval '9 h', {now} - interval '8 h', 'stop'),
    (3, 'KASUSDT', 'bybit', 'long', 1, 1, 'closed', {now} - interval '6 h', {now} - interval '6 h', {now} - interval '3 h', 'stop'),
    (4, 'APTUSDT', 'binance', 'long', 1, 1, 'rolled_back', {now} - interval '5 h', {now} - interval '5 h', {now} - interval '5 h', 'rollback: duplicate key'),
    (5, 'APTUSDT', 'binance', 'long', 1, 1, NULL, {now} - interval '3 d', NULL, NULL, NULL),
    (6, 'apt/usdt', 'Binance', 'long', 1, 1, 'rolled_back', {now} - interval '20 d', NULL, NULL, 'no fill'),
    (7, 'APTUSDT', 'binance', 'long', 1, 1, 'closed', {now} - interval '40 d', NULL, NULL, NULL);
INSERT INTO monitoring.events (event_type, position_id, symbol, exchange, severity, error_message, created_at) VALUES
    ('stop_loss_placed', 1, 'APTUSDT', 'binance', 'INFO', NULL, {now} - interval '2 h' + interval '4 s'),
    ('stop_loss_placed', 1, 'APTUSDT', 'binance', 'INFO', NULL, {now} - interval '1 h'),
    ('stop_loss_placed', 3, 'KASUSDT', 'bybit', 'INFO', NULL, {now} - interval '6 h' + interval '2 s'),
    ('position_error', 4, 'APTUSDT', 'binance', 'ERROR', 'duplicate key value violates', {now} - interval '5 h'),
    ('error_occurred', 4, 'APTUSDT', 'binance', 'ERROR', 'duplicate key value violates', {now} - interval '5 h' + interval '2 s'),
    ('signal_execution_failed', 4, 'APTUSDT', 'binance', 'WARNING', NULL, {now} - interval '5 h' + interval '3 s'),
    ('error_occurred', NULL, 'KASUSDT', 'bybit', 'CRITICAL', 'duplicate key value', {now} - interval '2 d'),
    ('bot_started', NULL, NULL, NULL, 'INFO', NULL, {now} - interval '10 min'),
    ('order_error', NULL, 'APTUSDT', 'binance', 'INFO', NULL, {now} - interval '10 min')
""".replace("{now}", f"timestamptz '{NOW.isoformat()}'")


@pytest.fixture
async def db(bot_dsn):
    run_script(bot_dsn.get_secret_value(), ROWS)
    async with await Database.open(bot_dsn) as opened:
        yield opened


async def test_rows_by_status_over_a_day(db):
    told = await read_statistics(db, NOW)
    by_status = {row["status"]: row for row in told["by_status"]["rows"]}
    assert {status: row["count"] for status, row in by_status.items()} == {
        "active": 1,
        "closed": 2,
        "rolled_back": 1,
    }
    closed = by_status["closed"]
    assert closed["mean_seconds"] == 2 * 3600
    assert datetime.fromisoformat(closed["first"]) == NOW - timedelta(hours=9)
    assert datetime.fromisoformat(closed["last"]) == NOW - timedelta(hours=6)
    assert by_status["active"]["mean_seconds"] == 2 * 3600


async def test_errors_by_hour_name_the_quiet_hours_too(db):
    told = (await read_statistics(db, NOW))["errors_per_hour"]["rows"]
    assert len(told) == 24
    errors = {datetime.fromisoformat(row["hour"]).hour: row["errors"] for row in told if row["errors"]}
    assert errors == {16: 3, 21: 1}


async def test_success_over_three_windows_against_the_baseline(db):
    told = await read_statistics(db, NOW)
    shares = {name: window["rolled_back"] for name, window in told["windows"].items()}
    assert shares == {
        "24h": {"rows": 4, "rolled_back": 1, "for_duplicates": 1, "share": 0.25},
        "7d": {"rows": 5, "rolled_back": 1, "for_duplicates": 1, "share": 0.2},
        "30d": {"rows": 6, "rolled_back": 2, "for_duplicates": 1, "share": 0.3333},
    }
    assert {name: w["duplicate_key_errors"] for name, w in told["windows"].items()} == {
        "24h": {"count": 1},
        "7d": {"count": 2},
        "30d": {"count": 2},
    }
    latency = told["windows"]["24h"]["open_latency"]
    assert (latency["opens"], latency["p50"], latency["max"]) == (2, 3, 4)
    assert told["goal_rolled_back_share"] == 0.05
    assert (told["baseline"]["name"], told["baseline"]["rolled_back"]["share"]) == (BEFORE, 0.095)
    assert "not counted" in told["baseline"]["open_latency"]["no_source"]


async def test_a_named_baseline_holds_every_measure_of_its_period_and_keeps_it(db):
    week = timedelta(days=7)
    made = Baseline("last-week", await measure(db, NOW, week), NOW - week, NOW, "ann")
    async with db.transaction() as connection:
        assert await baselines.add(connection, made)
        assert not await baselines.add(connection, made), "a name is given once"
    told = await read_statistics(db, NOW, Scope("binance"), baseline="last-week")
    measured = (await read_statistics(db, NOW))["windows"]["7d"]
    assert measured["open_latency"]["p95"] is not None
    assert measured["rolled_back"]["for_duplicates"] == 1
    assert {part: told["baseline"][part] for part in measured} == measured, (
        "of everything, whatever is asked for"
    )
    assert (told["baseline"]["days"], told["baseline"]["to"]) == (7, NOW.isoformat())
    unknown = (await read_statistics(db, NOW, baseline="nobody"))["baseline"]
    assert unknown == {"name": "nobody", "no_source": "no baseline of the name nobody is stored"}


async def test_errors_by_hour_over_as_many_hours_as_are_asked_for(db):
    told = await read_statistics(db, NOW, error_hours=3)
    assert told["error_hours"] == 3
    assert [row["errors"] for row in told["errors_per_hour"]["rows"]] == [0, 0, 1]
    days = (await read_statistics(db, NOW, error_hours=72))["errors_per_hour"]["rows"]
    assert (len(days), sum(row["errors"] for row in days)) == (72, 5)


async def test_filters_by_exchange_and_by_symbol_in_any_spelling(db):
    told = await read_statistics(db, NOW, Scope("binance", "APT/USDT:USDT"))
    assert told["windows"]["30d"]["rolled_back"]["rows"] == 4
    assert told["windows"]["30d"]["duplicate_key_errors"] == {"count": 1}
    assert told["windows"]["30d"]["open_latency"]["opens"] == 1
    assert {row["status"] for row in told["by_status"]["rows"]} == {"active", "rolled_back"}
    assert sum(row["errors"] for row in told["errors_per_hour"]["rows"]) == 4


async def test_nothing_in_a_window_is_none_and_not_a_share_of_zero(db):
    told = await read_statistics(db, NOW - timedelta(days=300))
    window = told["windows"]["24h"]
    assert window["rolled_back"] == {"rows": 0, "rolled_back": 0, "for_duplicates": 0, "share": None}
    assert window["open_latency"] == {"opens": 0, "p50": None, "p95": None, "p99": None, "max": None}


async def test_a_missing_table_or_column_is_no_source_and_never_zero(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "DROP TABLE monitoring.events; ALTER TABLE monitoring.positions DROP exit_reason, DROP opened_at",
    )
    told = await read_statistics(db, NOW)
    no_events = {"no_source": "monitoring.events does not exist or may not be read"}
    assert told["errors_per_hour"] == no_events
    assert told["by_status"] == {"no_source": "monitoring.positions has no column opened_at"}
    for window in told["windows"].values():
        assert window["duplicate_key_errors"] == window["open_latency"] == no_events
        assert window["rolled_back"] == {"no_source": "monitoring.positions has no column exit_reason"}


async def test_a_slow_query_is_no_source_and_does_not_end_the_pass(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.events RENAME TO slow_events;"
        "CREATE VIEW monitoring.events AS SELECT e.* FROM monitoring.slow_events e, pg_sleep(5)",
    )
    async with await Database.open(bot_dsn, timeout=0.6) as hurried:
        told = await read_statistics(hurried, NOW)
    assert "took too long" in told["errors_per_hour"]["no_source"]
    assert "took too long" in told["windows"]["30d"]["duplicate_key_errors"]["no_source"]
    assert told["by_status"]["rows"]
