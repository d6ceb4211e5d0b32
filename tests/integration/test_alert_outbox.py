"""What runs, logs and suites put into the outbox of alerts, in the transaction of what they tell of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from posguard.model.alert import AlertEvent, TopicAlert
from posguard.model.finding import Severity
from posguard.model.quality import ExpectationResult, Outcome
from posguard.postgres import alerts, lograces, results, runs
from posguard.postgres.lograces import ToldRace
from posguard.reconcile.run import record_pass
from tests.fixtures.stores import AT, ORPHAN, db, passed, record
from tests.integration.test_log_races import NOW, RACE, tell

pytestmark = pytest.mark.postgres
assert db  # a fixture


async def told(db):
    async with db.connection() as connection:
        found = await connection.fetch("SELECT kind, event, severity FROM posguard.alert_outbox ORDER BY id")
    return [tuple(record) for record in found]


async def put(db, *given):
    async with db.transaction() as connection:
        return await alerts.put(connection, given)


def orphan(event, severity="critical"):
    return ("orphaned_db", event, severity)


async def test_a_finding_is_told_once_until_it_is_resolved_and_again_when_it_is_reopened(db):
    for hours in range(3):
        await record(db, passed(AT + timedelta(hours=hours), ORPHAN))
    assert await told(db) == [orphan("raised")]
    for hours in (3, 4, 5):
        await record(db, passed(AT + timedelta(hours=hours)))
    assert await told(db) == [orphan("raised"), orphan("resolved")]
    for hours in (6, 7):
        await record(db, passed(AT + timedelta(hours=hours), ORPHAN))
    assert await told(db) == [orphan("raised"), orphan("resolved"), orphan("raised")]


async def test_a_finding_that_gets_worse_is_told_again_and_a_better_one_is_not(db):
    mild = replace(ORPHAN, severity=Severity.WARNING)
    for hours, seen in enumerate((mild, ORPHAN, mild, ORPHAN)):
        await record(db, passed(AT + timedelta(hours=hours), seen))
    assert await told(db) == [orphan("raised", "warning"), orphan("raised")]


async def test_a_storm_is_in_the_outbox_with_its_run_or_not_at_all(db):
    storm = [replace(ORPHAN, symbol=f"S{n}USDT", subject=str(n), row_ids=(n,)) for n in range(500)]
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with db.transaction() as connection:
            run_id = await runs.start_run(connection, started_at=AT, source="cli")
            await record_in(connection, run_id, storm)
            await connection.execute("SELECT 1 / 0")
    assert await told(db) == []
    await record(db, passed(AT, *storm))
    assert await told(db) == [orphan("raised")] * 500


async def record_in(connection, run_id, seen):
    from posguard.postgres import findings

    await findings.record(connection, run_id, passed(AT, *seen))


async def test_a_run_tells_of_the_venue_it_could_not_judge_and_a_complete_one_of_its_return(db):
    for hours, conclusive in enumerate((False, False, True, True)):
        result = passed(AT + timedelta(hours=hours), conclusive=conclusive)
        await record_pass(db, result, source="cli", external_id=f"run {hours}")
        await record_pass(db, result, source="cli", external_id=f"run {hours}")  # a task that is tried again
    inconclusive = "run_inconclusive"
    assert await told(db) == [(inconclusive, "raised", "warning"), (inconclusive, "resolved", "warning")]


async def test_races_of_the_log_are_told_once_and_old_ones_not_at_all(db):
    fresh = ToldRace(RACE, NOW - timedelta(hours=2), "bot", {})
    old = ToldRace(replace(RACE, subject="long ago"), NOW - timedelta(days=8), "bot", {})
    for _ in range(2):
        await tell(db, fresh, fresh, old)
    assert await told(db) == [("duplicate_key_race", "raised", "critical")]
    async with db.transaction() as connection:
        await lograces.resolve_past(connection, NOW + timedelta(days=7))
    assert (await told(db))[1:] == [("duplicate_key_race", "resolved", "critical")]


async def test_a_suites_violation_is_told_to_its_owner_until_it_passes(db):
    def result(outcome):
        return ExpectationResult("freshness", "f1", "The bot writes", Severity.CRITICAL, "bot", outcome)

    for outcome in (Outcome.VIOLATION, Outcome.VIOLATION, Outcome.ERROR, Outcome.PASS, Outcome.PASS):
        run_id, _ = await record(db, passed(AT))
        async with db.transaction() as connection:
            await results.store_results(connection, run_id, [result(outcome)])
    kind = "suite_violation"
    assert await told(db) == [(kind, "raised", "critical"), (kind, "resolved", "critical")]


def one(n=1, event=AlertEvent.RAISED, **more):
    return TopicAlert(f"t{n}", event, Severity.WARNING, "k", "x", **more)


async def test_two_writers_at_once_write_one_alert_of_a_topic(db):
    await asyncio.gather(*(put(db, one(1), one(2)) for _ in range(4)))
    assert len(await told(db)) == 2


async def test_an_alert_holds_one_line_and_no_password(db):
    text = "could not reach postgresql://ann:hunter2@host/db\npassword=hunter2 " + "x" * 2000
    await put(db, replace(one(), text=text))
    async with db.connection() as connection:
        (standing,) = await alerts.standing(connection)
    assert "hunter2" not in standing.text
    assert "\n" not in standing.text
    assert len(standing.text) == alerts.LONGEST
    assert standing.topic == "t1"
