"""The analysis of a window on a real PostgreSQL: a small world made by hand, asserted row by row; other column sets; psql."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from dataclasses import asdict, astuple
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from posguard.model.analysis import SECTIONS
from posguard.postgres.analysis import QUERIES, STATEMENTS, analyse
from posguard.postgres.analysis_script import psql_script
from posguard.postgres.pool import Database
from tests.conftest import run_script

pytestmark = pytest.mark.postgres

T0 = datetime(2025, 10, 22, 14, 0, tzinfo=UTC)
T1 = datetime(2025, 10, 22, 18, 0, tzinfo=UTC)
PARTS = tuple(name for section in SECTIONS for name in section.parts)
WORLD = """
INSERT INTO monitoring.positions
    (id, symbol, exchange, side, quantity, entry_price, status, created_at, opened_at, closed_at, updated_at, exit_reason,
     realized_pnl, pnl, fees, has_stop_loss, stop_loss_price, trailing_activated, exchange_order_id, unrealized_pnl)
VALUES
    -- closed in the window, one with a profit by each column, one with none
    (1, 'BTCUSDT', 'binance', 'long', 1, 100, 'closed', {t} + '10 min', {t} + '10 min', {t} + '70 min', {t} + '70 min', 'take_profit',
     6, NULL, 0.5, true, 98, false, 'e1', NULL),
    (2, 'ETHUSDT', 'Binance ', 'short', 2, 100, 'closed', {t} + '20 min', {t} + '20 min', {t} + '50 min', {t} + '50 min', 'stop_loss',
     NULL, -4, 0.25, true, 105, false, 'e2', NULL),
    (3, 'SOLUSDT', 'bybit', 'long', 3, 50, 'closed', {t} + '30 min', {t} + '30 min', {t} + '130 min', {t} + '130 min', 'signal',
     NULL, NULL, NULL, false, NULL, false, 'e3', NULL),
    (4, 'BTCUSDT', 'bybit', 'long', 1, 100, 'closed', {t} - '1 h', {t} - '1 h', {t} + '2 h', {t} + '2 h', 'stop_loss',
     -3, NULL, 1, true, 101, true, 'e4', NULL),
    -- incident 1: signal and synchroniser
    (2548, 'APTUSDT', 'binance', 'long', 61.8, 3.2, 'rolled_back', {t} + '1 h', {t} + '1 h', NULL, {t} + '1 h 4.933 s', 'duplicate',
     NULL, NULL, NULL, false, NULL, false, '53190368', NULL),
    (2549, 'APT/USDT:USDT', 'binance', 'long', 61.0, 3.2, 'active', {t} + '1 h 3.756 s', {t} + '1 h 3.756 s', NULL, {t} + '3 h', NULL,
     NULL, NULL, NULL, false, NULL, false, NULL, -1.5),
    -- a row that lived long, a short one inside it, and a third that overlaps the first alone
    (10, 'XRPUSDT', 'bybit', 'long', 5, 1, 'active', {t} - '2 h', {t} - '2 h', NULL, {t} - '2 h', NULL,
     NULL, NULL, NULL, true, 0.9, false, 'e10', 2),
    (11, 'XRPUSDT', 'bybit', 'long', 5, 1, 'closed', {t} + '5 min', {t} + '5 min', {t} + '6 min', {t} + '6 min', 'signal',
     1, NULL, NULL, true, 0.95, false, 'e11', NULL),
    (12, 'XRPUSDT', 'bybit', 'long', 5, 1, 'closing', {t} + '3 h 30 min', {t} + '3 h 30 min', NULL, {t} + '3 h 30 min', NULL,
     NULL, NULL, NULL, true, 1.05, false, 'e12', NULL),
    -- ended and opened again at once: a race only within ten seconds
    (13, 'DOTUSDT', 'bybit', 'short', 5, 10, 'failed', {t} + '2 h', NULL, {t} + '2 h 1 s', {t} + '2 h 1 s', 'entry not placed',
     NULL, NULL, NULL, false, NULL, false, NULL, NULL),
    (14, 'DOTUSDT', 'bybit', 'short', 5, 10, 'active', {t} + '2 h 9 s', {t} + '2 h 9 s', NULL, {t} + '2 h 9 s', NULL,
     NULL, NULL, NULL, true, 11, false, 'e14', NULL),
    -- faults
    (20, 'ADAUSDT', 'binance', 'long', 1, 1, 'weird', {t} + '15 min', {t} + '15 min', NULL, {t} + '15 min', NULL,
     NULL, NULL, NULL, true, 0.9, false, NULL, NULL),
    (21, 'LTCUSDT', 'binance', 'long', 1, 1, NULL, {t} + '16 min', {t} + '16 min', {t} + '17 min', {t}, NULL,
     NULL, NULL, NULL, true, 0.9, false, NULL, NULL),
    (22, 'BCHUSDT', 'binance', 'long', 1, 1, 'entry_placed', {t} + '2 h 30 min', {t} + '2 h 30 min', NULL, {t} + '2 h 30 min', NULL,
     NULL, NULL, NULL, true, 0.9, false, 'e22', NULL),
    (23, 'EOSUSDT', 'binance', 'long', 1, 1, 'closed', {t} + '40 min', {t} + '40 min', {t} + '39 min', {t} + '40 min', 'signal',
     0, NULL, NULL, true, 0.9, false, 'e23', NULL),
    -- outside: created when the window ends, and ended before it began
    (30, 'BTCUSDT', 'binance', 'long', 1, 1, 'active', {t} + '4 h', {t} + '4 h', NULL, {t} + '4 h', NULL,
     NULL, NULL, NULL, false, NULL, false, NULL, NULL),
    (31, 'BTCUSDT', 'binance', 'long', 1, 1, 'closed', {t} - '5 h', {t} - '5 h', {t} - '1 h', {t} - '1 h', 'signal',
     100, NULL, NULL, false, NULL, false, NULL, NULL);
INSERT INTO monitoring.orders
    (id, position_id, exchange, symbol, order_id, type, side, size, status, filled, fee, fee_currency, created_at, updated_at)
VALUES
    (1, '1', 'binance', 'BTCUSDT', 'o1', 'market', 'buy', 1, 'filled', 1, 0.1, 'USDT', {t} + '10 min', {t} + '10 min 2 s'),
    (2, '1', 'binance', 'BTCUSDT', 'o2', 'stop_market', 'sell', 1, 'open', 0, NULL, NULL, {t} + '11 min', {t} + '11 min'),
    (3, '10', 'bybit', 'XRPUSDT', 'o3', 'stop_market', 'sell', 5, 'open', 0, NULL, NULL, {t} - '2 h', {t} - '2 h'),
    (4, '777', 'bybit', 'XRPUSDT', 'o4', 'stop_market', 'sell', 5, 'new', 0, NULL, NULL, {t} + '12 min', {t} + '12 min'),
    (5, '', 'binance', 'ETHUSDT', 'o5', 'market', 'sell', 2, 'filled', 3, 0.2, 'BNB', {t} + '20 min', {t} + '20 min 4 s'),
    (6, '3', 'binance', 'ETHUSDT', 'o5', 'market', 'sell', 2, 'filled', 1, 0.3, 'USDT', {t} + '21 min', {t} + '21 min 4 s'),
    (7, '1', 'binance', 'BTCUSDT', 'o7', 'market', 'sell', 1, 'filled', 1, 0.4, 'USDT', {t} + '4 h', {t} + '4 h');
INSERT INTO monitoring.events
    (id, event_type, position_id, symbol, exchange, severity, error_message, event_data, correlation_id, created_at)
VALUES
    (1, 'position_created', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '10 min'),
    (2, 'order_placed', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '10 min 0.2 s'),
    (3, 'order_filled', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '10 min 0.5 s'),
    (4, 'stop_loss_placed', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '10 min 4 s'),
    (5, 'stop_loss_placed', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '12 min'),
    (6, 'position_updated', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'a', {t} + '13 min'),
    (7, 'position_updated', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'b', {t} + '13 min 0.3 s'),
    (8, 'position_updated', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'b', {t} + '13 min 0.4 s'),
    (9, 'position_closed', 1, 'BTCUSDT', 'binance', 'INFO', NULL, '{}', 'c', {t} + '13 min 1.4 s'),
    (10, 'stop_loss_placed', 2, 'ETHUSDT', 'Binance', 'INFO', NULL, '{}', 'd', {t} + '20 min 1 s'),
    (11, 'stop_loss_placed', 11, 'XRPUSDT', 'bybit', 'INFO', NULL, '{}', 'e', {t} + '5 min 2 s'),
    (12, 'stop_loss_triggered', 2, 'ETHUSDT', 'binance', 'WARNING', NULL, '{}', 'd', {t} + '50 min'),
    (13, 'position_error', 2548, 'APTUSDT', 'binance', 'ERROR', 'duplicate key value violates', '{}', 'f', {t} + '1 h 4.933 s'),
    (14, 'error_occurred', 2548, 'APTUSDT', 'binance', 'ERROR', NULL, '{"text": "Duplicate key value"}', 'f', {t} + '1 h 5 s'),
    (15, 'position_error', 20, 'APTUSDT', 'binance', 'ERROR', 'duplicate key value violates', '{}', 'g', {t} + '1 h 15 s'),
    (16, 'order_error', 13, 'DOTUSDT', 'bybit', 'INFO', 'Binance error -2019: Margin 17', '{}', 'h', {t} + '2 h 1 s'),
    (17, 'order_error', 13, 'DOTUSDT', 'bybit', 'INFO', 'Binance error -2019: Margin 4', '{}', 'h', {t} + '2 h 2 s'),
    (18, 'warning_raised', NULL, NULL, NULL, 'critical', 'Rate limit exceeded', '{}', NULL, {t} + '2 h 3 s'),
    (19, 'trailing_stop_activated', 4, 'BTCUSDT', 'bybit', 'INFO', NULL, '{}', 'i', {t} + '1 h 10 min'),
    (20, 'trailing_stop_sl_updated', 4, 'BTCUSDT', 'bybit', 'INFO', NULL, '{}', 'i', {t} + '1 h 11 min'),
    (21, 'trailing_stop_sl_updated', 4, 'BTCUSDT', 'bybit', 'INFO', NULL, '{}', 'i', {t} + '1 h 11 min 20 s'),
    (22, 'trailing_stop_sl_updated', 4, 'BTCUSDT', 'bybit', 'INFO', NULL, '{}', 'i', {t} + '1 h 12 min 20 s'),
    (23, 'sync_started', NULL, NULL, 'bybit', 'INFO', NULL, '{}', NULL, {t} + '3 h'),
    (24, 'sync_completed', NULL, NULL, 'bybit', 'INFO', NULL, '{}', NULL, {t} + '3 h 1.5 s'),
    (25, 'sync_started', NULL, NULL, 'bybit', 'INFO', NULL, '{}', NULL, {t} + '3 h 30 min'),
    (26, 'bot_started', NULL, NULL, NULL, 'INFO', NULL, '{}', NULL, {t} + '4 h');
INSERT INTO monitoring.trailing_stop_state
    (id, symbol, exchange, position_id, state, is_activated, highest_price, lowest_price, current_stop_price, stop_order_id,
     entry_price, side, quantity, update_count, activated_at, last_update_time)
VALUES
    (1, 'XRPUSDT', 'bybit', 10, 'active', true, 1.2, 1, 1.3, 's1', 1, 'long', 5, 4, {t}, {t}),
    (2, 'BTCUSDT', 'bybit', 4, 'active', true, 1.2, 1, 1.1, NULL, 1, 'long', 5, 3, NULL, {t} + '1 h'),
    (3, 'DOTUSDT', 'bybit', 14, 'inactive', false, 10, 9, 8, NULL, 10, 'short', 5, 0, NULL, NULL),
    (4, 'BTCUSDT', 'binance', 999, 'inactive', false, 10, 9, NULL, NULL, 10, 'long', 5, 0, NULL, NULL)
""".replace("{t} + '", "{t} + interval '").replace("{t} - '", "{t} - interval '")
WORLD = WORLD.replace("{t}", f"timestamptz '{T0.isoformat()}'")


def at(text):
    """A time of the window: hours:minutes[:seconds] after its start, with a minus before it."""
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = (*text.lstrip("-").split(":"), "0")[:3]
    return T0 + sign * timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def rows(told):
    """The rows as tuples; numbers of lengths rounded."""
    assert not told.no_source
    return [
        tuple(round(v, 4) if isinstance(v, float) else v.normalize() if isinstance(v, Decimal) else v for v in astuple(row))
        for row in told.rows
    ]  # fmt: skip


@pytest.fixture
async def db(bot_dsn):
    run_script(bot_dsn.get_secret_value(), WORLD)
    async with await Database.open(bot_dsn, read_only=True) as opened:
        yield opened


@pytest.fixture
async def told(db):
    return await analyse(db, T0, T1)


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


async def test_database_health(db, bot_dsn):
    address = bot_dsn.get_secret_value()
    lock = "LOCK TABLE monitoring.orders IN SHARE ROW EXCLUSIVE MODE"
    with psycopg.connect(address) as holder:
        holder.execute(lock)
        pid = holder.info.backend_pid
        async with await psycopg.AsyncConnection.connect(address, application_name="waits") as waiting:
            blocked = asyncio.create_task(waiting.execute(lock))
            await until_waiting(address)
            told = await analyse(db, T0, T1)
            holder.rollback()
            await blocked
    (database,) = told.database.rows
    assert database.size_bytes > 0
    assert 1 <= database.connections <= database.max_connections
    assert {(line.schema, line.name) for line in told.tables.rows} >= {
        ("monitoring", "positions"),
        ("monitoring", "events"),
    }
    assert all(line.total_bytes == line.table_bytes + line.index_bytes for line in told.tables.rows)
    indexes = {line.name: line for line in told.indexes.rows}
    assert indexes["idx_unique_active_position"].is_unique
    assert indexes["idx_unique_active_position"].valid
    assert "WHERE" in indexes["idx_unique_active_position"].definition
    (waits,) = [line for line in told.locks.rows if line.application == "waits"]
    assert (waits.blocked_by, waits.wait_event_type) == ((pid,), "Lock")


async def until_waiting(address):
    """Returns once a session of the database waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as watcher:
        while (await (await watcher.execute(query)).fetchone())[0] == 0:
            pass


async def test_slow_statements_where_the_extension_counts_them(db, bot_dsn):
    """The server of the tests does not load the library: then the part says so, and no other part fails for it."""
    with psycopg.connect(bot_dsn.get_secret_value(), autocommit=True) as connection:
        there = connection.execute(
            "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'"
        ).fetchone()
        loaded = "pg_stat_statements" in connection.execute("SHOW shared_preload_libraries").fetchone()[0]
        if there[0]:
            connection.execute("CREATE EXTENSION pg_stat_statements")
    told = await analyse(db, T0, T1)
    if loaded and there[0]:
        assert any(line.calls for line in told.statements.rows)
    elif there[0]:
        assert "shared_preload_libraries" in told.statements.no_source
    else:
        assert told.statements.no_source == "pg_stat_statements does not exist or may not be read"
    assert told.locks.no_source == ""


async def test_an_empty_database_has_every_part(bot_dsn):
    async with await Database.open(bot_dsn, read_only=True) as empty:
        told = await analyse(empty, T0, T1)
    named = {name: told.part(name) for name in PARTS}
    assert {name for name, part in named.items() if part.no_source} == {"statements"}
    filled = {name for name, part in named.items() if part.rows}
    assert filled == {"overview", "hours", "database", "tables", "indexes"}
    assert set(asdict(told.overview.first).values()) == {0, None}


async def test_a_database_without_the_bots_tables_says_so(empty_dsn):
    async with await Database.open(empty_dsn, read_only=True) as nothing:
        told = await analyse(nothing, T0, T1)
    for name, query in QUERIES.items():
        part = told.part(name)
        if query.needs:
            assert part.no_source.endswith("does not exist or may not be read")
            assert part.rows == ()
        else:
            assert part.no_source == ""


async def test_no_section_fails_for_a_column_that_is_not_there(db, bot_dsn):
    """Each needed column in turn, and all that can be spared at once: the parts concerned say so, the others tell what they told."""
    whole = await analyse(db, T0, T1)
    there = columns_of(bot_dsn)
    needed, spared = used("needs"), used("without")
    rounds = [
        {table: names[number] for table, names in needed.items() if number < len(names)}
        for number in range(max(map(len, needed.values())))
    ]
    assert {(table, name) for table, names in needed.items() for name in names} <= there
    assert len(rounds) > 10
    for gone in [{(table, name) for table, name in turn.items()} for turn in rounds] + [
        spared_of(spared, there)
    ]:
        await lacking(db, bot_dsn, whole, gone)


def used(which):
    """The columns that queries need, or can do without, by table."""
    found = {}
    for query in QUERIES.values():
        for table, names in getattr(query, which).items():
            if table != STATEMENTS:
                found.setdefault(table, set()).update(names)
    return {table: sorted(names) for table, names in found.items()}


def spared_of(spared, there):
    """The columns that can be spared by every query, where the bot has them."""
    needed = {(table, name) for table, names in used("needs").items() for name in names}
    return {(table, name) for table, names in spared.items() for name in names} & there - needed


async def lacking(db, dsn, whole, gone):
    """Takes columns away, looks at every part, and gives them back."""
    away = "".join(f"ALTER TABLE {table} RENAME {name} TO aside_{name};" for table, name in gone)
    back = "".join(f"ALTER TABLE {table} RENAME aside_{name} TO {name};" for table, name in gone)
    run_script(dsn.get_secret_value(), away)
    told = await analyse(db, T0, T1)
    run_script(dsn.get_secret_value(), back)
    for name, query in QUERIES.items():
        if name == "statements" or not query.needs:
            continue
        part = told.part(name)
        without = {column for table, column in gone if column in query.without.get(table, ())}
        lacked = [
            f"{table} has no column {column}"
            for table, column in gone
            if column in query.needs.get(table, ())
        ]
        if lacked:
            assert part.no_source in lacked, (name, gone)
            continue
        assert part.no_source == "", (name, gone)
        assert without <= set(part.absent), name
        if not without:
            assert part.rows == whole.part(name).rows, (name, gone)


def columns_of(dsn):
    """Table and column of all that the bot's schema has."""
    with psycopg.connect(dsn.get_secret_value()) as connection:
        found = connection.execute(
            "SELECT table_schema || '.' || table_name, column_name FROM information_schema.columns WHERE table_schema = 'monitoring'"
        ).fetchall()
    return set(found)


async def test_the_order_id_of_a_stop_tells_where_the_bot_keeps_it(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100);"
        "UPDATE monitoring.positions SET stop_loss_order_id = 's' || id WHERE id IN (10, 2549)",
    )
    by_the_id = {row.id for row in (await analyse(db, T0, T1)).unprotected.rows}
    assert by_the_id == {12, 14, 20, 21, 22}, "flag and price say nothing where the bot keeps the id"
    run_script(
        bot_dsn.get_secret_value(),
        "COMMENT ON COLUMN monitoring.positions.stop_loss_order_id IS 'posguard: added';"
        "UPDATE monitoring.positions SET stop_loss_order_id = NULL WHERE id = 2549",
    )
    told = (await analyse(db, T0, T1)).unprotected
    assert ({row.id for row in told.rows}, told.absent) == ({2549}, ("core_managed",))


async def test_legs_and_accounts_are_keys_of_their_own(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD account text DEFAULT 'main', ADD position_side text DEFAULT 'both';"
        "UPDATE monitoring.positions SET position_side = 'long' WHERE id = 10;"
        "UPDATE monitoring.positions SET account = 'second' WHERE id = 2549",
    )
    told = await analyse(db, T0, T1)
    assert [(row.first_id, row.second_id) for row in told.races.rows] == [(13, 14)]


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


async def test_a_part_that_takes_too_long_says_so_and_the_others_stand(bot_dsn):
    run_script(bot_dsn.get_secret_value(), WORLD)
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.orders RENAME TO slow_orders;"
        "CREATE VIEW monitoring.orders AS SELECT o.* FROM monitoring.slow_orders o, pg_sleep(5)",
    )
    async with await Database.open(bot_dsn, timeout=0.6) as hurried:
        told = await analyse(hurried, T0, T1)
    for name in ("zombies", "orders", "order_fees", "order_faults"):
        assert "statement timeout" in told.part(name).no_source
    assert rows(told.overview)
    assert rows(told.database)


PSQL = shutil.which("psql") or next(
    (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), reverse=True)), None
)


async def test_psql_runs_the_whole_script_and_tells_the_same(db, bot_dsn, tmp_path):
    if PSQL is None:
        pytest.skip("no psql on this machine")
    path = tmp_path / "analysis.sql"
    path.write_text(psql_script(T0, T1), encoding="utf-8")
    out = psql(bot_dsn, path)
    assert "ERROR:" not in out
    assert [line for line in out.splitlines() if "no source" in line] == [
        "  no source: pg_stat_statements with calls, dbid, query, rows, total_exec_time, userid"
    ]
    told = await analyse(db, T0, T1)
    for section in SECTIONS:
        assert f"\n{section.number}. {section.title}\n" in out
        for name in section.parts:
            if name not in {"database", "tables", "indexes", "statements", "locks"}:
                count = len(told.part(name).rows)
                part = out.split(f"\n  {name}\n", 1)[1]
                assert int(re.search(r"^\((\d+) rows?\)$", part, re.MULTILINE)[1]) == count, name
    assert " binance  | APTUSDT |     2548 |      2549 | 2025-10-22 15:00:00+00 |" in out
    later = psql(bot_dsn, path, "-v", "since=2025-10-22 17:00+00", "-v", "listed=1")
    assert "The window from '2025-10-22 17:00:00+00' to '2025-10-22 18:00:00+00'" in later
    run_script(bot_dsn.get_secret_value(), "DROP TABLE monitoring.trailing_stop_state")
    without = psql(bot_dsn, path)
    assert "ERROR:" not in without
    assert without.count("no source: monitoring.trailing_stop_state") == 2


def psql(dsn, path, *words):
    """What psql prints; its errors too."""
    done = subprocess.run(
        [PSQL, "-X", dsn.get_secret_value(), *words, "-f", path],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr
