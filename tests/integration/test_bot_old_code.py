"""The bot keeps running on its old code: before, during and after the upgrade nothing new fails between entry and stop."""

from __future__ import annotations

import asyncio
import collections
import random

import asyncpg
import pytest

from posguard.postgres import botupgrade
from tests.fixtures.bot_tables import rows

pytestmark = pytest.mark.postgres
OPENS = 1000


class OldBot:
    """The bot's statements as it sends them: a pool of asyncpg with its statement cache, every update by itself."""

    def __init__(self, pool):
        self.pool = pool
        self.failed = collections.Counter()
        self.opened = 0

    async def create(self, symbol):
        key = random.getrandbits(31)  # Python's hash of a text differs from process to process
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", key)
            there = await connection.fetchval(
                "SELECT id FROM monitoring.positions WHERE symbol = $1 AND exchange = $2 AND status = 'active'",
                symbol,
                "binance",
            )
            return there or await connection.fetchval(
                "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
                "VALUES ($1, $2, $3, $4, $5, 'active') RETURNING id",
                symbol,
                "binance",
                "long",
                61.8,
                1,
            )

    async def update(self, number, status):
        await self.pool.execute("UPDATE monitoring.positions SET status = $1 WHERE id = $2", status, number)

    async def stage(self, name, work):
        """What `work` returns, or None where the database refused, which is counted."""
        try:
            return await work
        except asyncpg.PostgresError as error:
            self.failed[name, type(error).__name__] += 1
            return None

    async def open(self, symbol, *, rival=False):
        """Row, entry, stop, active; then it is closed so that the symbol is free again. With a rival the synchroniser comes in between."""
        number = await self.stage("create", self.create(symbol))
        if number is None:
            return
        await self.stage("entry to stop", self.update(number, "entry_placed"))
        second = await self.stage("synchroniser", self.create(symbol)) if rival else None
        await self.stage("entry to stop", self.update(number, "active"))
        await self.stage(
            "reading", self.pool.fetchrow("SELECT * FROM monitoring.positions WHERE id = $1", number)
        )
        for each in {number, second} - {None}:
            await self.stage("close", self.update(each, "closed"))
        self.opened += 1


@pytest.fixture
async def old_bot(bot_dsn):
    async with asyncpg.create_pool(bot_dsn.get_secret_value(), min_size=5, max_size=10) as pool:
        yield lambda: OldBot(pool)


async def opens(bot, *, rival=False):
    gate = asyncio.Semaphore(10)

    async def one(number):
        async with gate:
            await bot.open(f"S{number}USDT", rival=rival)

    await asyncio.gather(*(one(number) for number in range(OPENS)))
    assert bot.opened == OPENS
    return bot.failed


@pytest.mark.slow
async def test_a_thousand_opens_before_and_after(bot_dsn, old_bot):
    assert await opens(old_bot()) == {}
    # with the synchroniser in between, the old index lets the second row in and fails the first one's activation
    assert await opens(old_bot(), rival=True) == {("entry to stop", "UniqueViolationError"): OPENS}
    await botupgrade.upgrade(bot_dsn)
    assert await opens(old_bot()) == {}
    # afterwards the rival is refused at its birth, before it does anything
    assert await opens(old_bot(), rival=True) == {("synchroniser", "UniqueViolationError"): OPENS}
    assert rows(bot_dsn, "SELECT count(*) FROM posguard.transitions") == [(2 * 4 * OPENS,)]


@pytest.mark.slow
async def test_opens_go_on_while_the_tables_go_up_and_down(bot_dsn, old_bot):
    bot, stop = old_bot(), asyncio.Event()

    async def live(name):
        while not stop.is_set():
            await bot.open(name)

    living = [asyncio.create_task(live(f"L{number}USDT")) for number in range(8)]
    for _ in range(3):
        await botupgrade.upgrade(bot_dsn)
        await botupgrade.downgrade(bot_dsn)
    stop.set()
    await asyncio.gather(*living)
    assert bot.failed == {}
    assert bot.opened > 100
