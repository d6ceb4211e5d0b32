"""Orders at the simulator as unmodified ccxt places, finds, cancels and amends them."""

from __future__ import annotations

import ccxt.async_support as ccxt
import pytest

from posguard.simulator import SimulatorControl, orders, prices
from tests.fixtures.contract import BTC, D, account, client, entry, protect, venue

assert account  # a fixture
assert client  # a fixture
assert venue  # a fixture


async def look_up(client, venue, order_id="", *, client_id="", trigger=False):
    """The order by either id, as the venue's clients must ask for it."""
    if venue == "binance":
        params = {"trigger": True} if trigger else {}
        if client_id:
            params["clientOrderId"] = client_id
        return await client.fetch_order(order_id or None, BTC, params)
    params = {"acknowledged": True, **({"orderLinkId": client_id} if client_id else {})}
    return await client.fetch_order(order_id, BTC, params)


# -- orders


async def test_a_market_order_and_its_fill(client, venue):
    order = await entry(client, clientOrderId="pg-1-e-1")
    assert order["clientOrderId"] == "pg-1-e-1"
    assert (order["status"], order["filled"]) == (("closed", 0.01) if venue == "binance" else (None, None))
    found = await look_up(client, venue, order["id"])
    assert (found["status"], found["filled"], found["average"]) == ("closed", 0.01, 60000)
    trades = await client.fetch_my_trades(BTC)
    assert [(t["order"], t["side"], t["amount"], t["price"]) for t in trades] == [
        (order["id"], "buy", 0.01, 60000)
    ]
    assert trades[0]["fee"]["cost"] > 0


@pytest.mark.parametrize("trigger", [False, True])
async def test_an_order_is_found_by_either_id(client, venue, trigger):
    await entry(client)
    make = protect if trigger else entry
    order = await make(client, clientOrderId="pg-2")
    for found in (
        await look_up(client, venue, order["id"], trigger=trigger),
        await look_up(client, venue, client_id="pg-2", trigger=trigger),
    ):
        assert (found["id"], found["clientOrderId"]) == (order["id"], "pg-2")


async def test_what_is_not_there_is_not_found(client, venue):
    missing = "1" if venue == "binance" else "no-such-order"
    with pytest.raises(ccxt.OrderNotFound):
        await look_up(client, venue, missing)
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order(missing, BTC)


async def test_a_stop_loss_waits_fires_and_closes(client, venue, simulator):
    await entry(client)
    stop = await protect(client, clientOrderId="pg-3-s")
    found = await look_up(client, venue, stop["id"], trigger=True)
    assert (found["status"], found["triggerPrice"], found["amount"], found["reduceOnly"]) == (
        "open",
        59000,
        0.01,
        True,
    )
    prices.set_price(simulator.book, venue, "BTCUSDT", D(58990))
    found = await look_up(client, venue, stop["id"], trigger=True)
    assert found["status"] == "closed"
    assert await client.fetch_positions() == []
    last = (await client.fetch_my_trades(BTC))[-1]
    assert (last["side"], last["amount"], last["price"]) == ("sell", 0.01, 58990)
    if venue == "binance":
        assert last["order"] == found["info"]["actualOrderId"] != stop["id"]


async def test_a_stop_already_crossed_is_refused(client, venue):
    await entry(client)
    # The plain address cannot show Binance's own class; the contract over TLS does.
    expected = ccxt.ExchangeError if venue == "binance" else ccxt.InvalidOrder
    with pytest.raises(expected, match=r"-2021" if venue == "binance" else r"110093"):
        await protect(client, price=60500)


async def test_open_orders_plain_and_conditional(client, venue):
    await client.load_markets()
    await entry(client)
    stop = await protect(client)
    limit = await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    plain = {o["id"] for o in await client.fetch_open_orders(BTC)}
    conditional = {o["id"] for o in await client.fetch_open_orders(BTC, params={"trigger": True})}
    everywhere = {o["id"] for o in await client.fetch_open_orders()}
    if venue == "binance":
        assert (plain, conditional, everywhere) == ({limit["id"]}, {stop["id"]}, {limit["id"]})
    else:
        assert (plain, conditional) == ({limit["id"], stop["id"]}, {stop["id"]})
        assert everywhere == plain


async def test_cancelling_by_id_and_by_client_id(client, venue, account):
    await entry(client)
    trigger = {"trigger": True} if venue == "binance" else {}
    stop = await protect(client)
    await client.cancel_order(stop["id"], BTC, trigger)
    limit = await client.create_order(BTC, "limit", "buy", 0.01, 50000, {"clientOrderId": "pg-4"})
    named = {"clientOrderId": "pg-4"} if venue == "binance" else {"orderLinkId": "pg-4"}
    await client.cancel_order(limit["id"] if venue == "binance" else None, BTC, named)
    assert not account.open_orders
    found = await look_up(client, venue, stop["id"], trigger=True)
    assert found["status"] == "canceled"


async def test_cancelling_all(client, account):
    await entry(client)
    await protect(client)
    await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    await client.cancel_all_orders(BTC)
    await client.cancel_all_orders(BTC, {"trigger": True})
    assert not account.open_orders


async def test_a_duplicate_client_id(client, venue, account):
    await entry(client, clientOrderId="pg-5")
    if venue == "binance":
        await entry(client, clientOrderId="pg-5")
        await protect(client, clientOrderId="pg-6")
        again, expected = protect(client, clientOrderId="pg-6"), "-4116"
    else:
        again, expected = entry(client, clientOrderId="pg-5"), "110072"
    with pytest.raises(ccxt.ExchangeError, match=expected):
        await again
    assert len(account.fills) == (2 if venue == "binance" else 1)


@pytest.mark.parametrize(
    ("amount", "params", "codes"),
    [
        (100, {}, {"binance": "-2019", "bybit": "110007"}),
        (0.01, {"reduceOnly": True}, {"binance": "-2022", "bybit": "110017"}),
    ],
)
async def test_an_order_the_account_cannot_have(client, venue, account, amount, params, codes):
    with pytest.raises(ccxt.ExchangeError, match=codes[venue]):
        await entry(client, amount, **params)
    assert not account.fills


async def test_an_order_below_the_minimum_notional(client, venue):
    await client.load_markets()
    with pytest.raises(ccxt.ExchangeError, match={"binance": "-4164", "bybit": "110094"}[venue]):
        await client.create_order("XRP/USDT:USDT", "market", "buy", 0.1)


async def test_history_of_orders(client, venue):
    await client.load_markets()
    order = await entry(client)
    stop = await protect(client)
    if venue == "binance":
        assert [o["id"] for o in await client.fetch_orders(BTC)] == [order["id"]]
        assert [o["id"] for o in await client.fetch_orders(BTC, params={"trigger": True})] == [stop["id"]]
    else:
        closed = await client.fetch_canceled_and_closed_orders(BTC)
        assert [(o["id"], o["status"]) for o in closed] == [(order["id"], "closed")]


async def test_liquidations(client, venue, simulator):
    await client.load_markets()
    await entry(client)
    async with SimulatorControl(simulator.base_url) as control:
        await control.act("liquidate", venue=venue, symbol="BTCUSDT")
    found = await client.fetch_my_liquidations(BTC)
    assert [(row["contracts"], row["price"]) for row in found] == [(0.01, 60000)]
    assert len(await client.fetch_my_trades(BTC)) == (2 if venue == "binance" else 1)


async def test_a_stop_that_closes_the_whole_position_at_binance(binance, simulator):
    await binance.load_markets()
    await entry(binance)
    params = {"stopLossPrice": 59000, "closePosition": True}
    stop = await binance.create_order(BTC, "market", "sell", 0, params=params)
    assert (stop["info"]["closePosition"], D(stop["info"]["quantity"])) == (True, 0)
    await entry(binance, 0.02)
    prices.set_price(simulator.book, "binance", "BTCUSDT", D(59000))
    assert await binance.fetch_positions() == []
    again = await binance.create_order(BTC, "market", "buy", 0.01)
    assert again["filled"] == 0.01
    await binance.create_order(BTC, "market", "sell", 0, params={**params, "stopLossPrice": 58000})
    await entry(binance, side="sell", reduceOnly=True)
    assert await binance.fetch_open_orders(BTC, params={"trigger": True}) == []


async def test_bybit_closes_all_by_quantity_zero(bybit):
    await bybit.load_markets()
    await entry(bybit)
    request = {"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Market", "qty": "0"}
    await bybit.privatePostV5OrderCreate({**request, "reduceOnly": True, "closeOnTrigger": True})
    assert await bybit.fetch_positions() == []
    with pytest.raises(ccxt.InvalidOrder, match="110017"):
        await bybit.privatePostV5OrderCreate({**request, "reduceOnly": True, "closeOnTrigger": True})


async def test_bybit_amends_a_stop(bybit):
    await bybit.load_markets()
    await entry(bybit)
    stop = await protect(bybit)
    request = {"category": "linear", "symbol": "BTCUSDT", "orderId": stop["id"]}
    await bybit.privatePostV5OrderAmend({**request, "triggerPrice": "59500"})
    assert (await bybit.fetch_open_orders(BTC))[0]["triggerPrice"] == 59500
    with pytest.raises(ccxt.InvalidOrder, match="110093"):
        await bybit.privatePostV5OrderAmend({**request, "triggerPrice": "60500"})
    with pytest.raises(ccxt.BadRequest, match="unchanged"):
        await bybit.privatePostV5OrderAmend({**request, "triggerPrice": "59500"})
    assert (await bybit.fetch_open_orders(BTC))[0]["triggerPrice"] == 59500


async def test_bybit_keeps_stops_on_parts_of_a_position(bybit, simulator):
    await bybit.load_markets()
    await entry(bybit, 0.03)
    request = {"category": "linear", "symbol": "BTCUSDT", "positionIdx": 0, "tpslMode": "Partial"}
    await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "59500", "slSize": "0.01"})
    await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "59000", "slSize": "0.02"})
    found = await bybit.fetch_open_orders(BTC)
    assert {(o["info"]["stopOrderType"], o["amount"], o["triggerPrice"]) for o in found} == {
        ("PartialStopLoss", 0.01, 59500),
        ("PartialStopLoss", 0.02, 59000),
    }
    assert (await bybit.fetch_positions())[0]["stopLossPrice"] is None
    prices.set_price(simulator.book, "bybit", "BTCUSDT", D(59400))
    assert (await bybit.fetch_positions())[0]["contracts"] == 0.02
    orders.close_by_market(
        simulator.book,
        simulator.book.account("bybit"),
        simulator.book.leg(simulator.book.account("bybit"), "BTCUSDT", "both"),
        origin="manual",
    )
    assert await bybit.fetch_open_orders(BTC) == []


async def test_loaded_history_tells_which_fill_was_a_stop(client, venue, simulator):
    """At Binance by the conditional order that names the plain one, at Bybit by the execution itself."""
    await client.load_markets()
    now = simulator.book.now()
    row = {
        "venue": venue,
        "symbol": "BTCUSDT",
        "qty": "0.01",
        "price": "60000",
        "order_id": "777001",
        "client_id": "pg-e",
    }
    out = {
        **row,
        "side": "sell",
        "price": "59000",
        "order_id": "777002",
        "client_id": "pg-s",
        "closed": "0.01",
    }
    async with SimulatorControl(simulator.base_url) as control:
        await control.load(
            fills=[
                {**row, "side": "buy", "time_ms": now - 9000},
                {**out, "purpose": "stop_loss", "time_ms": now - 5000},
            ]
        )
    trades = await client.fetch_my_trades(BTC)
    assert [t["order"] for t in trades] == ["777001", "777002"]
    if venue == "binance":
        (stop,) = await client.fetch_orders(BTC, params={"trigger": True})
        assert (stop["info"]["actualOrderId"], stop["status"], stop["triggerPrice"]) == (
            "777002",
            "closed",
            59000,
        )
    else:
        assert [t["info"]["stopOrderType"] for t in trades] == ["UNKNOWN", "Stop"]
        assert trades[1]["info"]["closedSize"] == "0.010"


async def test_the_venue_forgets_orders_that_never_traded(client, venue, simulator):
    await client.load_markets()
    now, day = simulator.book.now(), 86_400_000
    ages = {"binance": (2, 4, 80, 100), "bybit": (0.5, 2, 5, 6)}[venue]
    row = {
        "venue": venue,
        "symbol": "BTCUSDT",
        "side": "buy",
        "qty": "0.01",
        "kind": "limit",
        "price": "50000",
    }
    states = [("canceled", "0"), ("canceled", "0"), ("filled", "0.01"), ("filled", "0.01")]
    async with SimulatorControl(simulator.base_url) as control:
        await control.load(
            orders=[
                {
                    **row,
                    "id": f"88{n}",
                    "status": status,
                    "filled": filled,
                    "created_ms": now - int(age * day),
                }
                for n, (age, (status, filled)) in enumerate(zip(ages, states, strict=True))
            ]
        )
    known = []
    for n in range(4):
        try:
            if venue == "binance":
                await client.fetch_order(f"88{n}", BTC)
            else:
                await client.fetch_closed_order(f"88{n}", BTC)
            known.append(n)
        except ccxt.OrderNotFound:
            pass
    assert known == ([0, 2] if venue == "binance" else [0, 2, 3])


async def test_a_post_only_order_that_would_take(client, venue, account):
    await client.load_markets()
    place = client.create_order(BTC, "limit", "buy", 0.01, 60000, {"postOnly": True})
    if venue == "binance":
        with pytest.raises(ccxt.ExchangeError, match="-5022"):
            await place
        assert not account.orders
    else:
        order = await place
        found = await client.fetch_order(order["id"], BTC, {"acknowledged": True})
        assert (found["status"], found["info"]["rejectReason"]) == (
            "canceled",
            "EC_PostOnlyWillTakeLiquidity",
        )
    assert not account.fills
