"""A task that is cancelled at any of its awaits, in every call of the core: `except Exception` does not see it."""

from __future__ import annotations

import asyncio

import pytest

from posguard.trading.synchroniser import synchronise_venue
from tests.fixtures.cancelling import cancelled_at
from tests.reliability.conftest import some
from tests.reliability.harness.wave import TASKS, stage, work_of

pytestmark = pytest.mark.postgres
WIDTH = 240


async def run(work, turn=None):
    """How often the work was suspended, and whether its cancellation came through."""
    seen = [0]

    async def inner():
        return await cancelled_at(work, turn, seen)

    task = asyncio.create_task(inner())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return seen[0], task.cancelled()


def unshielded(core):
    """A core whose inner task is what is cancelled, as at the end of asyncio.run."""
    core._shielded = lambda work: work
    return core


def inmost(core, task, symbol, number):
    """A task's work without the tasks that it is spread over: recovery's of one row, the synchroniser's of one venue."""
    if task == "recover":
        return core._recover_one(number)
    if task == "synchronise":
        return synchronise_venue(core._ports, next(iter(core._ports.gateways.values())))
    return work_of(unshielded(core), task, symbol, number)


def traveller():
    """A venue's requests are suspended too."""
    return asyncio.sleep(0)


@pytest.fixture
async def stand(core_dsn, seed):
    async with stage(core_dsn.get_secret_value(), WIDTH, seed) as found:
        yield found


async def suspensions(stand, task):
    """How often a task is suspended where nothing is wrong."""
    stand.scene.forget()
    number = await stand.prepare(task, stand.scene.symbols[0])
    if task == "recover":
        await stand.lease_over()
    return (await run(inmost(stand.core(latency=traveller), task, stand.scene.symbols[0], number)))[0]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", ["open", *some(TASKS[1:], 2)])
async def test_cancelled_at_every_await(stand, task, figure):
    turns = range(1, await suspensions(stand, task) + 1)
    assert len(turns) > 4, "every statement and every request suspends"
    stand.scene.forget()
    symbols = stand.scene.symbols[: len(turns)]
    numbers = [await stand.prepare(task, symbol) for symbol in symbols]
    if task == "recover":
        await stand.lease_over()
    cancelled = 0
    if task == "synchronise":  # it goes over all symbols by itself: one after another
        for turn in turns:
            core = stand.core(latency=traveller, owner=f"turn-{turn}")
            cancelled += (await run(inmost(core, task, "", None), turn))[1]
    else:
        core = stand.core(latency=traveller)
        made = zip(symbols, numbers, turns, strict=True)
        ran = await asyncio.gather(*(run(inmost(core, task, s, n), turn) for s, n, turn in made))
        cancelled += sum(one[1] for one in ran)
    bad = await stand.recovered()
    figure(f"{task} cancelled at every await", cancelled, len(bad))
    assert not bad, "\n".join(map(str, bad))
    assert cancelled > len(turns) * 0.3, "not all of them had ended by themselves"


async def test_a_caller_that_is_cancelled_leaves_a_protected_position_without_any_recovery(stand, figure):
    """At every await of the caller's own, what was begun is carried through."""
    symbols = stand.scene.symbols[:40]
    core = stand.core(latency=traveller)
    callers = [asyncio.create_task(work_of(core, "open", symbol, None)) for symbol in symbols]
    for steps, caller in enumerate(callers):
        for _ in range(steps):
            await asyncio.sleep(0)
        caller.cancel()
    await asyncio.wait(callers)
    await core.finish()
    bad = stand.scene.broken()
    figure("callers of open cancelled, nobody recovers", sum(c.cancelled() for c in callers), len(bad))
    assert not bad, "\n".join(map(str, bad))
    rows = [rows for rows in stand.scene.positions().values() if rows]
    assert rows, "some had begun"
    assert {row["status"] for mine in rows for row in mine} == {"active"}
