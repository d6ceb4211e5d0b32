"""The tools of this suite do what they say: breaks come where they are wanted, a pooler pools."""

from __future__ import annotations

import itertools
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.reliability.harness import pgbouncer
from tests.reliability.harness.proxy import Break, Point, PostgresProxy, Way, commits

pytestmark = pytest.mark.postgres


@pytest.fixture
async def proxied(empty_dsn):
    parts = urlsplit(empty_dsn.get_secret_value())
    async with PostgresProxy(parts.hostname, parts.port) as proxy:
        direct = await asyncpg.connect(empty_dsn.get_secret_value())
        await direct.execute("CREATE TABLE t (i int)")
        yield proxy, parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}").geturl(), direct
        await direct.close()


async def insert(dsn, *, in_transaction):
    link = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        if not in_transaction:
            await link.execute("INSERT INTO t VALUES ($1)", 1)
            return
        async with link.transaction():
            await link.execute("INSERT INTO t VALUES ($1)", 1)
    finally:
        link.terminate()


async def test_a_break_comes_where_it_is_wanted(proxied):
    proxy, dsn, direct = proxied
    for point, way, in_transaction in itertools.product(Point, Way, [True, False]):
        match = commits if in_transaction else lambda unit: unit.executes and "INSERT" in unit.text
        before = await direct.fetchval("SELECT count(*) FROM t")
        fault = proxy.arm(Break(point, way, match, stall=0.02))
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await insert(dsn, in_transaction=in_transaction)
        assert fault.hit is not None
        added = await direct.fetchval("SELECT count(*) FROM t") - before
        if point is Point.ANSWERED:
            assert added == 1, "the server had acknowledged"
        if point in {Point.BEFORE, Point.HALF}:
            assert added == 0, "the server had not the whole of it"
        await insert(dsn, in_transaction=in_transaction)
        assert await direct.fetchval("SELECT count(*) FROM t") >= before + added + 1


async def test_while_the_database_is_away_nobody_is_let_in(proxied):
    proxy, dsn, _ = proxied
    link = await asyncpg.connect(dsn)
    proxy.refuse()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await link.fetchval("SELECT 1")
    with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
        await asyncpg.connect(dsn)
    proxy.accept()
    again = await asyncpg.connect(dsn)
    assert await again.fetchval("SELECT 1") == 1
    await again.close()


@pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="pgbouncer is not installed")
async def test_the_pooler_is_in_transaction_mode(empty_dsn):
    with pgbouncer.pooler(empty_dsn.get_secret_value(), servers=1) as dsn:
        one, two = [await asyncpg.connect(dsn, statement_cache_size=0) for _ in range(2)]
        assert await one.fetchval("SELECT pg_backend_pid()") == await two.fetchval("SELECT pg_backend_pid()")
        await one.close()
        await two.close()
