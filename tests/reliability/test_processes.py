"""The bot killed and stopped: at each of its checkpoints, and anywhere. Whoever comes after puts everything in order."""

from __future__ import annotations

import pytest

from tests.reliability.conftest import LONG
from tests.reliability.harness.wave import TASKS, Plan, waves

pytestmark = pytest.mark.postgres
WIDTH = 24 if LONG else 12


@pytest.fixture
async def bots(core_dsn, seed):
    async with waves(core_dsn.get_secret_value(), WIDTH, seed) as found:
        yield found


async def every_step(bots, long):
    """A plan for each checkpoint of each task; in the short form as many as one wave holds."""
    plans = [Plan(task, at) for task in TASKS for at in range(1, len(await bots.checkpoints(task)) + 1)]
    return plans if long else bots.random.sample(plans, WIDTH)


def cut(plans):
    """Waves of plans."""
    return [plans[start : start + WIDTH] for start in range(0, len(plans), WIDTH)]


@pytest.mark.timeout(900)
async def test_killed_at_each_checkpoint(bots, long, figure):
    plans = await every_step(bots, long)
    bad, died = [], 0
    for wave in cut(plans):
        made = await bots.go(wave)
        died += sum("at" in bot.seen[-1] for bot in made)
        bad += [(wave, each) for each in await bots.recovered()]
    figure("SIGKILL of the bot at its checkpoints", died, len(bad), bots.note())
    assert not bad, "\n".join(map(str, bad))
    assert died > len(plans) // 2, "bots reached the checkpoints they were to end at"


@pytest.mark.timeout(900)
async def test_killed_anywhere(bots, long, figure):
    bad, killed = [], 0
    for _ in range(26 if long else 1):
        plans = [Plan(bots.random.choice((*TASKS, "open", "open"))) for _ in range(WIDTH)]
        made = await bots.go(plans, within=(0, 0.4))
        killed += len(made)
        bad += [(plans, each) for each in await bots.recovered()]
    figure("SIGKILL of the bot at random moments", killed, len(bad), bots.note())
    assert not bad, "\n".join(map(str, bad))


@pytest.mark.timeout(900)
async def test_stopped_at_each_checkpoint_and_woken_after_its_lease(bots, long, figure):
    plans = await every_step(bots, long)
    bad, woken = [], 0
    for wave in cut(plans):
        made = await bots.go(wave, by="SIGSTOP")
        bad += [("asleep", wave, each) for each in await bots.recovered()]
        asleep = [bot for bot in made if "at" in bot.seen[-1]]
        for bot in asleep:
            bot.wake()
        for bot in asleep:
            await bot.until("done")
            await bot.gone()
        woken += len(asleep)
        bad += [("awake", wave, each) for each in bots.scene.broken()]
    figure("SIGSTOP at its checkpoints, SIGCONT after the lease", woken, len(bad), bots.note())
    assert not bad, "\n".join(map(str, bad))
    assert woken > len(plans) // 2
