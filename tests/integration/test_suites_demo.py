"""On the demo world every expectation's result equals the truth."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from posguard.demo.seed import seed
from posguard.demo.truth import compare
from posguard.demo.world import make_world
from posguard.model.quality import Outcome
from posguard.quality.run import run_suites
from posguard.settings import Settings
from posguard.simulator.client import SimulatorControl

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


async def test_found_is_planted_for_every_expectation(empty_dsn: SecretStr, simulator):
    world = make_world(datetime.now(UTC), 7)
    async with SimulatorControl(simulator.base_url) as control:
        await seed(empty_dsn, control, world)
    results = run_suites(empty_dsn, settings=Settings(_env_file=None))
    report = compare(world.truth, (), results, at=world.truth.anchored_at)
    problems = [
        line
        for line in (*report.missed, *report.unexpected, *report.differing)
        if any(one.expectation in line for one in results)
    ]
    assert problems == []
    assert report.violations_found == report.violations_planted == len(world.truth.violations) > 0
    # the world is made without posguard's schema, so that there are no log events to judge
    without_logs = {one.result for one in results if one.suite != "log_events"}
    assert without_logs == {Outcome.PASS, Outcome.VIOLATION}
    assert {one.result for one in results if one.suite == "log_events"} == {Outcome.NOT_APPLICABLE}
    planted = {one.expectation: one.failing_keys for one in world.truth.violations}
    assert {one.expectation: one.failing_keys for one in results if one.failing} == planted
