"""The bot's old core under the same faults, judged by the same judge: every suite that claims to catch it does."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from posguard.race.venue import InProcessVenue
from posguard.simulator import faults
from tests.reliability.harness.old import old_core, signal_of
from tests.reliability.harness.scene import Scene
from tests.reliability.harness.wave import Plan, waves
from tests.reliability.test_cancellation import run, traveller

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


async def test_two_signals(core_dsn, figure):
    scene = Scene.of(core_dsn.get_secret_value(), WIDTH)
    async with asyncpg.create_pool(scene.dsn, min_size=1, max_size=8) as pool:
        core = old_core(pool, ungated(scene))
        await asyncio.gather(*(core.open(signal_of(s)) for s in scene.symbols for _ in range(2)))
    bad = await restarted(scene)
    figure("the old core: two signals of one key", WIDTH, 0, f"caught {len(bad)} times")
    assert bad


async def test_cancelled_at_every_await(core_dsn, figure):
    scene = Scene.of(core_dsn.get_secret_value(), 30)
    async with asyncpg.create_pool(scene.dsn, min_size=1, max_size=4) as pool:
        core = old_core(pool, ungated(scene))
        turns = enumerate(scene.symbols, start=1)
        done = await asyncio.gather(*(run(core.open(signal_of(symbol)), turn) for turn, symbol in turns))
    bad = await restarted(scene)
    figure("the old core: cancelled", sum(one[1] for one in done), 0, f"caught {len(bad)} times")
    assert bad


async def test_killed_while_the_entry_is_answered(core_dsn, seed, figure):
    """Its row is born active, and at its next start nobody looks whether an active row has a stop."""
    async with waves(core_dsn.get_secret_value(), WIDTH // 2, seed) as bots:
        slow = {"venue": "binance", "path": "/fapi/v1/order", "method": "POST", "kind": "latency"}
        bots.scene.simulator.plan.add(faults.read({**slow, "when": "after", "seconds": 2.0, "count": None}))
        made = await bots.go([Plan("open")] * (WIDTH // 2), within=(0.3, 0.9), core="defective")
        bad = await restarted(bots.scene)
    figure("the old core: SIGKILL", len(made), 0, f"caught {len(bad)} times")
    assert bad
