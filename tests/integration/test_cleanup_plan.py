"""Plans over the demo world: real PostgreSQL, real ccxt over HTTP. Every proven problem gets its line, and nothing is changed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from posguard.cleanup.planning import DISMISSED
from posguard.cleanup.plans import draw_plan, store_plan
from posguard.demo.seed import seed
from posguard.demo.world import make_world
from posguard.model.plan import Choice, LineState, Mode, PlanState
from posguard.postgres import findings, migrate, plans
from posguard.postgres.pool import Database
from tests.fixtures.gateways import VENUES, gateway, settings

pytestmark = pytest.mark.postgres

QUICK = settings(snapshots=2, snapshot_gap=timedelta(milliseconds=20))


@pytest.fixture
async def world(empty_dsn, control):
    made = make_world(datetime.now(UTC), 7)
    await seed(empty_dsn, control, made)
    migrate.upgrade(empty_dsn)
    return made


@pytest.fixture
async def db(empty_dsn, world):
    async with await Database.open(empty_dsn) as opened:
        yield opened


@pytest.fixture
async def gateways(simulator):
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(gateway(e, simulator.base_url)) for e in VENUES]


async def rows_of(db):
    async with db.connection() as connection:
        return await connection.fetch("SELECT to_jsonb(p) FROM monitoring.positions p ORDER BY id")


EXPECTED = {
    Mode.UNPROTECTED: 8,
    Mode.DUPLICATES: 2,
    Mode.ORPHANED_DB: 4,
    Mode.INCOMPLETE: 4,
    Mode.MISMATCH: 2,
    Mode.ZOMBIES: 3,
    Mode.ORPHANED_EX: 2,
    Mode.ALL: 23,
}


async def test_every_mode_of_the_demo_world_is_planned_and_stored_and_changes_nothing(db, gateways, control):
    before, book = await rows_of(db), await control.digests()
    posts = [r for r in await control.log() if r["method"] != "GET"]
    for mode, number in EXPECTED.items():
        plan = await draw_plan(
            db, gateways, QUICK, mode, actor="t", choice=Choice.CLOSE, min_age=timedelta(minutes=5)
        )
        assert not plan.inconclusive
        assert len(plan.lines) == number, (mode, plan.lines)
        stored = await store_plan(db, plan)
        assert stored.plan.lines == plan.lines
        assert plans.sound(stored)
        assert stored.state is PlanState.PLANNED
        async with db.connection() as connection:
            again = await plans.by_code(connection, stored.code.lower().replace("-", " "))
        assert again == stored
    assert await rows_of(db) == before
    assert (await control.digests())["book"] == book["book"]
    assert [r for r in await control.log() if r["method"] != "GET"] == posts


async def test_rows_that_nothing_is_wrong_with_are_in_no_plan(db, gateways, world):
    plan = await draw_plan(db, gateways, QUICK, Mode.ALL, actor="t", choice=Choice.CLOSE)
    assert not {line.row.id for line in plan.lines if line.row} & world.healthy_rows


async def test_what_a_plan_says_never_changes_and_its_record_is_only_added_to(db, gateways):
    plan = await draw_plan(db, gateways, QUICK, Mode.DUPLICATES, actor="t")
    stored = await store_plan(db, plan)
    async with db.connection() as connection:
        for statement in (
            "UPDATE posguard.plans SET digest = 'x'",
            "UPDATE posguard.plans SET expires_at = expires_at + interval '1 day'",
            "UPDATE posguard.plan_lines SET detail = '{}'",
            "UPDATE posguard.plan_lines SET decision = 'x'",
            "DELETE FROM posguard.plan_lines",
            "DELETE FROM posguard.plans",
        ):
            with pytest.raises(Exception, match="never changes|only ever added"):
                await connection.execute(statement)
        assert await plans.by_code(connection, stored.code) == stored


async def test_a_line_ends_once_and_a_plan_is_started_once(db, gateways):
    stored = await store_plan(db, await draw_plan(db, gateways, QUICK, Mode.DUPLICATES, actor="t"))
    first, second = stored.lines
    hour = timedelta(hours=1)
    async with db.connection() as connection:
        late = stored.plan.expires_at + timedelta(seconds=1)
        assert not await plans.start(connection, stored.id, actor="t", now=late)
        assert await plans.start(connection, stored.id, actor="t", now=datetime.now(UTC))
        assert not await plans.start(connection, stored.id, actor="t", now=datetime.now(UTC))
        mine = await plans.claim(connection, first.id, owner="me", length=hour)
        assert mine == 1
        assert await plans.claim(connection, first.id, owner="other", length=hour) is None
        assert await plans.set_line(connection, first.id, LineState.DONE, fencing=mine)
        assert not await plans.set_line(connection, first.id, LineState.FAILED, fencing=mine, reason="x")
        assert await plans.claim(connection, first.id, owner="me", length=hour) is None
        with pytest.raises(Exception, match="has ended as done"):
            await connection.execute(
                "UPDATE posguard.plan_lines SET state = 'failed', reason = 'x' WHERE state = 'done'"
            )
        assert await plans.finish(connection, stored.id) is None
        old = await plans.claim(connection, second.id, owner="me", length=timedelta(0))
        new = await plans.claim(connection, second.id, owner="other", length=hour)
        assert not await plans.set_line(connection, second.id, LineState.DONE, fencing=old)
        assert not await plans.holds(connection, second.id, owner="me", fencing=old, length=hour)
        assert await plans.holds(connection, second.id, owner="other", fencing=new, length=hour)
        assert await plans.set_line(connection, second.id, LineState.SKIPPED, fencing=new, reason="moved")
        assert await plans.finish(connection, stored.id) is PlanState.PARTLY
        with pytest.raises(Exception, match="has been carried out"):
            await connection.execute("UPDATE posguard.plans SET state = 'applying', finished_at = NULL")


@pytest.mark.parametrize("exchange", VENUES)
async def test_nothing_is_planned_for_a_venue_that_cannot_be_judged(db, gateways, control, exchange):
    await control.fault("html", venue=exchange)
    plan = await draw_plan(db, gateways, QUICK, Mode.ALL, actor="t")
    assert [said.split(":")[0] for said in plan.inconclusive] == [exchange]
    assert {line.key.exchange for line in plan.lines} == set(VENUES) - {exchange}


async def test_what_is_dismissed_or_traded_by_hand_enters_no_plan(db, gateways):
    async with db.transaction() as connection:
        await findings.add_ignore_rule(
            connection, exchange="binance", symbol="SUIUSDT", reason="by hand", actor="t"
        )
    plan = await draw_plan(db, gateways, QUICK, Mode.DUPLICATES, actor="t")
    assert [line.key.symbol for line in plan.lines] == ["KASUSDT"]
    assert [one.why for one in plan.left_out] == [DISMISSED]
