"""Cancellation, lost connections and the kill switch at every step: the row is durable, and what is owed is done."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import pytest_asyncio

from posguard.errors import DatabaseUnavailableError
from posguard.model.venue import VenueId
from posguard.race.venue import InProcessVenue
from posguard.trading import Result, TradingCore, before_send
from tests.fixtures.cancelling import cancelled_at
from tests.fixtures.core import desk_of, quick
from tests.integration.test_core_recovery import STEPS, assert_sound

pytestmark = pytest.mark.postgres
ONE = Decimal("0.01")


@pytest_asyncio.fixture
async def desk(sim, core_dsn):
    async with desk_of("binance", sim, core_dsn) as found:
        yield found


def inside(desk):
    """A core on a venue inside the process: the same book, no HTTP, so that every await is few."""
    venue = InProcessVenue(
        desk.sim.book, VenueId("binance"), latency=lambda: asyncio.sleep(0), before_send=before_send
    )
    core = TradingCore(desk.database, [venue], quick())
    core._shielded = lambda work: work  # the inner task itself is what is cancelled
    return core


async def _cancelled(desk, work, turn):
    """Whether the work was cancelled before it ended."""
    seen = [0]

    async def run():
        return await cancelled_at(work, turn, seen)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        assert seen[0] < turn, "a cancellation was swallowed"
        return False
    return True


async def test_an_open_is_cancelled_at_every_await(desk):
    turn = 0
    while True:
        turn += 1
        core = inside(desk)
        if not await _cancelled(desk, core.open(desk.request()), turn):
            break
        desk.later()
        await core.recover()
        await core.synchronise()
        assert_sound(desk) if turn < 2 else _sound(desk)
        for row in desk.rows("SELECT id FROM monitoring.positions WHERE status = 'active'"):
            assert (await core.close(row["id"], "next")).result is Result.CLOSED
    assert turn > 25, turn


def _sound(desk):
    rows = [r for r in desk.rows() if r["status"] not in {"closed", "failed", "rolled_back", "canceled"}]
    held = desk.held()
    assert [(r["status"], r["quantity"]) for r in rows] == ([("active", abs(held))] if held else [])
    assert sum(o.qty for o in desk.live()) == abs(held)


async def test_a_close_is_cancelled_at_every_await(desk):
    turn = 0
    while True:
        turn += 1
        core = inside(desk)
        opened = await core.open(desk.request())
        assert opened.result is Result.ACTIVE, opened
        if not await _cancelled(desk, core.close(opened.position_id, "cancelled"), turn):
            break
        desk.later()
        await core.recover()
        await core.synchronise()
        _sound(desk)
        for row in desk.rows("SELECT id FROM monitoring.positions WHERE status = 'active'"):
            assert (await core.close(row["id"], "next")).result is Result.CLOSED
    assert turn > 15, turn


async def test_a_caller_that_gives_up_gets_its_position_protected_all_the_same(desk):
    reached, goes_on = asyncio.Event(), asyncio.Event()

    async def checkpoint(name):
        if name == "after send entry":
            reached.set()
            await goes_on.wait()

    core = desk.another(checkpoint=checkpoint)
    task = asyncio.create_task(core.open(desk.request()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    goes_on.set()
    await core.finish()
    assert_sound(desk)
    assert desk.held() == ONE


class Breaking:
    """A database whose nth statement of the core loses its connection, before it is run or after."""

    def __init__(self, database, turn, when):
        self.database, self.turn, self.when, self.count = database, turn, when, 0

    async def _hit(self, when):
        if when == "before":
            self.count += 1
        if self.count == self.turn and when == self.when:
            raise DatabaseUnavailableError("The database connection broke. ")

    @asynccontextmanager
    async def connection(self):
        await self._hit("before")
        async with self.database.connection() as connection:
            yield connection
        await self._hit("after")

    @asynccontextmanager
    async def transaction(self):
        await self._hit("before")
        async with self.database.transaction() as connection:
            yield connection
        await self._hit("after")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_is_lost_at_every_statement(desk, when):
    turn = 0
    while True:
        turn += 1
        database = Breaking(desk.database, turn, when)
        core = inside(desk)
        core._ports = type(core._ports)(
            database, core._ports.gateways, core._ports.settings, core._ports.owner, switch=core._ports.switch
        )
        request = desk.request()
        result = await core.open(request)
        if database.count < turn:
            break
        if turn == 1 and when == "after":
            assert result.result is Result.ACTIVE, "the row was made; only its acknowledgement was lost"
        if result.result is not Result.ACTIVE:
            desk.later()
            await inside(desk).recover()
            result = await inside(desk).open(request)
        mine = desk.rows(
            "SELECT status FROM monitoring.positions WHERE request_key = %s", request.request_key
        )
        assert len(mine) == 1
        _sound(desk)
        assert len([o for o in desk.sent("e") if o.filled]) <= turn
        for row in desk.rows("SELECT id FROM monitoring.positions WHERE status = 'active'"):
            assert (await inside(desk).close(row["id"], "next")).result is Result.CLOSED
    assert turn >= 5, turn


@pytest.mark.parametrize("step", [step for step in STEPS if step.startswith("before")])
async def test_the_kill_switch_is_engaged_at_a_step(desk, step):
    """By another process: nothing more is sent, and what stands without a stop is told and protected after resume."""
    hit = []

    async def engage(name):
        if name == step and not hit:
            hit.append(name)
            await desk.core.stop_all("now")

    opened = await desk.another(checkpoint=engage).open(desk.request())
    sent = len(desk.orders())
    if desk.held() and not desk.live():
        assert opened.needs_attention, opened
        assert desk.outbox() == ["needs_attention"]
        await desk.core.recover()
        assert len(desk.orders()) == sent, "nothing is sent while it is engaged"
    await desk.core.resume()
    await desk.core.recover()
    assert_sound(desk)
