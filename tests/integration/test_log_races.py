"""Races that a log tells of, in the findings table: once, with what is known of them, and no pass undoes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.model.finding import (
    FindingState,
    Kind,
    Pass,
    VenueVerdict,
    VerdictKind,
)
from posguard.model.venue import VenueId, World
from posguard.postgres import findings, lograces, runs
from posguard.postgres.lograces import ToldRace
from posguard.postgres.pool import Database
from tests.fixtures.known import a_finding

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)
RACE = a_finding(
    Kind.DUPLICATE_KEY_RACE, title="APTUSDT: duplicate-key error", subject="bot 2025-10-22T21:50:40.981Z"
)


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


async def tell(db, *told):
    async with db.transaction() as connection:
        run = await runs.start_run(connection, started_at=NOW, source="airflow", job="logs")
        counts = await lograces.record(connection, run, told, NOW)
        await runs.finish_log_run(connection, run, counts=counts, notes=[])
        return counts


async def desk(db):
    async with db.snapshot() as connection:
        return await findings.list_findings(connection)


async def test_told_twice_it_is_one_finding_with_its_race(db):
    told = ToldRace(RACE, NOW - timedelta(hours=2), "bot", {"scenario": "B", "creates": [1, 2]})
    assert await tell(db, told) == {"found": 1}
    assert await tell(db, told, told) == {}
    (stored,) = await desk(db)
    assert (stored.state, stored.finding) == (FindingState.OPEN, RACE)
    async with db.snapshot() as connection:
        assert await lograces.race_of_finding(connection, stored.id) == told.race
        assert await lograces.recent_races(connection, 5) == [(stored.id, told.race)]
        assert await lograces.race_of_finding(connection, stored.id + 1) is None


async def test_the_page_reads_the_race_as_it_was_found(db):
    from posguard.logs.race_findings import told_race
    from posguard.report.read import read_finding, read_races
    from tests.unit.logs.telling import incident_1, incident_2

    found = [*incident_1().races(), *incident_2().races()]
    await tell(db, *(told_race(race) for race in found))
    listed = await read_races(db, 10)
    assert [race for _, race in listed] == found[::-1]
    for finding_id, race in listed:
        assert (await read_finding(db, finding_id)).race == race


async def test_complete_passes_that_do_not_see_it_leave_it_open_and_are_the_only_runs_listed(db):
    await tell(db, ToldRace(RACE, NOW - timedelta(hours=2), "bot", {}))
    verdict = VenueVerdict(VenueId("binance"), World.SIMULATOR, VerdictKind.CONCLUSIVE, (), 3, 0, 0, 1, NOW)
    listed = []
    for hours in (1, 2, 3):
        at = NOW + timedelta(hours=hours)
        async with db.transaction() as connection:
            run = await runs.start_run(connection, started_at=at, source="cli")
            await findings.record(connection, run, Pass(at, at, (), (verdict,), 1, 1))
            listed.append(run)
    (stored,) = await desk(db)
    assert stored.state is FindingState.OPEN
    async with db.snapshot() as connection:
        assert [run.id for run in await runs.recent_runs(connection, 10)] == listed[::-1]
        assert (await runs.landmarks(connection)).ended is None


async def test_after_a_week_it_is_resolved_and_stays_so(db):
    old = ToldRace(RACE, NOW - timedelta(days=6), "bot", {})
    recent = ToldRace(replace(RACE, subject="later"), NOW - timedelta(days=1), "bot", {})
    await tell(db, old, recent)
    async with db.transaction() as connection:
        assert await lograces.resolve_past(connection, NOW + timedelta(days=2)) == 1
        assert await lograces.resolve_past(connection, NOW + timedelta(days=2)) == 0
    assert await tell(db, old) == {}
    assert {s.finding.subject: s.state for s in await desk(db)} == {
        RACE.subject: FindingState.RESOLVED,
        "later": FindingState.OPEN,
    }
