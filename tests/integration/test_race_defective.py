"""The defective core does what the bot's did: each point of its docstring shows on a real database."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import asyncpg
import pytest

from posguard.race.defective import DefectiveCore, DefectiveSettings
from posguard.race.signal import Ended, Signal
from posguard.race.venue import InProcessVenue
from posguard.simulator import Simulator
from tests.fixtures.bot_tables import rows

pytestmark = pytest.mark.postgres
SIGNAL = Signal("k1", "TESTUSDT", Decimal("61.8"), Decimal(1), Decimal("0.95"))


class Moment:
    """A sleep that ends when the test says so, and tells when it began."""

    def __init__(self):
        self.began, self.over = asyncio.Event(), asyncio.Event()

    async def sleep(self, _seconds):
        self.began.set()
        await self.over.wait()


@pytest.fixture
async def pool(bot_dsn):
    async with asyncpg.create_pool(bot_dsn.get_secret_value(), min_size=2, max_size=4) as pool:
        yield pool


@pytest.fixture
def book():
    return Simulator(seed=1).book


def statuses(dsn):
    return rows(
        dsn, "SELECT status, quantity, exchange_order_id IS NULL FROM monitoring.positions ORDER BY id"
    )


def held(book):
    return book.leg(book.account("binance"), "TESTUSDT", "both").amount


async def test_alone_it_opens(pool, book, bot_dsn):
    moment = Moment()
    moment.over.set()
    core = DefectiveCore(pool, InProcessVenue(book), DefectiveSettings(sleep=moment.sleep))
    opened = await core.open(SIGNAL)
    assert opened.ended is Ended.ACTIVE
    assert statuses(bot_dsn) == [("active", SIGNAL.quantity, False)]
    assert held(book) == SIGNAL.quantity
    assert len(book.account("binance").open_orders) == 1


async def test_incident_1_signal_against_synchroniser(pool, book, bot_dsn):
    moment, venue = Moment(), InProcessVenue(book)
    core = DefectiveCore(pool, venue, DefectiveSettings(sleep=moment.sleep))
    opening = asyncio.create_task(core.open(SIGNAL))
    await moment.began.wait()
    assert len(await core.synchronise()) == 1
    moment.over.set()
    opened = await opening
    assert opened.unique_violation
    assert opened.ended is Ended.ROLLED_BACK
    # the synchroniser's row has no order id and stays active over a position that the rollback closed
    assert statuses(bot_dsn) == [("rolled_back", SIGNAL.quantity, False), ("active", SIGNAL.quantity, True)]
    assert held(book) == 0


async def test_a_second_signal_places_a_second_order(pool, book, bot_dsn):
    first, second = Moment(), Moment()
    second.over.set()
    venue = InProcessVenue(book)
    opening = asyncio.create_task(
        DefectiveCore(pool, venue, DefectiveSettings(sleep=first.sleep)).open(SIGNAL)
    )
    await first.began.wait()
    assert (
        await DefectiveCore(pool, venue, DefectiveSettings(sleep=second.sleep)).open(SIGNAL)
    ).ended is Ended.ACTIVE
    assert held(book) == 2 * SIGNAL.quantity
    first.over.set()
    assert (await opening).unique_violation
    assert held(book) == 0


async def test_an_active_row_is_taken_for_ones_own(pool, book, bot_dsn):
    moment = Moment()
    moment.over.set()
    core = DefectiveCore(pool, InProcessVenue(book), DefectiveSettings(sleep=moment.sleep))
    first, second = await core.open(SIGNAL), await core.open(SIGNAL)
    assert first.row_id == second.row_id
    assert held(book) == 2 * SIGNAL.quantity


async def test_a_blind_rollback_leaves_a_position_without_a_stop(pool, book, bot_dsn):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    venue = InProcessVenue(book)
    venue.slumps["TESTUSDT"] = Decimal("0.9")
    core = DefectiveCore(pool, venue, DefectiveSettings(sleep=sleep, unseen_share=1.0))
    assert (await core.open(SIGNAL)).ended is Ended.ROLLED_BACK
    assert waits == [3.0] + [1.0] * 20
    assert statuses(bot_dsn)[0][0] == "rolled_back"
    assert held(book) == SIGNAL.quantity
    assert not book.account("binance").open_orders


@pytest.mark.parametrize(
    ("status", "becomes"), [("pending_entry", "failed"), ("entry_placed", "active"), ("pending_sl", "active")]
)
async def test_recovery_at_start(pool, book, bot_dsn, status, becomes):
    venue = InProcessVenue(book)
    await venue.place_entry("TESTUSDT", SIGNAL.side, SIGNAL.quantity, client_order_id="before")
    await pool.execute(
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
        "VALUES ('TESTUSDT', 'binance', 'long', 61.8, 1, $1)",
        status,
    )
    await DefectiveCore(pool, venue).recover()
    assert statuses(bot_dsn)[0][0] == becomes
    assert len(book.account("binance").open_orders) == (becomes == "active")
