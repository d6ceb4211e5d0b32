"""The analysis of a window on a real PostgreSQL: a small world made by hand, asserted row by row."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from posguard.postgres.analysis import analyse
from posguard.postgres.pool import Database
from tests.fixtures.analysed import T0, T1, at, db, rows, told

pytestmark = pytest.mark.postgres
assert db  # a fixture
assert told  # a fixture

D = Decimal


async def test_overview(told):
    assert rows(told.overview) == [(13, 6, 1, 1, 0, 7, 10, 2, at("0:05"), at("3:30"))]
    assert rows(told.hours) == [
        (at("0:00"), 7, 3, 12, 0, 1799),
        (at("1:00"), 2, 1, 7, 3, 604.933),
        (at("2:00"), 3, 2, 3, 3, 2861),
        (at("3:00"), 1, 0, 3, 0, 3597),
    ]


async def test_the_silence_before_the_first_event_and_after_the_last_one_counts(db):
    told = await analyse(db, at("3:00"), at("3:50"))
    assert [line.longest_silence_seconds for line in told.hours.rows] == [1798.5]
    told = await analyse(db, at("3:10"), at("3:20"))
    assert [(line.events, line.longest_silence_seconds) for line in told.hours.rows] == [(0, 600)]


async def test_by_exchange_and_by_status(told):
    assert rows(told.by_exchange) == [
        ("binance", 8, 3, 1, 0, 0, 4, 7, 0.125),
        ("bybit", 5, 3, 0, 1, 0, 3, 3, 0),
    ]
    assert rows(told.by_status) == [
        ("closed", False, True, 5, 0.3846, at("0:05"), at("0:40"), 2280),
        ("active", True, True, 2, 0.1538, at("1:00:3.756"), at("2:00:9"), 8993.622),
        ("closing", True, True, 1, 0.0769, at("3:30"), at("3:30"), 1800),
        ("entry_placed", True, True, 1, 0.0769, at("2:30"), at("2:30"), 5400),
        ("failed", False, True, 1, 0.0769, at("2:00"), at("2:00"), 1),
        ("rolled_back", False, True, 1, 0.0769, at("1:00"), at("1:00"), None),
        ("weird", True, False, 1, 0.0769, at("0:15"), at("0:15"), 13500),
        (None, True, False, 1, 0.0769, at("0:16"), at("0:16"), 60),
    ]


async def test_lifecycle(told):
    assert rows(told.lifecycle) == [
        ("all", 5, 60, 4452, 3600, 9840, 10608, 10800),
        ("binance", 2, 1800, 2700, 2700, 3510, 3582, 3600),
        ("bybit", 3, 60, 5620, 6000, 10320, 10704, 10800),
    ]
    assert rows(told.lifecycle_faults) == [
        ("closed before it was opened", 1, (23,)),
        ("no status", 1, (21,)),
        ("open with a time of closing", 1, (21,)),
        ("unfinished for more than an hour", 1, (22,)),
        ("unknown status", 1, (20,)),
        ("updated before it was created", 1, (21,)),
    ]


async def test_unprotected_and_never_protected(told):
    assert rows(told.unprotected) == [
        (2549, "binance", "APT/USDT:USDT", "long", D(61), "active", at("1:00:3.756"), 10796.244, False, None, 1),
    ]  # fmt: skip
    assert told.unprotected.absent == ("core_managed", "stop_loss_order_id")
    assert rows(told.never_protected) == [
        (3, "bybit", "SOLUSDT", "closed", at("0:30"), at("2:10"), 6000, 2),
        (2548, "binance", "APTUSDT", "rolled_back", at("1:00"), None, None, 2),
    ]


async def test_stop_losses(told):
    assert rows(told.stop_loss) == [("binance", 3, 0, 1, 0, 0, 0), ("bybit", 1, 0, 0, 0, 0, 0)]
    assert rows(told.stop_distance) == [
        ("all", 9, 1, -5, 10, 10, 10),
        ("binance", 6, 0, 2, 10, 10, 10),
        ("bybit", 3, 1, -5, 5, 9.5, 10),
    ]


async def test_trailing_stops(told):
    assert rows(told.trailing_states) == [
        ("binance", "inactive", 1, 0, 0, None),
        ("bybit", "active", 2, 2, 7, at("1:00")),
        ("bybit", "inactive", 1, 0, 0, None),
    ]
    assert rows(told.trailing_events) == [("bybit", 0, 1, 0, 3, 0)]
    assert rows(told.trailing_rushes) == [(4, "BTCUSDT", "bybit", 3, 1, 20, 1)], (
        "a minute to the second is no rush"
    )
    assert [(row.id, row.position_id, row.fault) for row in told.trailing_faults.rows] == [
        (1, 10, "stop above the highest price"),
        (2, 4, "activated without a stop order"),
        (2, 4, "activated without a time"),
        (2, 4, "its position has ended"),
        (3, 14, "stop below the lowest price"),
        (4, 999, "its position does not exist"),
    ]


async def test_races(told):
    assert rows(told.races) == [
        ("bybit", "XRPUSDT", 10, 11, at("-2:00"), at("0:05"), 7500, 60, "active", "closed", 4),
        ("binance", "APTUSDT", 2548, 2549, at("1:00"), at("1:00:3.756"), 3.756, 1.177, "rolled_back", "active", 4),
        ("bybit", "DOTUSDT", 13, 14, at("2:00"), at("2:00:9"), 9, 0, "failed", "active", 4),
        ("bybit", "XRPUSDT", 10, 12, at("-2:00"), at("3:30"), 19800, 1800, "active", "closing", 4),
    ]  # fmt: skip
    assert rows(told.duplicate_key_errors) == [
        (at("1:00:4.933"), "binance", "APTUSDT", 2548, 2, 2),
        (at("1:00:15"), "binance", "APTUSDT", 20, 1, 2),
    ]
    assert rows(told.simultaneous) == [
        (1, "binance", "BTCUSDT", at("0:13"), at("0:13:0.3"), 0.3, "a", "b", 1),
    ]


async def test_errors(told):
    assert rows(told.errors) == [
        ("order_error", "INFO", "bybit", 2, 1, at("2:00:1"), at("2:00:2")),
        ("position_error", "ERROR", "binance", 2, 2, at("1:00:4.933"), at("1:00:15")),
        ("error_occurred", "ERROR", "binance", 1, 1, at("1:00:5"), at("1:00:5")),
        ("warning_raised", "critical", None, 1, 0, at("2:00:3"), at("2:00:3")),
    ]
    assert rows(told.error_messages) == [
        ("Binance error -#: Margin #", "-2019", 2, at("2:00:1"), at("2:00:2"), 16, 3),
        ("duplicate key value violates", None, 2, at("1:00:4.933"), at("1:00:15"), 13, 3),
        ("Rate limit exceeded", None, 1, at("2:00:3"), at("2:00:3"), 18, 3),
    ]


async def test_latency(told):
    assert rows(told.latency) == [
        ("entry filled", "all", 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, ()),
        ("entry filled", "binance", 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, ()),
        ("entry placed", "all", 1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0, ()),
        ("entry placed", "binance", 1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0, ()),
        ("stop-loss placed", "all", 3, 1, 2.3333, 2, 3.8, 3.96, 4, 2, (1, 11)),
        ("stop-loss placed", "binance", 2, 1, 2.5, 2.5, 3.85, 3.97, 4, 1, ()),
        ("stop-loss placed", "bybit", 1, 2, 2, 2, 2, 2, 2, 1, ()),
        ("synchronisation", "all", 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1, ()),
        ("synchronisation", "bybit", 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1, ()),
    ]


async def test_profit_and_loss(told):
    assert rows(told.pnl) == [
        ("all", 6, 1, 2, 2, D(0), D("1.75"), D(0), D(-4), D(0), D(6), D(4)),
        ("binance", 3, 0, 1, 1, D(2), D("0.75"), D("0.66666666666666666667"), D(-4), D(0), D(6), D(4)),
        ("bybit", 3, 1, 1, 1, D(-2), D(1), D(-1), D(-3), D(-3), D(1), D(3)),
    ]
    assert rows(told.pnl_by_reason) == [
        ("signal", 3, 1, D(1), D("0.5")),
        ("stop_loss", 2, 0, D(-7), D("-3.5")),
        ("take_profit", 1, 1, D(6), D(6)),
    ]
    assert rows(told.pnl_by_symbol) == [
        ("binance", "ETHUSDT", 1, 0, D(-4)),
        ("bybit", "BTCUSDT", 1, 0, D(-3)),
        ("binance", "EOSUSDT", 1, 0, D(0)),
        ("bybit", "XRPUSDT", 1, 1, D(1)),
        ("binance", "BTCUSDT", 1, 1, D(6)),
        ("bybit", "SOLUSDT", 1, 0, None),
    ]


async def test_aged_and_zombies(told):
    assert rows(told.aged) == [
        (10, "bybit", "XRPUSDT", "long", D(5), "active", at("-2:00"), 21600, D(2), 3),
        (20, "binance", "ADAUSDT", "long", D(1), "weird", at("0:15"), 13500, None, 3),
        (21, "binance", "LTCUSDT", "long", D(1), None, at("0:16"), 13440, None, 3),
    ]
    assert rows(told.zombies) == [
        (2, "o2", "binance", "BTCUSDT", "stop_market", "sell", D(1), "open", "1", "closed", at("0:11"), 2),
        (4, "o4", "bybit", "XRPUSDT", "stop_market", "sell", D(5), "new", "777", None, at("0:12"), 2),
    ]


async def test_orders(told):
    assert rows(told.orders) == [
        ("binance", "market", "filled", 3, D(5), D(5), 3.3333),
        ("binance", "stop_market", "open", 1, D(1), D(0), 0),
        ("bybit", "stop_market", "new", 1, D(5), D(0), 0),
    ]
    assert rows(told.order_fees) == [("binance", "BNB", 1, D("0.2")), ("binance", "USDT", 2, D("0.4"))]
    assert rows(told.order_faults) == [
        ("its order id is there twice", 2, (5, 6)),
        ("called filled with less than its size", 1, (6,)),
        ("filled more than ordered", 1, (5,)),
        ("no position", 1, (5,)),
    ]


async def test_lists_are_cut_and_say_how_long_they_were(db):
    told = await analyse(db, T0, T1, listed=2, aged=timedelta(minutes=1))
    assert [(row.id, row.total) for row in told.aged.rows] == [(10, 7), (20, 7)]
    assert len(told.races.rows) == 2
    assert [row.count for row in told.error_messages.rows] == [2, 1], "the most frequent and the rarest"


async def test_percentiles_are_numpys(bot_dsn):
    import numpy as np

    dice = np.random.default_rng(5)
    seconds = dice.integers(1, 9_000_000, 400) / 1000
    with psycopg.connect(bot_dsn.get_secret_value()) as connection:
        connection.cursor().executemany(
            "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, created_at, opened_at, closed_at)"
            " VALUES ('BTCUSDT', 'binance', 'long', 1, 1, 'closed', %(at)s, %(at)s, %(at)s + make_interval(secs => %(secs)s))",
            [{"at": T0, "secs": float(value)} for value in seconds],
        )
    async with await Database.open(bot_dsn) as db:
        (line, _) = (await analyse(db, T0, T1)).lifecycle.rows
    assert [line.p50, line.p95, line.p99] == pytest.approx(np.percentile(seconds, [50, 95, 99]))
    assert (line.min, line.mean, line.max) == pytest.approx((seconds.min(), seconds.mean(), seconds.max()))
