"""The stores on a real PostgreSQL: open rows of older and newer tables, runs, findings and their lives."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from posguard.errors import RefusedError, UsageError
from posguard.model.finding import (
    EventKind,
    FindingState,
    Kind,
    Proof,
    Severity,
    Skipped,
)
from posguard.model.position import PositionKey, PositionSide
from posguard.model.run import RunOutcome
from posguard.model.scope import Scope
from posguard.postgres import findings, runs
from posguard.postgres.pool import Database
from tests.fixtures.stores import AT, ORPHAN, db, passed, record

assert db  # a fixture


pytestmark = pytest.mark.postgres


async def desk(db):
    async with db.connection() as connection:
        return await findings.list_findings(connection)


async def history(db, finding_id):
    async with db.connection() as connection:
        return [event.event for event in await findings.events_of(connection, finding_id)]


async def dump(db, *tables):
    async with db.connection() as connection:
        return {
            table: [dict(r) for r in await connection.fetch(f"SELECT * FROM posguard.{table} ORDER BY 1, 2")]
            for table in tables
        }


# Runs


async def test_a_run_is_read_back_as_it_was_written(db):
    result = passed(
        AT,
        ORPHAN,
        skipped=(Skipped("moving", (1, 2)),),
        notes=("a note",),
        statistics={"by_status": [{"status": "active", "count": 3}]},
        scope=Scope("binance", "APTUSDT"),
    )
    async with db.transaction() as connection:
        print_ = await runs.database_fingerprint(connection)
        run_id = await runs.start_run(
            connection,
            started_at=AT,
            source="airflow",
            external_id="scheduled__1",
            interval=(AT - timedelta(hours=1), AT),
            database_fingerprint=print_,
            scope=result.scope,
        )
        assert (await runs.run_by_id(connection, run_id)).outcome is RunOutcome.RUNNING
        await runs.finish_run(connection, run_id, result, outcome=RunOutcome.PROBLEMS, counts={"critical": 1})
        run = await runs.run_by_id(connection, run_id)
        assert run == await runs.run_by_external_id(connection, "scheduled__1")
        assert [run] == await runs.recent_runs(connection, 5)
    assert (run.outcome, run.world, run.source) == (RunOutcome.PROBLEMS, "simulator", "airflow")
    assert (run.started_at, run.finished_at) == (result.started_at, result.finished_at)
    assert (run.interval_start, run.interval_end) == (AT - timedelta(hours=1), AT)
    assert (run.rows_read, run.rows_compared, run.skipped) == (7, 6, result.skipped)
    assert (run.counts, run.notes, run.statistics) == ({"critical": 1}, ("a note",), result.statistics)
    assert (run.scope, run.venues, run.database_fingerprint) == (result.scope, result.venues, print_)
    assert run.conclusive


async def test_runs_are_paged_from_the_newest(db):
    async with db.transaction() as connection:
        ids = [await runs.start_run(connection, started_at=AT, source="cli") for _ in range(5)]
        first = await runs.recent_runs(connection, 2)
        rest = await runs.recent_runs(connection, 9, before=first[-1].id)
    assert [r.id for r in first + rest] == ids[::-1]


async def test_of_one_external_id_the_try_that_ended_is_returned(db):
    async with db.transaction() as connection:
        first = await runs.start_run(connection, started_at=AT, source="airflow", external_id="x")
        await runs.finish_run(connection, first, passed(AT), outcome=RunOutcome.CLEAN, counts={})
        dead = await runs.start_run(connection, started_at=AT, source="airflow", external_id="x")
        assert (await runs.run_by_external_id(connection, "x")).id == first
        await runs.fail_run(connection, dead, "the database went away")
        assert (await runs.run_by_id(connection, dead)).notes == ("the database went away",)
        await runs.fail_run(connection, first, "too late")
        assert (await runs.run_by_id(connection, first)).outcome is RunOutcome.CLEAN
        assert await runs.run_by_external_id(connection, "") is None
        assert await runs.run_by_external_id(connection, "y") is None


async def test_the_fingerprint_tells_databases_apart_and_is_stable(db, bot_dsn, empty_dsn):
    async with db.connection() as one, await Database.open(empty_dsn) as other, other.connection() as two:
        prints = [await runs.database_fingerprint(c) for c in (one, one, two)]
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 16


# Findings


async def test_found_then_only_seen_then_gone_then_back(db):
    first, counts = await record(db, passed(AT, ORPHAN))
    assert counts == {
        "found": 1,
        "critical": 1,
        "suspected": 1,
        "kind.orphaned_db": 1,
    }
    (stored,) = await desk(db)
    assert (stored.finding, stored.state, stored.first_run) == (ORPHAN, FindingState.OPEN, first)
    assert list(stored.finding.database[0]) == ["id", "a", "status"]
    hour = timedelta(hours=1)
    second, _ = await record(db, passed(AT + hour, ORPHAN))
    (again,) = await desk(db)
    assert again == replace(stored, last_seen=AT + hour + timedelta(seconds=3), last_run=second)
    await record(db, passed(AT + 2 * hour))
    assert [f.clean_passes for f in await desk(db)] == [1]
    _, counts = await record(db, passed(AT + 3 * hour))
    assert counts == {"resolved": 1}
    (gone,) = await desk(db)
    assert (gone.state, gone.resolved_at) == (FindingState.RESOLVED, AT + 3 * hour + timedelta(seconds=3))
    _, counts = await record(db, passed(AT + 4 * hour, ORPHAN))
    assert counts["reopened"] == 1
    (back,) = await desk(db)
    assert (back.state, back.reopened, back.resolved_at) == (FindingState.OPEN, 1, None)
    assert await history(db, back.id) == [EventKind.FOUND, EventKind.RESOLVED, EventKind.REOPENED]


@pytest.mark.parametrize(
    "blind",
    [
        {"conclusive": False},
        {"scope": Scope(symbol="BTCUSDT")},
        {"scope": Scope(exchange="bybit")},
        {"inconclusive_keys": frozenset({PositionKey("binance", "main", "APTUSDT", PositionSide.LONG)})},
        {"venues": ()},
    ],
    ids=["venue inconclusive", "other symbol", "other exchange", "key skipped", "venue not asked"],
)
async def test_a_pass_that_could_not_have_seen_it_resolves_nothing(db, blind):
    await record(db, passed(AT, ORPHAN))
    before = await dump(db, "findings", "finding_events")
    for n in range(1, 6):
        blinded = {k: v for k, v in blind.items() if k != "venues"}
        result = passed(AT + timedelta(hours=n), **blinded)
        _, counts = await record(db, replace(result, **({"venues": ()} if "venues" in blind else {})))
        assert counts == {}
    assert await dump(db, "findings", "finding_events") == before


async def test_ten_equal_passes_write_their_runs_and_the_last_sight_alone(db):
    other = replace(ORPHAN, kind=Kind.AGED_POSITION, severity=Severity.INFO, proof=Proof.PROVEN)
    await record(db, passed(AT, ORPHAN, other))
    before = await dump(db, "findings", "finding_events", "ignore_rules", "suite_results")
    for n in range(1, 11):
        run_id, _ = await record(db, passed(AT + timedelta(hours=n), other, ORPHAN))
    after = await dump(db, "findings", "finding_events", "ignore_rules", "suite_results")
    for row in before["findings"]:
        row |= {"last_seen": AT + timedelta(hours=10, seconds=3), "last_run": run_id}
    assert after == before
    written = await dump(db, "runs", "run_venues")
    assert len(written["runs"]) == len(written["run_venues"]) == 11


async def test_two_runs_at_once_take_turns(db):
    results = [passed(AT + timedelta(minutes=n), ORPHAN) for n in range(8)]
    counts = [c for _, c in await asyncio.gather(*(record(db, r) for r in results))]
    assert sorted(c.get("found", 0) for c in counts) == [0] * 7 + [1]
    (stored,) = await desk(db)
    assert await history(db, stored.id) == [EventKind.FOUND]
    assert stored.last_seen == results[-1].finished_at


async def test_a_recording_that_dies_leaves_nothing(db):
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with db.transaction() as connection:
            run_id = await runs.start_run(connection, started_at=AT, source="cli")
            await findings.record(connection, run_id, passed(AT, ORPHAN))
            await connection.execute("SELECT 1 / 0")
    assert await desk(db) == []


async def test_what_the_desk_decides(db):
    await record(db, passed(AT, ORPHAN))
    (stored,) = await desk(db)
    async with db.transaction() as connection:
        acked = await findings.decide(
            connection, stored.id, FindingState.ACKNOWLEDGED, "ann", reason="looking"
        )
        assert (acked.state, acked.decided_by) == (FindingState.ACKNOWLEDGED, "ann")
        with pytest.raises(UsageError, match="reason"):
            await findings.decide(connection, stored.id, FindingState.DISMISSED, "ann")
        with pytest.raises(UsageError, match="no finding 999"):
            await findings.decide(connection, 999, FindingState.ACKNOWLEDGED, "ann")
        with pytest.raises(UsageError, match="by hand"):
            await findings.decide(connection, stored.id, FindingState.RESOLVED, "ann")
        until = AT + timedelta(hours=2)
        await findings.decide(
            connection, stored.id, FindingState.DISMISSED, "ann", reason="by hand", until=until
        )
    _, counts = await record(db, passed(AT + timedelta(hours=1), ORPHAN))
    assert counts == {"dismissed": 1}
    _, counts = await record(db, passed(AT + timedelta(hours=3), ORPHAN))
    assert counts["reopened"] == counts["critical"] == 1
    e = EventKind
    assert await history(db, stored.id) == [e.FOUND, e.ACKNOWLEDGED, e.DISMISSED, e.REOPENED]
    for hours in (4, 5):
        await record(db, passed(AT + timedelta(hours=hours)))
    async with db.transaction() as connection:
        with pytest.raises(RefusedError, match="resolved already"):
            await findings.decide(connection, stored.id, FindingState.ACKNOWLEDGED, "ann")


async def test_an_ignore_rule_dismisses_until_it_ends(db):
    async with db.transaction() as connection:
        rule = await findings.add_ignore_rule(
            connection, exchange="Binance", symbol="APT/USDT", reason="traded by hand", actor="ann"
        )
    _, counts = await record(db, passed(AT, ORPHAN))
    assert counts == {"found": 1, "dismissed": 1}
    (stored,) = await desk(db)
    assert (stored.state, stored.decided_by, stored.reason) == (
        FindingState.DISMISSED, rule.actor, "traded by hand")  # fmt: skip
    before = await dump(db, "finding_events")
    await record(db, passed(AT + timedelta(hours=1), ORPHAN))
    assert await dump(db, "finding_events") == before
    async with db.transaction() as connection:
        assert await findings.end_ignore_rule(connection, rule.id)
        assert not await findings.end_ignore_rule(connection, rule.id)
        assert len(await findings.ignore_rules(connection)) == 1
    later = datetime.now(UTC) + timedelta(hours=1)
    _, counts = await record(db, passed(later, ORPHAN))
    assert counts["reopened"] == 1


async def test_lists_are_filtered_and_the_worst_comes_first(db):
    info = replace(ORPHAN, kind=Kind.AGED_POSITION, severity=Severity.INFO)
    bybit = replace(ORPHAN, exchange="bybit", severity=Severity.WARNING, symbol="KASUSDT")
    await record(db, passed(AT, info, bybit, ORPHAN))

    async def kinds(**filters):
        async with db.connection() as connection:
            found = await findings.list_findings(connection, **filters)
            return [f.finding.severity.value for f in found]

    assert await kinds() == ["critical", "warning", "info"]
    assert await kinds(severities=[Severity.INFO, Severity.WARNING]) == ["warning", "info"]
    assert await kinds(kind=Kind.AGED_POSITION) == ["info"]
    assert await kinds(exchange="Bybit") == await kinds(symbol="kas/usdt") == ["warning"]
    assert await kinds(states=[FindingState.RESOLVED]) == []
    assert await kinds(limit=1) == ["critical"]
    async with db.connection() as connection:
        assert len(await findings.unresolved(connection)) == 3
        assert len(await findings.recent_events(connection, 2)) == 2
