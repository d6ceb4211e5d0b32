"""The bot's open rows as they are read: every column set, rubbish, scopes, digests, symbols."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posguard.errors import SchemaError
from posguard.model.position import TERMINAL, PositionSide, Side, Status
from posguard.model.scope import Scope
from posguard.model.symbol import canonical_symbol
from posguard.postgres.pool import Database
from posguard.postgres.positions import read_open_positions
from posguard.postgres.queries import queries
from tests.conftest import run_script
from tests.fixtures.stores import AT, db

assert db  # a fixture


pytestmark = pytest.mark.postgres


# Open rows


async def insert(db, **columns):
    columns = {"symbol": "APTUSDT", "exchange": "binance", "side": "long", "quantity": Decimal("61.8"),
               "entry_price": Decimal("3.1"), "status": "active"} | columns  # fmt: skip
    names = ", ".join(columns)
    marks = ", ".join(f"${n + 1}" for n in range(len(columns)))
    async with db.connection() as connection:
        return await connection.fetchval(
            f"INSERT INTO monitoring.positions ({names}) VALUES ({marks}) RETURNING id", *columns.values()
        )


async def read(db, accounts=(), scope=None):
    async with db.snapshot() as connection:
        return await read_open_positions(connection, dict(accounts), scope or Scope())


async def test_open_rows_are_all_but_the_four_terminal_statuses(db):
    statuses = ["pending_entry", "entry_placed", "pending_sl", "active", "weird", "", None, "Closed"]
    wanted = [await insert(db, symbol=f"S{n}USDT", status=s) for n, s in enumerate(statuses)]
    for status in ("closed", "failed", "rolled_back", "canceled"):
        await insert(db, status=status)
    assert [(r.id, r.status) for r in await read(db)] == list(zip(wanted, statuses, strict=True))


ODD = ("", "a", "Closed", "CLOSED", "clos", "closed ", "closee", "canceled_", "cancelled", "failed2", "rolled back", "rolled_back_",
       "zombie", "äctive", "0", "exiting", "~")  # fmt: skip


async def test_a_status_nobody_knows_is_open_wherever_it_sorts(db):
    statuses = (None, *ODD, *(one.value for one in Status))
    rows = {await insert(db, symbol=f"S{n}USDT", status=s): s for n, s in enumerate(statuses)}
    wanted = {row_id for row_id, status in rows.items() if status not in set(TERMINAL)}
    assert {row.id for row in await read(db)} == wanted
    async with db.connection() as connection:
        (found,) = [record async for record in queries("facts").open_by_exchange(connection)]
        of_one = queries("cleanup").open_rows_of
        markets = [
            [r async for r in of_one(connection, exchange="BINANCE", symbol=f"S{n}/USDT")]
            for n in range(len(statuses))
        ]
    assert found["open_rows"] == len(wanted)
    assert [bool(market) for market in markets] == [status not in set(TERMINAL) for status in statuses]


async def test_open_rows_are_found_by_the_index_over_status(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
        " SELECT 'S' || n, 'binance', 'long', 1, 1, CASE WHEN n % 1000 = 0 THEN 'active' ELSE 'closed' END"
        " FROM generate_series(1, 20000) AS n; ANALYZE monitoring.positions;",
    )
    asked = (
        (queries("positions").open_positions, {"exchange": "", "symbol": ""}),
        (queries("facts").open_by_exchange, {}),
        (queries("cleanup").open_rows_of, {"exchange": "binance", "symbol": "S1000"}),
    )
    async with db.connection() as connection:
        for query, values in asked:
            plan = [r[0] async for r in query(Explaining(connection), **values)]
            assert not any("Seq Scan on positions" in line for line in plan), plan
            assert any("idx_positions_status" in line for line in plan), plan


class Explaining:
    """A connection that answers each query with its plan."""

    def __init__(self, connection):
        self.connection = connection

    async def fetch(self, text, *values):
        return await self.connection.fetch("EXPLAIN " + text, *values)


async def test_a_row_of_the_newer_column_set(db):
    when = AT - timedelta(hours=1)
    row_id = await insert(db, symbol="APT/USDT:USDT", exchange="Binance ", side="BUY", opened_at=when,
                          created_at=AT, has_stop_loss=True, stop_loss_price=Decimal("2.91"))  # fmt: skip
    (row,) = await read(db, {"binance": "second"})
    assert (row.id, row.exchange, row.account, row.symbol) == (row_id, "binance", "second", "APTUSDT")
    assert (row.raw_side, row.side, row.position_side) == ("BUY", Side.LONG, PositionSide.BOTH)
    assert (row.quantity, row.entry_price, row.stop_loss_price) == (
        Decimal("61.8"),
        Decimal("3.1"),
        Decimal("2.91"),
    )
    assert (row.opened_at, row.created_at, row.since) == (when, AT, when)
    assert not row.records_stop_order
    assert row.records_stop


async def test_the_columns_of_older_deployments_and_of_the_upgrade_are_read_where_they_are(db, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD stop_loss_order_id varchar(100), DROP has_stop_loss, DROP opened_at,"
        " ADD account text NOT NULL DEFAULT 'sub', ADD position_side text NOT NULL DEFAULT 'both'",
    )
    await insert(db, stop_loss_order_id="77", position_side="short", side="sell")
    (row,) = await read(db, {"binance": "main"})
    assert (row.account, row.position_side, row.side) == ("sub", PositionSide.SHORT, Side.SHORT)
    assert (row.stop_loss_order_id, row.records_stop_order, row.records_stop) == ("77", True, True)
    assert row.has_stop_loss is None
    assert row.opened_at is None


async def test_rubbish_in_a_row_is_none_and_never_zero(db):
    await insert(db, quantity=Decimal("NaN"), side="sideways")
    (row,) = await read(db)
    assert row.quantity is None
    assert row.side is None


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ("status = 'pending_sl'", True),
        ("side = 'short'", True),
        ("quantity = 61", True),
        ("entry_price = 3", True),
        ("exchange_order_id = '1'", True),
        ("stop_loss_price = 2", True),
        ("has_stop_loss = true", True),
        ("symbol = 'APT/USDT'", True),
        (
            "current_price = 9, unrealized_pnl = 1, pnl_percentage = 2, updated_at = now() + interval '1 h'",
            False,
        ),
        ("trailing_activated = true, error_details = '{}', retry_count = 3", False),
    ],
)
async def test_the_digest_moves_with_decision_columns_alone(db, bot_dsn, change, moves):
    await insert(db)
    (before,) = await read(db)
    run_script(bot_dsn.get_secret_value(), f"UPDATE monitoring.positions SET {change}")
    (after,) = await read(db)
    assert (before.digest != after.digest) is moves


async def test_a_scope_reads_its_own_rows_alone(db):
    ids = [await insert(db, symbol=s, exchange=e) for s, e in
           (("APTUSDT", "binance"), ("apt/usdt", "bybit"), ("KASUSDT", "bybit"))]  # fmt: skip
    assert [r.id for r in await read(db, scope=Scope(exchange="Bybit"))] == ids[1:]
    assert [r.id for r in await read(db, scope=Scope(symbol="APT/USDT:USDT"))] == ids[:2]
    assert [r.id for r in await read(db, scope=Scope("bybit", "APTUSDT"))] == [ids[1]]


async def test_a_database_without_the_table_says_so(empty_dsn):
    async with await Database.open(empty_dsn) as opened:
        with pytest.raises(SchemaError, match=r"monitoring\.positions"):
            await read(opened)


async def test_the_canonical_symbol_in_sql_is_the_one_in_python(db):
    async with db.connection() as connection:
        text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
        market = st.from_regex(r"\A[ ]?[A-Za-z0-9]{1,8}[/_\- \t]?(usdt|USDC)(:USDT)?\n?\Z")
        loop = asyncio.get_running_loop()
        samples = []

        @settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(text | market)
        def collect(raw):
            samples.append(raw)

        await loop.run_in_executor(None, collect)
        samples += [
            "BTC/USDT:USDT",
            "1000SHIBUSDT",
            "币安人生USDT",
            "straßeUSDT",
            "ıi/usdt",
            "",
            ":",
            "\x0b\f",
        ]
        for raw in samples:
            assert await queries("positions").canonical(connection, raw=raw) == canonical_symbol(raw), repr(
                raw
            )
