"""Applying that is killed at each step, and venues that misbehave during it: nothing twice, nothing ended that the venue does not bear out."""

from __future__ import annotations

from collections import Counter

import pytest

from posguard.model.plan import Choice, LineState, Mode, PlanState
from posguard.model.position import TERMINAL
from posguard.model.scope import Scope
from posguard.postgres import plans

pytestmark = pytest.mark.postgres

ORDERS = {"binance": "/fapi/v1/order", "bybit": "/v5/order/create"}
STOPS = {"binance": "/fapi/v1/algoOrder", "bybit": "/v5/order/create"}
NAKED = {"binance": "WLDUSDT", "bybit": "GRTUSDT"}
EXTERNAL = {"binance": "SEIUSDT", "bybit": "SANDUSDT"}
THROUGH = {"binance": {"code": -2021, "message": "Order would immediately trigger."},
           "bybit": {"code": 110092, "message": "expect Rising"}}  # fmt: skip


class DiedError(BaseException):
    """The process ends here: nothing after it runs, what was committed stays."""


def dying(*, seen, each=False):
    """A checkpoint that dies where it has not died before; each: at every step of every line, not once for each name."""
    count = Counter()

    async def at(name):
        count[name] += 1
        mark = (name, count[name]) if each else name
        if mark not in seen:
            seen.add(mark)
            raise DiedError(name)

    return at


async def applied_through_deaths(demo, code, *, each=False, **more):
    """Applies a plan again and again by the same owner, until a run lives through it."""
    seen = set()
    while True:
        try:
            return await demo.apply(code, owner="one", checkpoint=dying(seen=seen, each=each), **more), seen
        except DiedError as died:
            if str(died) == "finished":  # nothing was left to do
                async with demo.db.connection() as connection:
                    return await plans.by_code(connection, code), seen


async def sent(demo, path=""):
    """The orders that reached a venue, by client id."""
    posts = [p for p in await demo.posts() if p["path"] in {*ORDERS.values(), *STOPS.values()}]
    return [p for p in posts if path in p["path"]]


async def alerts(demo):
    """Kind and key of every alert so far."""
    async with demo.db.connection() as connection:
        found = await connection.fetch("SELECT kind, key FROM posguard.alert_outbox ORDER BY id")
    return [(row["kind"], row["key"].split(":", 1)[1]) for row in found]


async def test_killed_at_every_step_it_ends_as_if_it_had_not_been(demo):
    stored = await demo.plan(Mode.ALL, choice=Choice.ADOPT)
    before = await demo.found()
    done, seen = await applied_through_deaths(demo, stored.code)
    assert {"started", "backup written", "claimed", "decided", "stop intended", "stop sent", "cancel sent", "changing",
            "changed", "verified", "finished"} <= seen  # fmt: skip
    assert done.state is PlanState.APPLIED, [(o.number, o.state, o.reason) for o in done.lines]
    assert all(one.verified for one in done.lines)
    assert not await demo.found() - before
    async with demo.db.connection() as connection:
        record = await plans.actions_of(connection, done.id)
    changed = Counter(a["line_id"] for a in record if a["event"] == "changed")
    assert set(changed.values()) == {1}
    assert Counter(a["event"] for a in record)["finished"] == 1
    assert (await demo.control.violations()) == [v for v in await demo.control.violations() if "UNIUSDT" in v]
    stops = [
        o for o in (await demo.control.book())["orders"] if str(o.get("client_id", "")).startswith("pg-")
    ]
    live = Counter(
        (o["venue"], o["symbol"]) for o in stops if o.get("status", "new") in {"new", "untriggered"}
    )
    assert not [key for key, times in live.items() if times > 1], "one stop for each position"


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
@pytest.mark.parametrize(
    "fault",
    [{"kind": "timeout", "when": "after"}, {"kind": "status", "status": 502, "when": "after"}],
    ids=str,
)
async def test_executed_and_then_silent_is_looked_up_and_never_sent_again(demo, exchange, fault):
    scope = Scope(exchange, EXTERNAL[exchange])
    closing = await demo.plan(Mode.ORPHANED_EX, choice=Choice.CLOSE, scope=scope)
    await demo.control.fault(venue=exchange, path=ORDERS[exchange], method="POST", count=1, **fault)
    done = await demo.apply(closing.code)
    assert done.state is PlanState.APPLIED, done.lines
    assert len(await sent(demo)) == 1 if exchange == "binance" else len(await sent(demo)) >= 1
    scope = Scope(exchange, NAKED[exchange])
    protecting = await demo.plan(Mode.UNPROTECTED, scope=scope)
    before = len(await sent(demo))
    await demo.control.fault(venue=exchange, path=STOPS[exchange], method="POST", count=1, **fault)
    done = await demo.apply(protecting.code)
    assert done.state is PlanState.APPLIED, done.lines
    assert len(await sent(demo)) == before + 1


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
async def test_a_stop_whose_price_is_through_closes_the_position_as_the_plan_said(demo, exchange):
    stored = await demo.plan(Mode.UNPROTECTED, scope=Scope(exchange, NAKED[exchange]))
    (line,) = stored.plan.lines
    await demo.control.fault(
        "refuse", venue=exchange, path=STOPS[exchange], method="POST", count=1, **THROUGH[exchange]
    )
    done = await demo.apply(stored.code)
    assert done.state is PlanState.APPLIED, done.lines
    row = (await demo.rows(f"id = {line.row.id}"))[line.row.id]
    assert (row["status"], row["exit_reason"]) == ("closed", "closed by cleanup: no stop could be placed")


async def test_a_refusal_for_another_reason_closes_nothing(demo):
    stored = await demo.plan(Mode.UNPROTECTED, scope=Scope("binance", "WLDUSDT"))
    rows = await demo.rows()
    await demo.control.fault(
        "refuse", venue="binance", path=STOPS["binance"], method="POST", code=-4003, message="no"
    )
    done = await demo.apply(stored.code)
    assert (done.state, done.lines[0].state) == (PlanState.PARTLY, LineState.FAILED)
    assert await demo.rows() == rows
    assert [p["path"] for p in await sent(demo)] == [STOPS["binance"]]
    assert await alerts(demo) == [("cleanup_failed", f"{stored.code}:1")], "it is still without a stop"


async def test_a_line_that_fails_behind_its_orders_alerts_with_the_line_s_end(demo):
    """The position is closed, and the row moved meanwhile: a person hears of it, in the transaction that ends the line."""
    stored = await demo.plan(Mode.INCOMPLETE, scope=Scope("binance", "TIAUSDT"))
    (line,) = stored.plan.lines
    times = []

    async def meddle(name):
        if name == "close sent":
            await demo.do(
                "UPDATE monitoring.positions SET quantity = quantity + 1 WHERE id = $1", line.row.id
            )
        if name == "changing":
            times.append(await alerts(demo))

    done = await demo.apply(stored.code, checkpoint=meddle)
    (one,) = done.lines
    assert (one.state, "orders are done" in one.reason) == (LineState.FAILED, True), one
    assert times == [[]], "not before the line's end is committed"
    assert await alerts(demo) == [("cleanup_failed", f"{stored.code}:1")]


async def test_what_is_never_known_stays_unresolved_with_an_alert_and_is_settled_later(demo):
    stored = await demo.plan(Mode.INCOMPLETE, scope=Scope("binance", "TIAUSDT"))
    rows = await demo.rows()
    await demo.control.fault(
        "timeout", venue="binance", path=ORDERS["binance"], method="POST", when="after", count=1
    )
    blind = await demo.control.fault(
        "html", venue="binance", path=ORDERS["binance"], method="GET", count=1000
    )
    done = await demo.apply(stored.code)
    (one,) = done.lines
    assert (done.state, one.state) == (PlanState.APPLYING, LineState.UNRESOLVED)
    assert await demo.rows() == rows, "no terminal status while the outcome is unknown"
    assert await demo.one("SELECT count(*) FROM posguard.alert_outbox WHERE kind = 'cleanup_unresolved'") == 1
    await demo.control.clear_faults(blind)
    done = await demo.apply(stored.code)
    assert done.state is PlanState.APPLIED, done.lines
    assert len([p for p in await sent(demo) if p["method"] == "POST"]) == 1


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
async def test_an_empty_list_ends_nothing(demo, exchange):
    """The venue seems flat for a moment, while the plan is carried out: no row is called closed for that."""
    stored = await demo.plan(Mode.ALL, scope=Scope(exchange))
    path = {"binance": "/fapi/v3/positionRisk", "bybit": "/v5/position/list"}[exchange]
    rows = await demo.rows()

    async def lie(name):
        if name == "backup noted":
            await demo.control.fault("empty_list", venue=exchange, path=path, count=1000)

    done = await demo.apply(stored.code, checkpoint=lie)
    gone = {o.line.row.id for o in done.lines if o.line.row and o.line.action in {"close_row", "fail_row"}}
    for number, row in (await demo.rows()).items():
        if row != rows.get(number):
            assert number in gone, "only what was proven gone before may end"
            assert row["status"] in TERMINAL


async def test_the_kill_switch_holds_every_order_back(demo):
    await demo.do("UPDATE posguard.kill_switch SET engaged = true, reason = 'testing'")
    stored = await demo.plan(Mode.ZOMBIES)
    done = await demo.apply(stored.code)
    assert {one.state for one in done.lines} == {LineState.SKIPPED}
    assert all("kill switch is engaged (testing)" in one.reason for one in done.lines)
    assert not [
        p for p in await demo.posts() if p["method"] in {"POST", "DELETE"} and "order" in p["path"].lower()
    ]


async def test_a_plan_without_orders_needs_no_trade_key(demo):
    stored = await demo.plan(Mode.DUPLICATES)
    demo.traders = ()
    assert (await demo.apply(stored.code)).state is PlanState.APPLIED
