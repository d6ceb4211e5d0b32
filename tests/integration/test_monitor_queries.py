"""The monitor's queries on a filled table go by index, and its role can do no harm to the bot's tables."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from posguard.demo.playing import PlayedClock
from posguard.model.metrics import METRICS, Measure, Window
from posguard.model.position import TERMINAL, Status
from posguard.monitor.watch import Monitor
from posguard.postgres import botupgrade, monitor
from posguard.postgres.pool import Database
from posguard.postgres.queries import queries
from posguard.postgres.roles import roles_sql
from tests.conftest import run_script
from tests.fixtures.monitor import LIMITS, Noted, plan

pytestmark = pytest.mark.postgres

NOW = datetime(2025, 10, 22, 22, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=3)
ROWS = f"""
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, has_stop_loss, stop_loss_price, created_at, opened_at, closed_at)
SELECT 'S' || n, 'binance', 'long', 1, 1, CASE WHEN n % 1000 = 0 THEN 'active' ELSE 'closed' END, true, 1,
    at, at, CASE WHEN n % 1000 = 0 THEN NULL ELSE at + interval '2 minutes' END
FROM (SELECT n, timestamptz '{NOW.isoformat()}' - (20000 - n) * interval '20 seconds' AS at FROM generate_series(1, 20000) AS n) AS made;
INSERT INTO monitoring.events (event_type, position_id, exchange, created_at)
SELECT k.kind, p.id, p.exchange, p.created_at + k.after
FROM monitoring.positions AS p
CROSS JOIN LATERAL (VALUES ('order_filled', interval '1 second'), ('stop_loss_placed', interval '2 seconds'), ('position_closed', interval '2 minutes')) AS k (kind, after)
ORDER BY p.id, k.after;
ANALYZE;
"""


@pytest.fixture
async def filled(bot_dsn):
    run_script(bot_dsn.get_secret_value(), ROWS)
    await botupgrade.upgrade(bot_dsn)
    async with await Database.open(bot_dsn) as opened:
        yield opened


SERIAL = ("events", "positions")


class Explained:
    """A connection that explains each statement before it is run."""

    def __init__(self, connection):
        self.connection, self.plans = connection, {}

    async def _explain(self, text, values):
        name = next(
            name
            for name in dir(queries("monitor"))
            if getattr(getattr(queries("monitor"), name), "sql", "") == text
        )
        lines = await self.connection.fetch("EXPLAIN " + text, *values)
        self.plans[name] = "\n".join(line[0] for line in lines)

    async def fetchrow(self, text, *values):
        await self._explain(text, values)
        return await self.connection.fetchrow(text, *values)

    async def fetch(self, text, *values):
        await self._explain(text, values)
        return await self.connection.fetch(text, *values)


async def settled(db):
    """The counters of all time once what is there has been counted, which a transaction in any database may hold up."""
    counters = {}
    while True:
        async with db.snapshot() as connection:
            newest = {
                part: await connection.fetchval(f"SELECT max(id) FROM monitoring.{part}") for part in SERIAL
            }
            counters = (await monitor.look(connection, NOW, LIMITS, monitor.Sources(), counters)).counters
        if newest == {part: counters[part].settled for part in SERIAL}:
            return counters


async def test_every_query_of_a_snapshot_goes_by_index(filled):
    counters = await settled(filled)
    async with filled.snapshot() as connection:
        explained = Explained(connection)
        seen = await monitor.look(explained, NOW, LIMITS, monitor.Sources(), counters)
    assert seen.readings[Window.NOW][Measure.POSITIONS_ACTIVE].number == 20
    assert {
        "open_rows",
        "opened",
        "ended",
        "happened",
        "latencies",
        "events_behind",
        "closings_behind",
    } <= set(explained.plans)
    for name, text in explained.plans.items():
        assert not re.search(r"Seq Scan on (positions|events)", text), (name, text)
    async with filled.snapshot() as connection:
        assert await monitor.missing_indexes(connection) == ()


UNKNOWN = (
    None,
    "",
    "cancelled",
    "Closed",
    "CLOSED",
    "clos",
    "closed ",
    "closee",
    "rolled back",
    "a",
    "failed2",
)
STATUSES = (*(one.value for one in Status), *UNKNOWN, "zombie", "rolled_back_", "äctive", "exiting", "0")


async def test_open_is_every_status_but_the_four(bot_dsn):
    """Each status on an exchange of its own, so that the reading says which of them count."""
    async with await Database.open(bot_dsn) as db, db.transaction() as connection:
        await connection.executemany(
            "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
            "VALUES ('X', $1, 'long', 1, 1, $2)",
            [(f"e{number}", status) for number, status in enumerate(STATUSES)],
        )
        seen = await monitor.look(connection, NOW, LIMITS, monitor.Sources(), {})
    found = seen.readings[Window.NOW][Measure.POSITIONS_ACTIVE].by_exchange
    assert set(found) == {f"e{n}" for n, status in enumerate(STATUSES) if status not in set(TERMINAL)}


async def test_missing_indexes_are_named_as_target_bot_builds_them(bot_dsn, tmp_path):
    async with await Database.open(bot_dsn) as db:
        noted = Noted()
        await Monitor(db, plan(tmp_path, minutes=1), PlayedClock(NOW), noted).run(asyncio.Event())
        assert noted.slow == (
            "posguard_positions_by_creation",
            "posguard_positions_by_closing",
        )
        await botupgrade.upgrade(bot_dsn)
        async with db.snapshot() as connection:
            assert await monitor.missing_indexes(connection) == ()
        await botupgrade.downgrade(bot_dsn)
        async with db.snapshot() as connection:
            assert await monitor.missing_indexes(connection) == noted.slow


async def test_the_monitors_role_is_enough_and_cannot_write_the_bots_tables(bot_dsn, server_dsn, tmp_path):
    prefix = f"r{uuid.uuid4().hex[:8]}"
    run_script(bot_dsn.get_secret_value(), roles_sql("migration", "monitor", prefix=prefix))
    run_script(server_dsn, f"ALTER ROLE {prefix}_monitor PASSWORD 'pw'")
    address = re.sub(r"//[^@/]*@", f"//{prefix}_monitor:pw@", bot_dsn.get_secret_value())
    run_script(
        bot_dsn.get_secret_value(),
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, opened_at) "
        f"VALUES ('XUSDT', 'binance', 'long', 1, 1, 'active', '{(NOW - timedelta(hours=1)).isoformat()}')",
    )
    try:
        async with await Database.open(SecretStr(address)) as db:
            report = await Monitor(db, plan(tmp_path, minutes=2), PlayedClock(NOW), Noted()).run(
                asyncio.Event()
            )
            assert report["snapshots_taken"] == 2
            assert report["critical_alerts"] == 1
            for table in ("positions", "orders", "events", "trailing_stop_state"):
                for statement in (
                    f"DELETE FROM monitoring.{table}",
                    f"UPDATE monitoring.{table} SET symbol = 'x'",
                    f"INSERT INTO monitoring.{table} DEFAULT VALUES",
                    f"TRUNCATE monitoring.{table}",
                ):
                    with pytest.raises(Exception, match="may not do this"):
                        async with db.transaction() as connection:
                            await connection.execute(statement)
            for statement in ("DELETE FROM posguard.findings", "UPDATE posguard.runs SET outcome = 'clean'"):
                with pytest.raises(Exception, match="may not do this"):
                    async with db.transaction() as connection:
                        await connection.execute(statement)
    finally:
        names = f"{prefix}_monitor, {prefix}_migration"
        run_script(
            bot_dsn.get_secret_value(), f"REASSIGN OWNED BY {names} TO CURRENT_USER; DROP OWNED BY {names}"
        )
        run_script(server_dsn, f"DROP ROLE {names}")


def test_the_document_names_every_metric_and_alert():
    from pathlib import Path

    from posguard.model.monitor_alerts import AlertKind

    text = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for metric in METRICS:
        assert all(word in text for word in metric.title.split()), metric.id
    for kind in AlertKind:
        assert f"`{kind.value}`" in text
