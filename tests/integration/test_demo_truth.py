"""Found equals planted: the suites and a reconciliation pass over the seeded demo world, against its truth, nothing simulated away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from posguard.demo.bot import open_bot
from posguard.demo.truth import compare
from posguard.postgres.pool import Database
from posguard.quality.run import run_suites
from posguard.reconcile.run import take_pass
from posguard.settings import Settings
from posguard.simulator.client import SimulatorControl
from tests.fixtures.gateways import VENUES, gateway
from tests.integration.test_demo_bot import Clock
from tests.integration.test_demo_seed import seeded

pytestmark = pytest.mark.postgres


def told(report) -> str:
    """What a failed comparison says."""
    return "\n".join(
        ("missed:", *report.missed, "unexpected:", *report.unexpected, "differing:", *report.differing)
    )


@pytest.mark.slow
async def test_the_suites_find_what_is_planted_for_them_and_nothing_else(empty_dsn, simulator):
    world = await seeded(empty_dsn, simulator)
    results = await asyncio.to_thread(run_suites, empty_dsn, settings=Settings())
    now = datetime.now(UTC)
    nobody = compare(world.truth, (), at=now)
    report = compare(world.truth, (), results, at=now)
    assert report.violations_found == report.violations_planted == len(world.truth.violations), told(report)
    assert set(report.missed) == set(nobody.missed), told(report)
    assert not report.unexpected, told(report)
    assert not report.differing, told(report)


@pytest.mark.slow
async def test_after_four_hours_of_the_demo_bot_found_still_equals_planted(empty_dsn, simulator):
    """The world begins four hours ago and is brought to now minute by minute; every half hour a pass looks at it."""
    real = datetime.now(UTC)
    world = await seeded(empty_dsn, simulator, now=real - timedelta(hours=4, minutes=5))
    clock = Clock(world.now)
    quick = Settings(snapshots=2, snapshot_gap=timedelta(milliseconds=5))
    seen = []
    async with (
        await Database.open(empty_dsn, size=2) as database,
        SimulatorControl(simulator.base_url) as control,
        gateway(VENUES[0], simulator.base_url) as binance,
        gateway(VENUES[1], simulator.base_url) as bybit,
    ):
        bot = await open_bot(database, control, clock=clock)
        for minute in range(4 * 60 + 5):
            clock.now = world.now + timedelta(minutes=minute)
            await bot.step()
            if minute % 30 == 4:
                found = await take_pass(database, [binance, bybit], quick, clock=clock)
                report = compare(world.truth, found.findings, at=clock.now)
                assert report.exact, f"after {minute} minutes\n{told(report)}"
                assert found.conclusive
                assert not found.skipped or all("list" in part.reason for part in found.skipped), (
                    found.skipped
                )
                seen.append(report.planted)
        found = await take_pass(database, [binance, bybit], quick)
    results = await asyncio.to_thread(run_suites, empty_dsn, settings=Settings())
    report = compare(world.truth, found.findings, results, at=found.started_at)
    assert report.exact, told(report)
    assert report.violations_found == report.violations_planted == len(world.truth.violations)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]  # what turned aged meanwhile is part of the truth


@pytest.mark.slow
async def test_passes_beside_a_busy_bot_see_nothing_of_its_work(empty_dsn, simulator):
    """Opens and closes without a rest while passes run: moving keys may wait, and nothing false is ever found."""
    world = await seeded(empty_dsn, simulator, now=datetime.now(UTC) - timedelta(minutes=5))
    clock = Clock(datetime.now(UTC))
    quick = Settings(snapshots=2, snapshot_gap=timedelta(milliseconds=50))
    ended = asyncio.Event()

    async def trade(database, control) -> int:
        bot, steps = await open_bot(database, control, clock=clock), 0
        while not ended.is_set():
            clock.now += timedelta(minutes=4)  # each step closes and opens, as hours would
            await bot.step()
            steps += 1
        return steps

    async with (
        await Database.open(empty_dsn, size=4) as database,
        SimulatorControl(simulator.base_url) as control,
        gateway(VENUES[0], simulator.base_url) as binance,
        gateway(VENUES[1], simulator.base_url) as bybit,
    ):
        at = clock.now
        busy = asyncio.create_task(trade(database, control))
        whole = 0
        try:
            for _ in range(12):
                found = await take_pass(database, [binance, bybit], quick, clock=lambda: at)
                # of a venue that moved under the look little is known, and of the bot's own positions nothing is said
                assert {(f.exchange, f.symbol) for f in found.findings} <= world.reserved
                if found.conclusive:
                    whole += 1
                    report = compare(world.truth, found.findings, at=at)
                    assert report.exact, told(report)
        finally:
            ended.set()
            steps = await busy  # how often the bot worked meanwhile
    assert steps > 12
    assert whole


@pytest.mark.parametrize("number", [0, 11, 2026])
async def test_found_equals_planted_for_other_seeds(empty_dsn, simulator, number):
    world = await seeded(empty_dsn, simulator, number=number)
    quick = Settings(snapshots=2, snapshot_gap=timedelta(milliseconds=5))
    async with (
        await Database.open(empty_dsn) as database,
        gateway(VENUES[0], simulator.base_url) as binance,
        gateway(VENUES[1], simulator.base_url) as bybit,
    ):
        found = await take_pass(database, [binance, bybit], quick)
    report = compare(world.truth, found.findings, at=found.started_at)
    assert report.exact, told(report)
    assert found.conclusive
