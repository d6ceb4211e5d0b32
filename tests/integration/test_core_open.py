"""Opening by the core against real PostgreSQL and the simulator: the plain way, refusals, faults, both venues."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio

from posguard.errors import InputError
from posguard.model.position import PositionSide, Side
from posguard.simulator import documents, orders
from posguard.trading import Result
from tests.fixtures.core import ENTRY_PATH, STOP_PATH, STOP_REFUSED, desk_of, quick
from tests.fixtures.gateways import VENUES

pytestmark = pytest.mark.postgres
ONE = Decimal("0.01")
WAY = ["pending_entry", "submitting", "entry_placed", "pending_sl", "active"]


@pytest_asyncio.fixture(params=VENUES)
async def desk(request, sim, core_dsn):
    async with desk_of(request.param, sim, core_dsn) as found:
        yield found


@pytest.mark.parametrize("side", [Side.LONG, Side.SHORT])
async def test_an_open_ends_active_and_protected(desk, side):
    opened = await desk.core.open(desk.request(side=side, signal_id=7))
    assert opened.result is Result.ACTIVE, opened
    assert (opened.quantity, opened.entry_price) == (ONE, Decimal(60000))
    stop = Decimal(57000) if side is Side.LONG else Decimal(63000)
    assert opened.stop_price == stop
    row = desk.row(opened.position_id)
    assert (row["status"], row["core_managed"], row["lease_owner"], row["signal_id"]) == (
        "active",
        True,
        None,
        7,
    )
    assert (row["has_stop_loss"], row["stop_loss_price"], row["unprotected_since"]) == (True, stop, None)
    assert desk.path(opened.position_id) == WAY
    (live,) = desk.live()
    assert (live.qty, live.trigger, live.reduce_only) == (ONE, stop, True)
    assert (live.id, live.client_id) == (row["stop_loss_order_id"], row["stop_client_id"])
    assert desk.held() == (ONE if side is Side.LONG else -ONE)
    assert desk.gaps() == [(opened.position_id, True)], "from fill to stop, and on record"
    assert desk.outbox() == []


async def test_a_request_key_names_one_attempt(desk):
    request = desk.request("once")
    first, second = await asyncio.gather(desk.core.open(request), desk.core.open(request))
    assert {first.position_id} == {second.position_id}
    assert sorted([first.repeated, second.repeated]) == [False, True]
    again = await desk.core.open(request)
    assert (again.result, again.position_id, again.repeated) == (Result.ACTIVE, first.position_id, True)
    assert desk.held() == ONE
    assert len(desk.rows()) == 1


async def test_two_signals_of_one_key_make_one_position(desk):
    found = await asyncio.gather(*(desk.core.open(desk.request()) for _ in range(8)))
    assert sorted(one.result for one in found) == [Result.ACTIVE] + [Result.EXISTING] * 7
    assert {one.position_id for one in found} == {desk.rows()[0]["id"]}
    assert desk.held() == ONE


async def test_a_refused_entry_fails_and_frees_the_key(desk):
    code = {"binance": -2019, "bybit": 110007}[desk.exchange]
    desk.strike(ENTRY_PATH[desk.exchange], kind="refuse", code=code, method="POST", count=1)
    opened = await desk.core.open(desk.request())
    assert opened.result is Result.FAILED
    assert "refused" in opened.reason
    assert desk.path(opened.position_id) == ["pending_entry", "submitting", "failed"]
    assert desk.held() == 0
    assert (await desk.core.open(desk.request())).result is Result.ACTIVE


async def test_a_partial_fill_is_protected_for_what_was_filled(desk):
    desk.strike(ENTRY_PATH[desk.exchange], kind="partial_fill", ratio="0.4", method="POST", count=1)
    opened = await desk.core.open(desk.request())
    part = Decimal("0.004")
    assert (opened.result, opened.quantity) == (Result.ACTIVE, part)
    assert desk.held() == part
    assert [o.qty for o in desk.live()] == [part]


@pytest.mark.parametrize("kind", ["timeout", "reset"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_unknown_entry_is_settled_by_evidence_and_never_sent_again(desk, kind, when):
    desk.strike(ENTRY_PATH[desk.exchange], kind=kind, method="POST", when=when, count=1)
    opened = await desk.core.open(desk.request())
    assert desk.outbox() == ["entry_unknown"]
    assert [alert.kind for alert in desk.alerts] == ["entry_unknown"]
    posted = [e for e in desk.sim.log.rows(0) if e["method"] == "POST" and e["path"] == ENTRY_PATH["binance"]]
    if when == "after":
        assert opened.result is Result.ACTIVE
        assert desk.held() == ONE
        assert desk.path(opened.position_id) == [
            "pending_entry", "submitting", "unresolved", "entry_placed", "pending_sl", "active"
        ]  # fmt: skip
    else:
        assert opened.result is Result.FAILED
        assert desk.held() == 0
        assert desk.path(opened.position_id)[-2:] == ["unresolved", "failed"]
    if desk.exchange == "binance":
        assert len(posted) == 1


async def test_an_entry_that_never_was_is_settled_beside_the_fills_of_others(desk):
    """Each of them bought in the same market within the two seconds before: another attempt, and on Binance a hand too."""
    before = await desk.core.open(desk.request())
    await desk.core.close(before.position_id, "the attempt before")
    if desk.exchange == "binance":  # Bybit tells no name of such an order, so it is nobody's
        account = desk.sim.book.account(desk.exchange)
        for delta in ("0.02", "-0.02"):
            orders.trade_by_hand(desk.sim.book, account, "BTCUSDT", "both", Decimal(delta))
    desk.strike(ENTRY_PATH[desk.exchange], kind="reset", method="POST", when="before", count=1)
    opened = await desk.core.open(desk.request())
    assert opened.result is Result.FAILED, opened
    assert opened.reason == "the venue knows neither order nor fill of it"
    assert (await desk.core.open(desk.request())).result is Result.ACTIVE, "the key is free"


async def test_a_fill_of_nobody_known_keeps_the_row_unresolved(desk, monkeypatch):
    """What a venue does not name is no evidence either way, but where another row has the order's id."""
    fills = desk.gateway.fills

    async def nameless(symbols, since):
        told = await fills(symbols, since)
        return replace(told, fills=tuple(replace(fill, client_order_id=None) for fill in told.fills))

    monkeypatch.setattr(desk.gateway, "fills", nameless)
    before = await desk.core.open(desk.request())
    await desk.core.close(before.position_id, "the attempt before")
    strike = {"kind": "reset", "method": "POST", "when": "before", "count": 1}
    desk.strike(ENTRY_PATH[desk.exchange], **strike)
    assert (await desk.core.open(desk.request())).result is Result.FAILED, "the fill is of the row before"
    desk.do("UPDATE monitoring.positions SET exchange_order_id = NULL WHERE core_managed")
    desk.strike(ENTRY_PATH[desk.exchange], **strike)
    opened = await desk.core.open(desk.request())
    assert opened.result is Result.UNRESOLVED, opened
    assert desk.row(opened.position_id)["needs_attention"]


async def test_a_stop_that_is_refused_is_sent_again_and_then_the_fill_is_closed(desk):
    desk.strike(
        STOP_PATH[desk.exchange],
        kind="refuse",
        code=STOP_REFUSED[desk.exchange],
        count=None,
        method="POST",
        **({} if desk.exchange == "binance" else {"parameters": {"triggerBy": "LastPrice"}}),
    )
    opened = await desk.core.open(desk.request())
    assert opened.result is Result.ROLLED_BACK, opened
    assert desk.held() == 0
    assert desk.live() == []
    row = desk.row(opened.position_id)
    assert row["exit_reason"].startswith("rolled back: the stop-loss was refused")
    assert desk.path(opened.position_id)[-2:] == ["closing", "rolled_back"]
    assert desk.gaps() == [(opened.position_id, True)]
    desk.sim.plan.clear()
    assert (await desk.core.open(desk.request())).result is Result.ACTIVE, "a new attempt succeeds"


async def test_the_kill_switch_holds_everything_back(desk):
    await desk.core.stop_all("a test")
    opened = await desk.core.open(desk.request())
    assert (opened.result, opened.position_id) == (Result.REFUSED, None)
    other = await desk.another().open(desk.request())
    assert other.result is Result.REFUSED
    assert desk.rows() == []
    assert desk.orders() == []
    await desk.core.resume()
    assert (await desk.core.open(desk.request())).result is Result.ACTIVE


async def test_the_kill_switch_stops_stops_and_closes_too_and_no_pass_rewrites_their_rows(desk):
    """ORD-12 stops all sends. What waits is told of once, stays as it is, and is done after `resume`, whoever says it."""
    closing = (
        await desk.core.open(desk.request(symbol="ETHUSDT", quantity=Decimal("0.1"), price=Decimal(2500)))
    ).position_id

    async def press(name):
        if name == "before pending_sl":
            await desk.another().stop_all("a test")

    naked = (await desk.another(checkpoint=press).open(desk.request())).position_id
    await desk.core.close(closing, "the target")
    frozen = "SELECT id, status, version, attempt, stop_client_id, needs_attention, updated_at FROM monitoring.positions ORDER BY id"
    before, told = desk.rows(frozen), desk.outbox()
    assert {(r["id"], r["status"], r["needs_attention"]) for r in before} == {
        (naked, "pending_sl", True),
        (closing, "closing", True),
    }
    records = len(desk.rows("SELECT FROM posguard.transitions"))
    orders = len(desk.orders())
    for _ in range(3):
        desk.later()
        await desk.core.recover()
        await desk.core.synchronise()
    assert desk.rows(frozen) == before
    assert (desk.outbox(), len(desk.rows("SELECT FROM posguard.transitions"))) == (told, records)
    assert len(desk.orders()) == orders, "nothing was sent"
    assert desk.gaps()[-1] == (naked, False), "the time without a stop goes on being counted"
    await desk.another().resume()
    desk.later()
    await desk.core.recover()
    assert [desk.row(n)["status"] for n in (naked, closing)] == ["active", "closed"]
    assert not any(row["needs_attention"] for row in desk.rows())


async def test_a_press_that_the_database_does_not_take_stops_this_process_all_the_same(desk):
    switch = desk.core._ports.switch
    asked = switch.asked()
    switch.pressed("a test")
    switch.told(asked, engaged=False)
    switch.told(switch.asked(), engaged=False)
    assert switch.engaged, "an answer that is older than the press, or beside it, releases nothing"
    assert (await desk.core.open(desk.request())).result is Result.REFUSED
    assert (desk.rows(), desk.orders()) == ([], [])
    await desk.core.resume()
    assert (await desk.core.open(desk.request())).result is Result.ACTIVE


def traded_by_hand(desk, amount):
    book = desk.sim.book
    orders.trade_by_hand(book, book.account(desk.exchange), "BTCUSDT", "both", Decimal(amount))


async def test_beside_an_external_position_only_the_own_fill_is_protected_and_closed(desk):
    """ORD-6: what was there before is not flattened."""
    traded_by_hand(desk, "0.5")
    opened = await desk.core.open(desk.request())
    assert (opened.result, opened.quantity) == (Result.ACTIVE, ONE)
    assert [o.qty for o in desk.live()] == [ONE]
    assert (await desk.core.rollback(opened.position_id, "a test")).result is Result.ROLLED_BACK
    assert desk.held() == Decimal("0.5")


async def test_a_core_that_refuses_external_positions_opens_beside_none(desk):
    core = desk.another(settings=quick(refuses_external=True))
    traded_by_hand(desk, "0.5")
    refused = await core.open(desk.request("first"))
    assert (refused.result, refused.position_id) == (Result.REFUSED, None)
    assert f"holds long 0.5 of BTCUSDT on {desk.exchange} that no open row owns" in refused.reason
    assert desk.rows() == []
    assert desk.sent("e") == []
    desk.strike("", kind="html", method="GET", count=None)
    assert "cannot be read" in (await core.open(desk.request())).reason
    desk.sim.plan.clear()
    await core.synchronise()
    assert (await core.open(desk.request())).result is Result.EXISTING, "the synchroniser has adopted it"
    traded_by_hand(desk, "-0.5")
    await core.synchronise()
    opened = await core.open(desk.request("first"))
    assert (opened.result, opened.repeated) == (Result.ACTIVE, False), opened
    assert (await core.open(desk.request("first"))).repeated


async def test_rollback_closes_what_the_row_owns(desk):
    opened = await desk.core.open(desk.request())
    done = await desk.core.rollback(opened.position_id, "the signal was wrong")
    assert done.result is Result.ROLLED_BACK, done
    assert desk.held() == 0
    assert desk.live() == []
    assert desk.row(opened.position_id)["exit_reason"] == "rolled back: the signal was wrong"
    again = await desk.core.rollback(opened.position_id, "twice")
    assert again.result is Result.ROLLED_BACK


BAD = {
    "quantity": [{"quantity": Decimal(-1)}, {"quantity": Decimal(0)}, {"quantity": Decimal("NaN")}, {"quantity": 0.01},
                 {"quantity": Decimal("0.0005")}, {"quantity": Decimal("0.001"), "price": Decimal(1)}],
    "exchange": [{"exchange": "mtgox"}, {"account": "nobody"}],
    "symbol": [{"symbol": "NOPEUSDT"}, {"symbol": ""}, {"symbol": "X" * 21}],
    "price": [{"price": Decimal(-1)}, {"price": None}],
    "stop_price": [{"stop_price": Decimal(61000), "stop_percent": None}, {"stop_price": Decimal(0), "stop_percent": None},
                   {"stop_price": Decimal(59000), "stop_percent": None, "side": Side.SHORT}],
    "stop_percent": [{"stop_percent": Decimal(100)}, {"stop_percent": Decimal(-2)}, {"stop_price": Decimal(57000)}],
    "side": [{"side": "up"}],
    "position_side": [{"position_side": "short"}, {"position_side": "left"}],
    "request_key": [{"request_key": ""}, {"request_key": "a b"}, {"request_key": "x" * 201}],
}  # fmt: skip


async def test_bad_input_is_refused_before_anything_is_written(desk):
    for field, cases in BAD.items():
        for case in cases:
            with pytest.raises(InputError) as refused:
                await desk.core.open(replace(desk.request(), **case))
            assert refused.value.field == field, case
            assert str(refused.value).startswith(f"{field}: "), case
            assert "Nothing was written or sent." in str(refused.value)
    assert desk.rows() == []
    assert desk.orders() == []


async def test_a_quantity_is_cut_down_to_the_lot_step_and_a_symbol_is_spelled_anyhow(desk):
    opened = await desk.core.open(desk.request(symbol="btc-usdt", quantity=Decimal("0.0109")))
    assert (opened.result, opened.quantity) == (Result.ACTIVE, ONE)
    assert desk.row(opened.position_id)["symbol"] == "BTCUSDT"


async def test_a_hedged_account_holds_both_legs(sim, core_dsn):
    documents.load(sim.book, {"accounts": [{"venue": "bybit", "name": "main", "hedged": True}]})
    async with desk_of("bybit", sim, core_dsn) as desk:
        desk.do("DROP INDEX monitoring.idx_unique_active_position")
        long = await desk.core.open(desk.request(position_side=PositionSide.LONG))
        short = await desk.core.open(desk.request(position_side=PositionSide.SHORT, side=Side.SHORT))
        assert (long.result, short.result) == (Result.ACTIVE, Result.ACTIVE)
        assert (desk.held(leg="long"), desk.held(leg="short")) == (ONE, -ONE)
        assert (await desk.core.close(long.position_id, "one leg")).result is Result.CLOSED
        assert (desk.held(leg="long"), desk.held(leg="short")) == (0, -ONE)
        assert len(desk.live()) == 1
