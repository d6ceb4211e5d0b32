"""The demo world through the whole way of a pass: real PostgreSQL, real ccxt over HTTP. Found is what was planted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.demo.seed import seed
from posguard.demo.truth import compare
from posguard.demo.world import make_world
from posguard.model.run import RunOutcome
from posguard.postgres import migrate
from posguard.postgres.pool import Database
from posguard.reconcile.run import record_pass, take_pass
from tests.fixtures.gateways import VENUES, gateway, settings

pytestmark = pytest.mark.postgres

TABLES = ("runs", "run_venues", "findings", "finding_events", "ignore_rules", "suite_results")


async def dump(db):
    async with db.connection() as connection:
        return {
            name: [dict(r) for r in await connection.fetch(f"SELECT * FROM posguard.{name} ORDER BY 1, 2")]
            for name in TABLES
        }


async def test_found_is_what_was_planted_and_ten_passes_write_their_runs_alone(empty_dsn, simulator, control):
    world = make_world(datetime.now(UTC), 7)
    await seed(empty_dsn, control, world)
    migrate.upgrade(empty_dsn)
    quick = settings(snapshots=2, snapshot_gap=timedelta(milliseconds=20))
    now = datetime.now(UTC)
    async with (
        await Database.open(empty_dsn) as db,
        gateway(VENUES[0], simulator.base_url) as binance,
        gateway(VENUES[1], simulator.base_url) as bybit,
    ):
        first = await take_pass(db, [binance, bybit], quick, clock=lambda: now)
        truth = compare(world.truth, first.findings, at=now)
        assert truth.exact, "\n".join((*truth.missed, *truth.unexpected, *truth.differing))
        assert truth.found == truth.planted > 50
        assert first.conclusive
        assert first.rows_read == first.rows_compared + sum(len(part.row_ids) for part in first.skipped)
        run = await record_pass(db, first, source="cli")
        assert run.outcome is RunOutcome.PROBLEMS
        before = await dump(db)
        for _ in range(10):
            again = await take_pass(db, [binance, bybit], quick, clock=lambda: now)
            assert again.findings == first.findings
            run = await record_pass(db, again, source="cli")
        after = await dump(db)
    for finding in before["findings"]:
        finding |= {"last_run": run.id}
    assert after["findings"] == before["findings"]
    assert after["finding_events"] == before["finding_events"]
    assert after["ignore_rules"] == before["ignore_rules"] == []
    assert after["suite_results"] == before["suite_results"] == []
    assert len(after["runs"]) == 11
    assert len(after["run_venues"]) == 22
    unlike = {"id", "started_at", "finished_at"}
    told = [{k: v for k, v in row.items() if k not in unlike | {"counts"}} for row in after["runs"]]
    assert all(row == told[0] for row in told)
    known = [{k: v for k, v in row["counts"].items() if k != "found"} for row in after["runs"]]
    assert all(row == known[0] for row in known)
