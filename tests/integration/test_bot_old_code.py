"""The bot keeps running on its old code: before, during and after the upgrade nothing new fails between entry and stop."""

from __future__ import annotations

import asyncio
import collections
from decimal import Decimal

import asyncpg
import pytest

from posguard.postgres import botupgrade
from posguard.race.books import add_markets, clear
from posguard.race.defective import DefectiveCore, DefectiveSettings
from posguard.race.signal import Ended, Signal
from posguard.race.venue import InProcessVenue
from posguard.simulator import Simulator
from tests.fixtures.bot_tables import rows

pytestmark = pytest.mark.postgres
OPENS = 1000


class OldBot:
    """The bot's old core on its own statements: a pool of asyncpg with its statement cache, every update by itself."""

    def __init__(self, pool):
        self.pool = pool
        self.book = Simulator().book
        self.failed = collections.Counter()
        self.opened = 0

    async def stage(self, name, work):
        """Does `work`; where the database refuses, that is counted."""
        try:
            await work
        except asyncpg.PostgresError as error:
            self.failed[name, type(error).__name__] += 1

    async def open(self, symbol, *, rival=False):
        """Row, entry, stop, active; then all is closed so that the symbol is free again. With a rival the synchroniser comes in between."""
        add_markets(self.book, "binance", [symbol])
        venue = InProcessVenue(self.book)

        async def settlement(_seconds):
            if rival:
                held = [p for p in (await venue.snapshot()).positions if p.symbol == symbol]
                await self.stage("synchroniser", core._adopt(held[0]))

        core = DefectiveCore(self.pool, venue, DefectiveSettings(sleep=settlement))
        opened = await core.open(Signal(symbol, symbol, Decimal("61.8"), Decimal(1), Decimal("0.9")))
        if opened.error:
            self.failed["create" if opened.ended is Ended.FAILED else "entry to stop", opened.error] += 1
        await self.stage(
            "reading", self.pool.fetch("SELECT * FROM monitoring.positions WHERE symbol = $1", symbol)
        )
        ids = await self.pool.fetch(
            "SELECT id FROM monitoring.positions WHERE symbol = $1 AND status = 'active'", symbol
        )
        for row in ids:
            await self.stage("close", core._run("end", id=row["id"], status="closed", reason="test"))
        clear(self.book, "binance", [symbol])
        del self.book.markets["binance", symbol]
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
    rounds = 0
    while rounds < 3 or bot.opened < 100:
        rounds += 1
        await botupgrade.upgrade(bot_dsn)
        await botupgrade.downgrade(bot_dsn)
    stop.set()
    await asyncio.gather(*living)
    assert bot.failed == {}
