"""Recovery and the synchroniser: owners that die at every step, positions nobody owns, stops that vanish."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
import pytest_asyncio

from posguard.model.managed import client_id
from posguard.simulator import actions
from posguard.trading import Result
from tests.fixtures.core import desk_of
from tests.fixtures.gateways import VENUES

pytestmark = pytest.mark.postgres
ONE = Decimal("0.01")


class OwnerDiedError(BaseException):
    """A kill -9, as far as one task goes: no handler of the core's catches it."""


@pytest_asyncio.fixture(params=VENUES)
async def desk(request, sim, core_dsn):
    async with desk_of(request.param, sim, core_dsn) as found:
        yield found


def dying(at, times=1):
    """A checkpoint that kills its owner at a step's nth time."""
    seen = []

    async def checkpoint(name):
        if name == at:
            seen.append(name)
            if len(seen) == times:
                raise OwnerDiedError(at)

    return checkpoint


STEPS = [
    "before insert", "after insert", "before submitting", "after submitting", "before send entry", "after send entry",
    "before entry_placed", "after entry_placed", "before pending_sl", "after pending_sl", "before send stop",
    "after send stop", "before find", "before active", "after active",
]  # fmt: skip


def act(desk, do, **row):
    return actions.act(desk.sim.book, {"do": do, "venue": desk.exchange, "symbol": "BTCUSDT", **row})


def assert_sound(desk):
    """One open row at most, for exactly what the venue holds, with one stop that covers it."""
    rows = [r for r in desk.rows() if r["status"] not in {"closed", "failed", "rolled_back", "canceled"}]
    held = desk.held()
    assert [r["quantity"] for r in rows] == ([abs(held)] if held else [])
    assert all(r["status"] == "active" for r in rows)
    assert sum(o.qty for o in desk.live()) == abs(held)
    assert [r["stop_loss_order_id"] for r in rows] == [o.id for o in desk.live()]
    entries = [o.client_id for o in desk.orders() if o.client_id.endswith("-e1")]
    assert len(set(entries)) == len(entries), "each request's entry goes out once"


@pytest.mark.parametrize("step", STEPS)
async def test_an_owner_dies_at_a_step_and_another_takes_over(desk, step):
    dead = desk.another(checkpoint=dying(step))
    with pytest.raises(OwnerDiedError):
        await dead.open(desk.request("dies"))
    assert (await desk.core.recover()).recovered == (), "not before lease and T are over"
    desk.later()
    await desk.core.recover()
    assert_sound(desk)
    again = await desk.core.open(desk.request("dies"))
    opened = bool(desk.held())
    sent = step not in STEPS[: STEPS.index("after send entry")]
    assert opened is sent or step == "before insert"
    assert again.result is (Result.ACTIVE if opened else Result.FAILED)
    if not opened:
        assert (await desk.core.open(desk.request("anew"))).result is Result.ACTIVE
        assert_sound(desk)


async def test_an_external_position_is_adopted_with_a_stop(desk):
    act(desk, "trade", delta="0.02")
    done = await desk.core.synchronise()
    (row,) = desk.rows()
    assert done.adopted == (row["id"],)
    assert (row["status"], row["origin"], row["quantity"]) == ("active", "sync", Decimal("0.02"))
    assert_sound(desk)
    assert row["stop_loss_price"] == Decimal(57000)
    assert desk.gaps() == [(row["id"], True)]
    assert (await desk.core.synchronise()).adopted == ()
    assert len(desk.rows()) == 1
    assert (await desk.core.open(desk.request())).result is Result.EXISTING


async def test_an_adopted_position_keeps_clear_of_todays_price(desk):
    act(desk, "trade", delta="0.02")
    act(desk, "price", last="50000")
    await desk.core.synchronise()
    assert_sound(desk)
    assert desk.rows()[0]["stop_loss_price"] == Decimal(47500)
    assert desk.held() == Decimal("0.02")


async def test_an_adopted_position_keeps_the_stop_that_stands(desk):
    await desk.gateway.market("BTCUSDT")
    act(desk, "trade", delta="0.02")
    from posguard.model.position import Side
    from posguard.trading.permit import Permit, permitted

    with permitted(Permit(1.0, lambda: 0.0, lambda: "")):
        stop = await desk.gateway.place_stop(
            "BTCUSDT", Side.LONG, Decimal("0.02"), Decimal(58000), client_order_id="by-hand"
        )
    await desk.core.synchronise()
    (row,) = desk.rows()
    assert (row["stop_loss_order_id"], row["stop_loss_price"]) == (stop.order_id, Decimal(58000))
    assert_sound(desk)


async def test_what_an_ignore_rule_names_is_left_alone(desk):
    act(desk, "trade", delta="0.02")
    desk.do(
        "INSERT INTO posguard.ignore_rules (exchange, symbol, reason, created_by) VALUES (%s, 'BTCUSDT', 'by hand', 'me')",
        desk.exchange,
    )
    assert (await desk.core.synchronise()).adopted == ()
    assert desk.rows() == []
    assert desk.live() == []


async def test_a_row_of_the_old_code_keeps_its_key(desk):
    act(desk, "trade", delta="0.02")
    desk.do(
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
        " VALUES ('BTC/USDT:USDT', %s, 'long', 0.02, 60000, 'entry_placed')",
        desk.exchange,
    )
    assert (await desk.core.synchronise()).adopted == ()
    assert len(desk.rows()) == 1


async def test_the_synchroniser_does_not_race_a_signal(desk):
    """Incident 1: the position shows on the venue while the signal's row is on its way."""
    gate, reached = asyncio.Event(), asyncio.Event()

    async def checkpoint(name):
        if name == "before entry_placed":
            reached.set()
            await gate.wait()

    slow = desk.another(checkpoint=checkpoint)
    opening = asyncio.create_task(slow.open(desk.request()))
    await reached.wait()
    assert desk.held() == ONE
    assert (await desk.core.synchronise()).adopted == ()
    assert len(desk.rows()) == 1
    gate.set()
    assert (await opening).result is Result.ACTIVE
    assert_sound(desk)


async def test_what_ended_between_the_looks_and_the_insert_is_not_adopted(desk):
    opened = await desk.core.open(desk.request())
    closing = desk.another()

    async def checkpoint(name):
        if name == "before adopt":
            raise AssertionError(name)
        if name == "before snapshot" and not closed:
            closed.append(await closing.close(opened.position_id, "in between"))

    closed = []
    await desk.another(checkpoint=checkpoint).synchronise()
    assert [one.result for one in closed] == [Result.CLOSED]
    assert len(desk.rows()) == 1
    assert_sound(desk)


async def test_a_position_closed_after_the_looks_is_refused_by_the_database(desk):
    act(desk, "trade", delta="0.02")

    async def checkpoint(name):
        if name == "before adopt":
            act(desk, "close")
            desk.do(
                "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, closed_at)"
                " VALUES ('BTCUSDT', %s, 'long', 0.02, 60000, 'closed', now())",
                desk.exchange,
            )

    assert (await desk.another(checkpoint=checkpoint).synchronise()).adopted == ()
    assert [r["status"] for r in desk.rows()] == ["closed"]


async def test_a_stop_that_was_taken_away_is_put_back(desk):
    opened = await desk.core.open(desk.request())
    order = desk.live()[0]
    actions.act(
        desk.sim.book, {"do": "end_stop", "venue": desk.exchange, "order_id": order.id, "how": "expired"}
    )
    assert desk.live() == []
    done = await desk.core.synchronise()
    assert done.protected == (opened.position_id,)
    assert_sound(desk)
    assert desk.gaps() == [(opened.position_id, True)] * 2
    assert desk.row(opened.position_id)["stop_client_id"] != client_id("", "s", 1)


async def test_a_fired_stop_closes_the_row(desk):
    opened = await desk.core.open(desk.request())
    act(desk, "price", last="50000")
    assert desk.held() == 0
    done = await desk.core.synchronise()
    assert done.closed == (opened.position_id,), done
    row = desk.row(opened.position_id)
    assert (row["status"], row["exit_reason"]) == ("closed", "stop_loss")
    assert_sound(desk)


async def test_a_position_closed_by_hand_closes_the_row_and_takes_its_stop_along(desk):
    opened = await desk.core.open(desk.request())
    act(desk, "close")
    assert len(desk.live()) == 1
    done = await desk.core.synchronise()
    assert done.closed == (opened.position_id,), (done, desk.row(opened.position_id))
    assert desk.row(opened.position_id)["exit_reason"] == "closed on the venue"
    assert_sound(desk)


async def test_absence_without_evidence_is_flagged_and_not_closed(desk):
    opened = await desk.core.open(desk.request())
    account = desk.sim.book.account(desk.exchange)
    account.positions.clear()
    done = await desk.core.synchronise()
    assert done.flagged == (opened.position_id,)
    assert desk.row(opened.position_id)["status"] == "active"
    assert desk.outbox() == ["needs_attention"]
    assert len(desk.live()) == 1, "nothing proves it flat, so its stop stays"
    await desk.core.synchronise()
    assert desk.outbox() == ["needs_attention"], "told once"


async def test_a_position_that_grew_by_hand_is_covered_as_a_whole(desk):
    opened = await desk.core.open(desk.request())
    act(desk, "trade", delta="0.02")
    await desk.core.synchronise()
    assert desk.row(opened.position_id)["quantity"] == Decimal("0.03")
    await desk.core.synchronise()
    assert_sound(desk)


async def test_an_incomplete_venue_is_left_as_it_is(desk):
    act(desk, "trade", delta="0.02")
    desk.strike("", kind="html", method="GET", count=None)
    done = await desk.core.synchronise()
    assert done.adopted == ()
    assert done.inconclusive[0].startswith(desk.exchange)
    assert desk.rows() == []


async def test_an_orphaned_stop_of_ours_is_removed(desk):
    opened = await desk.core.open(desk.request())
    act(desk, "close")
    desk.do("UPDATE monitoring.positions SET status = 'closed' WHERE id = %s", opened.position_id)
    assert len(desk.live()) == 1
    await desk.core.synchronise()
    assert desk.live() == []
