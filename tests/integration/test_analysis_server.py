"""What the analysis tells of the server, what it does where a statement takes too long, and the same script under psql."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from posguard.model.analysis import SECTIONS
from posguard.postgres.analysis import analyse
from posguard.postgres.analysis_script import psql_script
from posguard.postgres.pool import Database
from tests.conftest import run_script
from tests.fixtures.analysed import T0, T1, WORLD, db, rows

pytestmark = pytest.mark.postgres
assert db  # a fixture


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
