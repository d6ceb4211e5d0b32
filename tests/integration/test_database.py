"""The pool: what an operator reads when the database cannot be reached, and what a connection guarantees."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest

from posguard.errors import (
    CredentialsError,
    DatabaseUnavailableError,
    SchemaError,
    SettingsError,
)
from posguard.postgres.embedded import free_port
from posguard.postgres.pool import Database
from posguard.postgres.queries import queries
from tests.conftest import run_script

pytestmark = pytest.mark.postgres
CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "dsn", [None, "", "rubbish", f"mysql://u:{CANARY}@h/d", f"postgresql://u:{CANARY}@[::1/d"]
)
async def test_an_address_that_cannot_be_read_is_a_setting_to_mend(dsn):
    with pytest.raises(SettingsError) as caught:
        await Database.open(dsn)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_nobody_listens():
    with pytest.raises(DatabaseUnavailableError, match="did not answer") as caught:
        await Database.open(f"postgresql://u:{CANARY}@127.0.0.1:{free_port()}/d")
    assert CANARY not in str(caught.value)


async def test_no_such_database(server_dsn):
    with pytest.raises(SettingsError, match="no such database"):
        await Database.open(server_dsn.rsplit("/", 1)[0] + "/nowhere")


async def test_a_refused_login(bot_dsn, server_dsn):
    run_script(server_dsn, "CREATE ROLE nologin_role")
    address = urlsplit(bot_dsn.get_secret_value())
    stranger = address._replace(netloc=f"nologin_role:{CANARY}@{address.hostname}:{address.port}")
    try:
        with pytest.raises(CredentialsError, match="login") as caught:
            await Database.open(urlunsplit(stranger))
    finally:
        run_script(server_dsn, "DROP ROLE nologin_role")
    assert CANARY not in str(caught.value)


async def test_a_missing_table_names_the_command_that_makes_it(empty_dsn):
    async with await Database.open(empty_dsn) as database:
        with pytest.raises(SchemaError, match="posguard db upgrade"):
            async with database.connection() as connection:
                await connection.fetch("SELECT * FROM posguard.runs")


async def test_read_only_means_read_only(bot_dsn):
    async with await Database.open(bot_dsn, read_only=True) as database, database.connection() as connection:
        with pytest.raises(Exception, match="read-only"):
            await connection.execute("DELETE FROM monitoring.positions")


async def test_snapshots_of_several_connections_see_one_instant(bot_dsn):
    run_script(bot_dsn.get_secret_value(), "CREATE TABLE grows (n int); INSERT INTO grows VALUES (1)")
    async with await Database.open(bot_dsn, size=3) as database, database.snapshots(2) as connections:
        run_script(bot_dsn.get_secret_value(), "INSERT INTO grows VALUES (2)")
        seen = [await one.fetchval("SELECT array_agg(n) FROM grows") for one in connections]
        servers = {await one.fetchval("SELECT pg_backend_pid()") for one in connections}
        async with database.connection() as now:
            assert await now.fetchval("SELECT array_agg(n) FROM grows") == [1, 2]
    assert seen == [[1], [1]]
    assert len(servers) == 2


async def test_snapshots_are_fewer_where_the_pool_has_no_more_or_the_instant_is_not_known(
    bot_dsn, monkeypatch
):
    async with await Database.open(bot_dsn, size=1) as database, database.snapshots(2) as connections:
        assert len(connections) == 1
    async with await Database.open(bot_dsn, size=2) as database:
        monkeypatch.setattr(
            queries("session"), "export_snapshot", lambda _: asyncio.sleep(0, "00000009-00000009-9")
        )
        async with database.snapshots(2) as connections:
            assert [await one.fetchval("SELECT 1") for one in connections] == [1]


async def test_every_connection_is_utc_read_committed_and_named(bot_dsn):
    async with (
        await Database.open(bot_dsn, application="posguard test") as database,
        database.connection() as connection,
    ):
        shown = [
            await connection.fetchval(f"SHOW {name}")
            for name in ("timezone", "default_transaction_isolation", "application_name")
        ]
    assert shown == ["UTC", "read committed", "posguard test"]


async def test_a_cancelled_transaction_leaves_nothing(bot_dsn):
    async with await Database.open(bot_dsn) as database:
        with pytest.raises(KeyError):
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE gone (id int)")
                raise KeyError
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT to_regclass('gone')") is None


async def test_a_server_that_dies_under_a_statement_is_said_plainly(bot_dsn, server_dsn):
    async with await Database.open(bot_dsn, size=1) as database:
        with pytest.raises(DatabaseUnavailableError, match="broke"):
            async with database.connection() as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                run_script(server_dsn, f"SELECT pg_terminate_backend({pid})")
                await connection.fetchval("SELECT pg_sleep(5)")
