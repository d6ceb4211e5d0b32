"""The results of suites are stored once per run, read back as they were, and told over runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from posguard.model.finding import Severity
from posguard.model.quality import ExpectationResult, Outcome
from posguard.postgres import results, runs
from posguard.postgres.pool import Database

pytestmark = pytest.mark.postgres

AT = datetime(2026, 1, 1, tzinfo=UTC)
VIOLATION = ExpectationResult(
    suite="positions",
    expectation="positions.side_known",
    title="Sides",
    severity=Severity.WARNING,
    owner="bot",
    result=Outcome.VIOLATION,
    rows_checked=700,
    failing=301,
    failing_keys=("3", "12"),
    message="301 of 700 rows break it.",
    query="SELECT 'x; --'",
)
PASS = replace(
    VIOLATION,
    expectation="positions.leverage",
    result=Outcome.PASS,
    failing=0,
    failing_keys=(),
    severity=Severity.CRITICAL,
)
ERROR = replace(PASS, expectation="positions.error", result=Outcome.ERROR, rows_checked=None)
ABSENT = replace(PASS, expectation="positions.absent", result=Outcome.NOT_APPLICABLE)
WORSE = replace(VIOLATION, suite="orders", expectation="orders.z", severity=Severity.CRITICAL)


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as database:
        yield database


async def new_run(db, hours=0):
    async with db.transaction() as connection:
        return await runs.start_run(connection, started_at=AT + timedelta(hours=hours), source="cli")


async def store(db, run_id, *found):
    async with db.transaction() as connection:
        await results.store_results(connection, run_id, found)


async def test_stored_results_are_read_back_as_they_were_the_worst_first(db):
    run_id = await new_run(db)
    await store(db, run_id, ABSENT, PASS, ERROR, VIOLATION, WORSE)
    async with db.connection() as connection:
        assert await results.results_of(connection, run_id) == (WORSE, VIOLATION, ERROR, PASS, ABSENT)
        assert await results.results_of(connection, run_id + 1) == ()


async def test_storing_again_replaces_and_adds_nothing(db):
    run_id = await new_run(db)
    await store(db, run_id, VIOLATION, PASS)
    await store(db, run_id, VIOLATION, PASS)
    changed = replace(VIOLATION, result=Outcome.PASS, failing=0, failing_keys=(), message="m", query="")
    await store(db, run_id, changed)
    async with db.connection() as connection:
        assert set(await results.results_of(connection, run_id)) == {changed, PASS}


async def test_a_run_that_does_not_exist_stores_nothing(db):
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="suite_results_run_id_fkey"):
        await store(db, 4711, PASS)


async def test_history_tells_the_newest_runs_that_have_results(db):
    assert await history(db) == ()
    first, without, second, third = [await new_run(db, hours) for hours in range(4)]
    await store(db, first, PASS, ERROR)
    await store(db, second, PASS, VIOLATION)
    await store(db, third, replace(PASS, result=Outcome.ERROR))
    told = await history(db, runs=2)
    assert [(one.run_id, one.expectation, one.result, one.failing) for one in told] == [
        (second, PASS.expectation, Outcome.PASS, 0),
        (second, VIOLATION.expectation, Outcome.VIOLATION, 301),
        (third, PASS.expectation, Outcome.ERROR, 0),
    ]
    assert told[0].at == AT + timedelta(hours=2)
    one = await history(db, [PASS.expectation])
    assert [(point.run_id, point.result) for point in one] == [
        (first, Outcome.PASS),
        (second, Outcome.PASS),
        (third, Outcome.ERROR),
    ]
    async with db.connection() as connection:
        assert await results.latest_run_with_results(connection) == third
    assert without not in {point.run_id for point in await history(db)}


async def history(db, *arguments, **named):
    async with db.connection() as connection:
        return await results.history(connection, *arguments, **named)


async def test_the_latest_run_is_none_before_the_first(db):
    async with db.connection() as connection:
        assert await results.latest_run_with_results(connection) is None
