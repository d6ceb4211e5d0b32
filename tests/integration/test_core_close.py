"""Closing and moving stops by the core: what is owned and no more, flat proven before a stop goes, no unprotected instant."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from posguard.errors import InputError
from posguard.simulator import actions
from posguard.trading import Result
from tests.fixtures.core import ENTRY_PATH, STOP_PATH, STOP_REFUSED, desk_of, quick
from tests.fixtures.gateways import VENUES
from tests.integration.test_core_recovery import OwnerDiedError, assert_sound, dying

pytestmark = pytest.mark.postgres
ONE = Decimal("0.01")
NEARER = Decimal(58000)


@pytest_asyncio.fixture(params=VENUES)
async def desk(request, sim, core_dsn):
    async with desk_of(request.param, sim, core_dsn) as found:
        yield found


def act(desk, do, **row):
    return actions.act(desk.sim.book, {"do": do, "venue": desk.exchange, "symbol": "BTCUSDT", **row})


async def opened(desk, **values):
    found = await desk.core.open(desk.request(**values))
    assert found.result is Result.ACTIVE, found
    return found.position_id


async def test_a_close_ends_flat_and_takes_the_stop_along(desk):
    number = await opened(desk)
    done = await desk.core.close(number, "target reached")
    assert done.result is Result.CLOSED, done
    assert desk.path(number)[-2:] == ["closing", "closed"]
    assert desk.row(number)["exit_reason"] == "target reached"
    assert desk.row(number)["closed_at"] is not None
    assert desk.held() == 0
    assert desk.live() == []
    assert desk.gaps() == [(number, True)], "protected until it was flat"


async def test_a_close_never_takes_more_than_the_row_owns(desk):
    number = await opened(desk)
    act(desk, "trade", delta="0.02")
    done = await desk.core.close(number, "ours only")
    assert done.result is Result.CLOSED, done
    assert desk.held() == Decimal("0.02")
    assert len(desk.live()) == 1, "what is left keeps a stop until the synchroniser has given it its own"
    await desk.core.synchronise()
    assert [r["status"] for r in desk.rows()] == ["closed", "active"]


@pytest.mark.parametrize("kind", ["timeout", "reset"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_close_that_nobody_knows_of_is_settled_by_evidence(desk, kind, when):
    number = await opened(desk)
    desk.strike(ENTRY_PATH[desk.exchange], kind=kind, method="POST", when=when, count=1)
    done = await desk.core.close(number, "unknown")
    assert done.result is Result.CLOSED, done
    assert desk.outbox() == ["close_unknown"]
    assert "unresolved" in desk.path(number)
    assert desk.held() == 0
    assert desk.live() == []
    closes = [o for o in desk.sent("c") if o.filled]
    assert len(closes) == 1, "closed once"


async def test_a_close_that_stays_unknown_is_never_called_closed(desk):
    number = await opened(desk)
    desk.strike(ENTRY_PATH[desk.exchange], kind="timeout", method="POST", when="after", count=1)
    await desk.gateway.market("BTCUSDT")
    desk.strike("", kind="html", method="GET", count=None)
    done = await desk.core.close(number, "blind")
    assert done.result is Result.UNRESOLVED, done
    assert done.needs_attention
    assert desk.outbox() == ["close_unknown", "needs_attention"]
    assert (await desk.core.open(desk.request())).result is Result.EXISTING, "the key is blocked"
    desk.sim.plan.clear()
    desk.later()
    await desk.core.recover()
    assert desk.row(number)["status"] == "closed"
    assert desk.live() == []


async def test_a_partly_filled_close_goes_on_with_the_rest(desk):
    number = await opened(desk)
    desk.strike(ENTRY_PATH[desk.exchange], kind="partial_fill", ratio="0.4", method="POST", count=1)
    done = await desk.core.close(number, "in two")
    assert done.result is Result.CLOSED, done
    assert desk.held() == 0
    assert [o.filled for o in desk.sent("c")] == [Decimal("0.004"), Decimal("0.006")]


async def test_a_stop_that_fires_before_the_close_ends_the_row(desk):
    number = await opened(desk)
    act(desk, "fire_stop")
    done = await desk.core.close(number, "too late")
    assert done.result is Result.CLOSED, done
    assert desk.held() == 0
    assert desk.live() == []


async def test_a_close_waits_for_who_works_on_the_row_and_says_so(desk):
    number = await opened(desk)
    desk.do("UPDATE monitoring.positions SET lease_owner = 'x', lease_until = now() + interval '1 hour'")
    done = await desk.core.close(number, "busy")
    assert done.result is Result.PENDING
    assert desk.held() == ONE
    assert (await desk.core.close(987654, "none")).result is Result.REFUSED


async def test_a_stop_is_moved_without_an_unprotected_instant(desk):
    number = await opened(desk)
    seen = []

    async def watch(name):
        if name.startswith(("before", "after")):
            seen.append(sum(o.qty for o in desk.live()))

    done = await desk.another(checkpoint=watch).move_stop(number, NEARER)
    assert (done.result, done.stop_price) == (Result.ACTIVE, NEARER)
    assert min(seen) >= ONE
    assert max(seen) == 2 * ONE, "the new one stood before the old one went"
    assert [o.trigger for o in desk.live()] == [NEARER]
    assert_sound(desk)
    assert "pending_sl" not in desk.path(number)[5:]
    assert desk.gaps() == [(number, True)]
    again = await desk.core.move_stop(number, Decimal(59000))
    assert again.stop_price == Decimal(59000)
    assert_sound(desk)


async def test_a_stop_that_cannot_be_moved_stays(desk):
    number = await opened(desk)
    before = desk.row(number)["stop_client_id"]
    desk.strike(STOP_PATH[desk.exchange], kind="refuse", code=STOP_REFUSED[desk.exchange], method="POST")
    done = await desk.core.move_stop(number, NEARER)
    assert (done.result, done.stop_price) == (Result.ACTIVE, Decimal(57000))
    assert desk.row(number)["stop_client_id"] == before
    assert_sound(desk)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_moved_stop_that_nobody_knows_of(desk, when):
    number = await opened(desk)
    desk.strike(STOP_PATH[desk.exchange], kind="timeout", method="POST", when=when, count=1)
    done = await desk.core.move_stop(number, NEARER)
    assert done.stop_price == (NEARER if when == "after" else Decimal(57000)), done
    assert_sound(desk)


@pytest.mark.parametrize(
    "step", ["before active", "after active", "before send stop", "after send stop", "before find", "before cancel",
             "after cancel"],
)  # fmt: skip
async def test_an_owner_dies_while_it_moves_a_stop(desk, step):
    number = await opened(desk)
    with pytest.raises(OwnerDiedError):
        await desk.another(checkpoint=dying(step)).move_stop(number, NEARER)
    assert sum(o.qty for o in desk.live()) >= ONE
    desk.later()
    await desk.core.recover()
    assert_sound(desk)


@pytest.mark.parametrize(
    "step", ["before closing", "after closing", "before send close", "after send close", "before snapshot",
             "before cancel", "after cancel", "before closed", "after closed"],
)  # fmt: skip
async def test_an_owner_dies_while_it_closes(desk, step):
    number = await opened(desk)
    with pytest.raises(OwnerDiedError):
        await desk.another(checkpoint=dying(step)).close(number, "dies")
    desk.later()
    await desk.core.recover()
    wanted = "active" if step == "before closing" else "closed"
    assert desk.row(number)["status"] == wanted
    assert desk.held() == (ONE if wanted == "active" else 0)
    assert_sound(desk)
    assert len([o for o in desk.sent("c") if o.filled]) <= 1


@pytest.mark.parametrize("trigger", [Decimal(-1), Decimal("NaN"), 57000.5])
async def test_a_trigger_that_is_no_price_is_refused(desk, trigger):
    number = await opened(desk)
    with pytest.raises(InputError, match="^trigger: "):
        await desk.core.move_stop(number, trigger)


async def test_a_stop_that_the_venue_does_not_cancel_is_told_of_and_not_asked_for_ever(desk):
    number = await opened(desk)
    path = {"binance": ("/fapi/v1/algoOrder", "DELETE"), "bybit": ("/v5/order/cancel", "POST")}[desk.exchange]
    code = {"binance": -1001, "bybit": 10016}[desk.exchange]
    desk.strike(path[0], kind="refuse", method=path[1], code=code, count=None)
    closing = desk.another(
        settings=quick(patience=timedelta(seconds=0.6), retry_pause=timedelta(seconds=0.1))
    )
    done = await closing.close(number, "the target")
    assert (done.result, done.needs_attention) == (Result.UNRESOLVED, True), done
    assert desk.held() == 0
    asked = [one for one in desk.sim.log.rows(0) if (one["path"], one["method"]) == path]
    assert 1 < len(asked) < 10, len(asked)
    assert desk.outbox() == ["close_unknown", "needs_attention"]
    desk.sim.plan.clear()
    desk.later()
    await desk.core.recover()
    assert desk.row(number)["status"] == "closed"
    assert_sound(desk)


async def test_close_and_signal_and_synchroniser_at_once(desk):
    number = await opened(desk)
    await asyncio.gather(
        desk.core.close(number, "one"),
        desk.another().close(number, "two"),
        desk.another().synchronise(),
        desk.another().open(desk.request()),
    )
    desk.later()
    await desk.core.recover()
    await desk.core.synchronise()
    assert_sound(desk)
