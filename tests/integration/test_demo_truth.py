"""Found equals planted: the suites and a reconciliation pass over the seeded demo world, against its truth, nothing simulated away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from posguard.demo.truth import compare
from posguard.quality.run import run_suites
from posguard.settings import Settings
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
