"""The bot's old core under the same faults, judged by the same judge: every suite that claims to catch it does."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from posguard.race.judge import Breach
from posguard.race.venue import InProcessVenue
from posguard.simulator import faults
from tests.reliability.harness.old import old_core, signal_of
from tests.reliability.harness.scene import Scene
from tests.reliability.harness.wave import Plan, waves
from tests.reliability.test_cancellation import traveller

pytestmark = pytest.mark.postgres
WIDTH = 16


def ungated(scene):
    """The old core asks for no permit."""
    return InProcessVenue(scene.simulator.book, latency=traveller)


async def restarted(scene):
    """What the old core does when the bot starts again; then the verdict."""
    async with asyncpg.create_pool(scene.dsn, min_size=1, max_size=4) as pool:
        core = old_core(pool, ungated(scene))
        await core.recover()
        await core.synchronise()
    return scene.broken()


class Abreast(InProcessVenue):
    """A venue at which the two entries of a symbol arrive together: each row is still active as it was born."""

    def __init__(self, *arguments, symbols, **named):
        super().__init__(*arguments, **named)
        self._both = {symbol: asyncio.Barrier(2) for symbol in symbols}

    async def place_entry(self, symbol, *arguments, **named):
        await self._both[symbol].wait()
        return await super().place_entry(symbol, *arguments, **named)


async def test_two_signals(core_dsn, figure):
    scene = Scene.of(core_dsn.get_secret_value(), WIDTH)
    async with asyncpg.create_pool(scene.dsn, min_size=1, max_size=8) as pool:
        core = old_core(pool, Abreast(scene.simulator.book, symbols=scene.symbols))
        await asyncio.gather(*(core.open(signal_of(s)) for s in scene.symbols for _ in range(2)))
    bad = await restarted(scene)
    caught = [text for text in bad if Breach.DOUBLE_ORDER in text]
    figure("the old core: two signals of one key", WIDTH, WIDTH - len(caught), f"caught {len(caught)} times")
    assert len(caught) == WIDTH, bad


class Cancelling(InProcessVenue):
    """A venue whose caller is cancelled at the await of the answer to its entry."""

    async def place_entry(self, *arguments, **named):
        await super().place_entry(*arguments, **named)
        asyncio.current_task().cancel()
        await asyncio.sleep(0)


async def test_cancelled_at_the_await_of_its_entrys_answer(core_dsn, figure):
    """It has no line for that: the row stays active as it was born, nobody places the stop, and no start looks for one."""
    scene = Scene.of(core_dsn.get_secret_value(), WIDTH)
    async with asyncpg.create_pool(scene.dsn, min_size=1, max_size=4) as pool:
        core = old_core(pool, Cancelling(scene.simulator.book, latency=traveller))
        opens = [core.open(signal_of(symbol)) for symbol in scene.symbols]
        done = await asyncio.gather(*opens, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done), done
    bad = await restarted(scene)
    caught = [text for text in bad if Breach.NAKED in text]
    figure("the old core: cancelled", len(done), len(done) - len(caught), f"caught {len(caught)} times")
    assert len(caught) == WIDTH, bad


async def test_killed_while_the_entry_is_answered(core_dsn, seed, figure):
    """Its row is born active, and at its next start nobody looks whether an active row has a stop."""
    async with waves(core_dsn.get_secret_value(), WIDTH // 2, seed) as bots:
        slow = {"venue": "binance", "path": "/fapi/v1/order", "method": "POST", "kind": "latency"}
        bots.scene.simulator.plan.add(faults.read({**slow, "when": "after", "seconds": 2.0, "count": None}))
        made = await bots.go([Plan("open")] * (WIDTH // 2), within=(0.3, 0.9), core="defective")
        bad = await restarted(bots.scene)
    caught = [text for text in bad if Breach.NAKED in text]
    figure("the old core: SIGKILL", len(made), 0, f"caught {len(caught)} times")
    assert caught
