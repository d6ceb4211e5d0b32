"""A cleanup killed by SIGKILL while it carries out a plan, and taken up by another process: as if nothing had happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from posguard.errors import RefusedError
from posguard.model.plan import LineState, Mode, PlanState
from posguard.model.scope import Scope
from posguard.postgres import plans
from posguard.postgres.pool import Database
from tests.fixtures.bot_tables import in_child
from tests.fixtures.cleanup import FAST, QUICK, Bench, trader
from tests.fixtures.gateways import VENUES, gateway

pytestmark = pytest.mark.postgres

PACE = replace(FAST, lease=0.4)  # a dead owner's claim is waited for
NAMES = ("newClientOrderId", "clientAlgoId", "orderLinkId")
# What a row is decided by; ids, times and the plan's code differ from run to run.
COLUMNS = (
    "symbol",
    "exchange",
    "side",
    "quantity",
    "status",
    "exit_reason",
    "has_stop_loss",
    "stop_loss_price",
)
ORDER = ("venue", "symbol", "side", "position_side", "qty", "trigger", "reduce_only")
CASES = {
    "rows_alone": (Mode.DUPLICATES, Scope(), ("backup written", "changing")),
    "with_orders": (Mode.UNPROTECTED, Scope("binance", "WLDUSDT"), ("stop intended", "stop sent")),
}


class World:
    """The demo world, put back to its beginning before each run."""

    def __init__(self, bench, dsn, base_url, book):
        self.bench, self.dsn, self.base_url, self.book = bench, dsn, base_url, book

    @classmethod
    async def of(cls, bench, dsn, base_url):
        await bench.do("CREATE TABLE kept AS SELECT * FROM monitoring.positions")
        book = await bench.control.book()
        return cls(bench, dsn, base_url, {kind: book[kind] for kind in ("positions", "orders", "fills")})

    async def again(self):
        """Rows and book as they were."""
        async with self.bench.db.transaction() as connection:
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute("DELETE FROM monitoring.positions")
            await connection.execute(
                "INSERT INTO monitoring.positions OVERRIDING SYSTEM VALUE SELECT * FROM kept"
            )
        for venue in VENUES:  # a part at a time: what is sent at once is small
            rows = {kind: [r for r in held if r["venue"] == venue] for kind, held in self.book.items()}
            await self.bench.control.load(replace=True, **rows)

    async def end(self):
        """Everything that a cleanup may change: rows, positions, live orders."""
        rows = [tuple(row.get(name) for name in COLUMNS) for row in (await self.bench.rows()).values()]
        book = await self.bench.control.book()
        held = sorted((p["venue"], p["symbol"], p["amount"]) for p in book["positions"] if float(p["amount"]))
        live = Counter(
            tuple(str(o.get(name)) for name in ORDER)
            for o in book["orders"]
            if o.get("status", "new") in {"new", "partial", "untriggered"}
        )
        return rows, held, live

    async def killed(self, code, step):
        """Applies in a child that SIGKILLs itself at the n-th coming of a checkpoint; whether it came there."""
        name, nth = step

        async def work():
            left = nth

            async def die(at):
                nonlocal left
                left -= at == name
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            async with AsyncExitStack() as stack:
                db = await stack.enter_async_context(await Database.open(self.dsn))
                readers = [await stack.enter_async_context(gateway(e, self.base_url)) for e in VENUES]
                traders = [await stack.enter_async_context(trader(e, self.base_url)) for e in VENUES]
                bench = Bench(db, None, readers, traders, self.bench.folder, QUICK)
                await bench.apply(code, pace=PACE, checkpoint=die)

        child = in_child(work)
        await asyncio.to_thread(child.join)
        assert child.exitcode in {0, -signal.SIGKILL}, child.exitcode
        return child.exitcode == -signal.SIGKILL

    async def taken_up(self, code):
        """Another owner finishes the plan."""
        with contextlib.suppress(RefusedError):  # where it died with nothing left to do
            await self.bench.apply(code, pace=PACE)
        return await self.told(code)

    async def told(self, code):
        """The plan as it is on record."""
        async with self.bench.db.connection() as connection:
            return await plans.by_code(connection, code)

    async def sent(self, since):
        """How often each client id was sent."""
        requests = [r["params"] for r in (await self.bench.posts())[since:]]
        return Counter(str(params[name]) for params in requests for name in NAMES if params.get(name))


async def steps_of(world, mode, scope):
    """Every checkpoint of an undisturbed run, and the state it ends in."""
    seen, steps = Counter(), []

    async def note(name):
        seen[name] += 1
        steps.append((name, seen[name]))

    stored = await world.bench.plan(mode, scope=scope)
    done = await world.bench.apply(stored.code, checkpoint=note)
    assert done.state is PlanState.APPLIED, [(o.number, o.state, o.reason) for o in done.lines]
    return steps, await world.end()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES)
async def test_killed_and_taken_up_by_another(demo, empty_dsn, simulator, case, long, seed, figure):
    mode, scope, sure = CASES[case]
    if long and case == "with_orders":
        mode, scope = Mode.ALL, Scope()
    world = await World.of(demo, empty_dsn, simulator.base_url)
    every, wanted = await steps_of(world, mode, scope)
    picked = every if long else [(name, 1) for name in sure] + random.Random(seed).sample(every, 1)
    wrong = []
    for step in picked:
        await world.again()
        stored = await demo.plan(mode, scope=scope)
        assert stored.plan.lines, (stored.plan.left_out, stored.plan.inconclusive)
        before = len(await demo.posts())
        assert await world.killed(stored.code, step), (
            step,
            [(o.state, o.reason) for o in (await world.told(stored.code)).lines],
        )
        done = await world.taken_up(stored.code)
        sent = await world.sent(before)
        if {one.state for one in done.lines} != {LineState.DONE} or not all(
            one.verified for one in done.lines
        ):
            wrong.append((step, [(o.number, o.state, o.verified, o.reason) for o in done.lines]))
        elif await world.end() != wanted:
            wrong.append((step, "another end state"))
        elif [name for name, times in sent.items() if times > 1]:
            wrong.append((step, sent))
    figure(f"cleanup killed and taken up, {case}", len(picked), len(wrong), f"{len(every)} steps")
    assert not wrong, wrong[:3]
