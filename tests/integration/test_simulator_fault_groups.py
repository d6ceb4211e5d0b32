"""The groups of faults that touch orders: what the client was told, against what really happened on the book."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt.async_support as ccxt
import pytest
import pytest_asyncio

from posguard.simulator import SimulatorControl
from tests.fixtures.simulator import client_of

D = Decimal
BTC = "BTC/USDT:USDT"
ORDER = {"binance": "/fapi/v1/order", "bybit": "/v5/order/create"}
STOP = {"binance": "/fapi/v1/algoOrder", "bybit": "/v5/order/create"}
CANCEL = {"binance": "/fapi/v1/order", "bybit": "/v5/order/cancel"}
POSITIONS = {"binance": "*/positionRisk", "bybit": "*/position/list"}
OPEN_STOPS = {"binance": "*/openAlgoOrders", "bybit": "*/order/realtime"}


@pytest.fixture(params=["binance", "bybit"])
def venue(request):
    return request.param


@pytest_asyncio.fixture
async def client(simulator, venue):
    found = client_of(venue, simulator.base_url)
    await found.load_markets()
    await found.fetch_positions()
    if venue == "bybit":
        await found.is_unified_enabled()
    yield found
    await found.close()


@pytest_asyncio.fixture
async def control(simulator):
    async with SimulatorControl(simulator.base_url) as found:
        yield found


@pytest.fixture
def account(simulator, venue):
    return simulator.book.account(venue)


async def entry(client, amount=0.01, side="buy", **params):
    return await client.create_order(BTC, "market", side, amount, params=params)


async def protect(client, price=59000, **params):
    more = {"stopLossPrice": price, "reduceOnly": True, **params}
    return await client.create_order(BTC, "market", "sell", 0.01, params=more)


async def stops(client):
    return await client.fetch_open_orders(BTC, params={"trigger": True})


async def held(client):
    return sum(p["contracts"] * (1 if p["side"] == "long" else -1) for p in await client.fetch_positions())


# -- 2. executed, and the answer lost


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "timeout"}, ccxt.RequestTimeout),
        ({"kind": "reset"}, ccxt.ExchangeNotAvailable),
        ({"kind": "status", "status": 502}, ccxt.ExchangeNotAvailable),
        ({"kind": "status", "status": 504}, ccxt.RequestTimeout),
        ({"kind": "cut_body"}, ccxt.ExchangeError),
    ],
)
async def test_executed_and_the_answer_lost(client, control, account, venue, fault, error):
    client.timeout = 400
    await control.fault(method="POST", path=ORDER[venue], when="after", **fault)
    with pytest.raises(error):
        await entry(client, clientOrderId="pg-1")
    assert [f.client_id for f in account.fills] == ["pg-1"]
    sent = [e for e in await control.log() if e["path"] == ORDER[venue]]
    assert len(sent) == 1, "a POST is not sent twice by itself"


async def test_executed_only_after_the_client_gave_up(client, control, account, venue):
    await control.fault("late", method="POST", path=ORDER[venue], seconds=1.2)
    usual, client.timeout = client.timeout, 200
    with pytest.raises(ccxt.RequestTimeout):
        await entry(client, clientOrderId="pg-2")
    client.timeout = usual
    assert not account.fills
    assert await held(client) == 0
    for _ in range(100):
        if account.fills:
            break
        await asyncio.sleep(0.05)
    assert [f.client_id for f in account.fills] == ["pg-2"]
    assert await held(client) == 0.01


async def test_the_receive_window_bounds_a_late_execution(client, control, account, venue):
    client.options["recvWindow"] = 150
    await control.fault("late", method="POST", path=ORDER[venue], seconds=0.4)
    client.timeout = 100
    with pytest.raises(ccxt.RequestTimeout):
        await entry(client, clientOrderId="pg-3")
    for _ in range(100):
        (row,) = [e for e in await control.log() if e["path"] == ORDER[venue]]
        if row["executed"]:
            break
        await asyncio.sleep(0.05)
    assert row["code"] == (-1021 if venue == "binance" else 10002)
    assert not account.fills


async def test_two_retries_of_one_client_id_make_three_orders_at_binance(binance, control, simulator):
    """Why nothing here may ever retry a POST by itself."""
    await binance.load_markets()
    await control.fault("status", method="POST", path=ORDER["binance"], when="after", status=502, count=2)
    for _ in range(2):
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await entry(binance, clientOrderId="pg-4")
    await entry(binance, clientOrderId="pg-4")
    assert await held(binance) == pytest.approx(0.03)
    assert any(
        "3 orders of BTCUSDT traded for one intent 'pg-4'" in text for text in await control.violations()
    )


# -- 3. too many requests


async def test_a_limit_that_is_set_is_enforced(client, control, venue):
    await control.act("limit", venue=venue, weight=12)
    seen = None
    for _ in range(40):
        try:
            await client.fetch_time()
        except (ccxt.DDoSProtection, ccxt.RateLimitExceeded) as error:
            seen = error
            break
    assert seen is not None
    assert 1 <= int(client.last_response_headers["Retry-After"]) <= 60
    await control.act("limit", venue=venue)
    await client.fetch_time()


async def test_weight_is_counted_as_the_venue_counts_it(binance, control):
    await binance.load_markets()
    before = int(binance.last_response_headers["X-MBX-USED-WEIGHT-1M"])
    await binance.fetch_open_orders()
    await binance.fetch_open_orders(params={"trigger": True})
    assert int(binance.last_response_headers["X-MBX-USED-WEIGHT-1M"]) - before == 80
    assert [e["weight"] for e in (await control.log())[-2:]] == [40, 40]


# -- 5. stale answers, of positions and of orders apart


async def test_a_stale_snapshot_of_positions_beside_true_orders(client, control, venue):
    assert await held(client) == 0
    await entry(client)
    await protect(client)
    await control.fault("stale", path=POSITIONS[venue])
    assert (await held(client), len(await stops(client))) == (0, 1)
    assert (await held(client), len(await stops(client))) == (0.01, 1)


async def test_stale_orders_beside_true_positions(client, control, venue):
    await entry(client)
    assert await stops(client) == []
    await protect(client)
    await control.fault("stale", path=OPEN_STOPS[venue])
    assert (await held(client), len(await stops(client))) == (0.01, 0)
    assert len(await stops(client)) == 1


async def test_an_empty_list_of_stops_beside_true_positions(client, control, venue):
    await entry(client)
    await protect(client)
    await control.fault("empty_list", path=OPEN_STOPS[venue])
    assert (await held(client), len(await stops(client))) == (0.01, 0)
    assert len(await stops(client)) == 1


# -- 6. partial fills


async def test_a_partial_fill_and_the_rest_that_ends(client, control, account, venue):
    await control.fault("partial_fill", path=ORDER[venue], method="POST", ratio="0.3")
    order = await entry(client, 0.1)
    params = {} if venue == "binance" else {"acknowledged": True}
    found = await client.fetch_order(order["id"], BTC, params)
    assert (found["filled"], found["remaining"] in (0, 0.07)) == (0.03, True)
    assert found["status"] == ("expired" if venue == "binance" else "canceled")
    assert await held(client) == 0.03


async def test_one_order_in_several_executions(client, control, venue):
    await control.fault("pieces", path=ORDER[venue], method="POST", pieces=4)
    order = await entry(client, 0.01)
    trades = await client.fetch_my_trades(BTC)
    assert [t["amount"] for t in trades] == [0.002, 0.002, 0.002, 0.004]
    assert {t["order"] for t in trades} == {order["id"]}
    assert await held(client) == 0.01


async def test_an_ioc_order_keeps_what_it_got(client, control, venue):
    await control.act("liquidity", venue=venue, symbol="BTCUSDT", qty="0.004")
    await client.create_order(BTC, "limit", "buy", 0.01, 60000, {"timeInForce": "IOC"})
    assert await held(client) == 0.004
    assert await client.fetch_open_orders(BTC) == []


async def test_accepted_and_not_filled_yet(client, control, account, venue):
    await control.fault("no_fill", path=ORDER[venue], method="POST")
    order = await entry(client)
    assert (await held(client), len(await client.fetch_open_orders(BTC))) == (0, 1)
    await control.act("fill", venue=venue, order_id=order["id"], qty="0.004")
    assert await held(client) == 0.004
    await control.act("fill", venue=venue, order_id=order["id"])
    assert (await held(client), await client.fetch_open_orders(BTC)) == (0.01, [])


# -- 7. the stop is refused, or accepted and lost


async def test_a_stop_refused(client, control, venue):
    await entry(client)
    code, text = (
        (-2021, "Order would immediately trigger.") if venue == "binance" else (110093, "expect Falling")
    )
    await control.fault("refuse", path=STOP[venue], method="POST", code=code, message=text)
    with pytest.raises(ccxt.ExchangeError, match=str(code)):
        await protect(client)
    assert "is protected for 0 only" in (await control.violations())[0]
    await protect(client)
    assert await control.violations() == []


@pytest.mark.parametrize(
    ("how", "at_binance", "at_bybit"),
    [("rejected", "rejected", "rejected"), ("expired", "expired", "canceled")],
)
async def test_a_stop_accepted_and_then_lost(client, control, venue, how, at_binance, at_bybit):
    await entry(client)
    await control.fault("stop_ends", path=STOP[venue], method="POST", how=how)
    stop = await protect(client)
    assert stop["id"]
    assert await stops(client) == []
    params = {"trigger": True} if venue == "binance" else {"acknowledged": True}
    found = await client.fetch_order(stop["id"], BTC, params)
    assert found["status"] == (at_binance if venue == "binance" else at_bybit)
    assert "is protected for 0 only" in (await control.violations())[0]


async def test_a_stop_lost_while_it_waited(client, control, venue):
    await entry(client)
    stop = await protect(client)
    assert len(await stops(client)) == 1
    await control.act("end_stop", venue=venue, order_id=stop["id"], how="expired")
    assert await stops(client) == []


async def test_an_order_answered_without_its_id(client, control, account, venue):
    await control.fault("no_id", path=ORDER[venue], method="POST")
    order = await entry(client, clientOrderId="pg-5")
    assert order["id"] is None
    assert len(account.fills) == 1


# -- 8. races


async def test_a_cancel_that_comes_after_the_fill(client, control, account, venue):
    limit = await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    action = {"do": "fill", "venue": venue, "order_id": limit["id"]}
    method = "DELETE" if venue == "binance" else "POST"
    await control.fault("act", path=CANCEL[venue], method=method, when="before", action=action)
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order(limit["id"], BTC)
    assert await held(client) == 0.01


@pytest.mark.parametrize(("do", "left"), [("close", 0), ("flip", -0.01)])
async def test_a_hand_moves_the_position_between_two_reads(client, control, venue, do, left):
    await entry(client)
    action = {"do": do, "venue": venue, "symbol": "BTCUSDT"}
    await control.fault("act", path=POSITIONS[venue], action=action)
    assert await held(client) == 0.01
    assert await held(client) == left


async def test_the_stop_fires_between_the_reads_of_positions_and_orders(client, control, venue):
    await entry(client)
    stop = await protect(client)
    action = {"do": "fire_stop", "venue": venue, "order_id": stop["id"]}
    await control.fault("act", path=POSITIONS[venue], action=action)
    assert (await held(client), await stops(client)) == (0.01, [])
    assert await held(client) == 0
    assert (await client.fetch_my_trades(BTC))[-1]["price"] == 59000


async def test_a_stop_is_orphaned_by_a_close(client, control, venue):
    await entry(client)
    await protect(client)
    await control.act("close", venue=venue, symbol="BTCUSDT")
    assert (await held(client), len(await stops(client))) == (0, 1)
    assert "has nothing to close" in (await control.violations())[0]


async def test_deleveraging_is_told_apart_from_a_trade(client, control, venue):
    await entry(client)
    await control.act("adl", venue=venue, symbol="BTCUSDT")
    assert await held(client) == 0
    if venue == "binance":
        (row,) = await client.fapiPrivateGetForceOrders({"autoCloseType": "ADL"})
        assert row["clientOrderId"].startswith("adl_autoclose")
    else:
        rows = await client.privateGetV5ExecutionList({"category": "linear", "execType": "AdlTrade"})
        assert [r["execType"] for r in rows["result"]["list"]] == ["AdlTrade"]


# -- 10. client ids


async def test_each_venues_policy_of_client_ids_can_be_turned_round(client, control, account, venue):
    """Binance: unique among open orders only. Bybit: never twice. Either can behave as the other."""
    strict = venue == "bybit"
    await entry(client, clientOrderId="pg-6")
    for turned in (False, True):
        await control.act("strict_ids", venue=venue, strict=strict is not turned)
        if strict is not turned:
            with pytest.raises(ccxt.ExchangeError, match="-4116|110072"):
                await entry(client, clientOrderId="pg-6")
        else:
            await entry(client, clientOrderId="pg-6")
    assert len(account.fills) == 2


# -- chance, by seed


async def test_chances_are_drawn_from_the_seed(client, control, venue):
    await control.fault("empty_list", path=POSITIONS[venue], count=None, probability=0.5)
    await entry(client)
    drawn = [await held(client) for _ in range(20)]
    assert 0 < sum(1 for amount in drawn if amount) < 20
