"""Each call of the endpoint table, both venues, through unmodified ccxt over HTTP."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt.async_support as ccxt
import pytest

from posguard.simulator import SimulatorControl, orders, prices
from posguard.simulator.records import Key
from tests.fixtures.simulator import client_of

D = Decimal
BTC = "BTC/USDT:USDT"
VENUES = ["binance", "bybit"]


@pytest.fixture(params=VENUES)
def venue(request):
    return request.param


@pytest.fixture
def client(request, venue):
    return request.getfixturevalue(venue)


@pytest.fixture
def account(simulator, venue):
    return simulator.book.account(venue)


async def entry(client, amount=0.01, side="buy", **params):
    return await client.create_order(BTC, "market", side, amount, params=params)


async def protect(client, amount=0.01, side="sell", price=59000, **params):
    if "hedged" not in params:
        params["reduceOnly"] = True
    return await client.create_order(BTC, "market", side, amount, params={"stopLossPrice": price, **params})


async def look_up(client, venue, order_id="", *, client_id="", trigger=False):
    """The order by either id, as the venue's clients must ask for it."""
    if venue == "binance":
        params = {"trigger": True} if trigger else {}
        if client_id:
            params["clientOrderId"] = client_id
        return await client.fetch_order(order_id or None, BTC, params)
    params = {"acknowledged": True, **({"orderLinkId": client_id} if client_id else {})}
    return await client.fetch_order(order_id, BTC, params)


# -- markets, clocks, account


async def test_markets_have_their_filters(client, venue):
    markets = await client.load_markets()
    btc = markets[BTC]
    assert (btc["swap"], btc["linear"], btc["active"]) == (True, True, True)
    assert btc["precision"] == {**btc["precision"], "amount": 0.001, "price": 0.1}
    assert btc["limits"]["cost"]["min"] == 5
    shib = {"binance": "1000SHIB/USDT:USDT", "bybit": "SHIB1000/USDT:USDT"}[venue]
    assert shib in markets


async def test_bybit_lists_a_market_that_settles_in_usdc(bybit):
    assert (await bybit.load_markets())["BTC/USDC:USDC"]["settle"] == "USDC"


async def test_the_venues_clock_carries_its_skew(client, venue, simulator):
    now = simulator.book.now()
    assert 0 <= await client.fetch_time() - now < 5000
    simulator.book.skew_ms[venue] = -60_000
    assert -60_000 <= await client.fetch_time() - now < -50_000


async def test_balance_follows_fills_and_margin(client, simulator, account):
    await client.load_markets()
    assert (await client.fetch_balance())["USDT"]["total"] == 100_000
    await entry(client, 0.1)
    balance = (await client.fetch_balance())["USDT"]
    fee = account.fills[0].fee
    assert balance["total"] == pytest.approx(float(100_000 - fee))
    margin = 6000 / account.leverage_of("BTCUSDT")
    if client.id == "binanceusdm":
        assert balance["used"] == pytest.approx(margin)


async def test_a_ticker_and_the_price_behind_it(client, venue, simulator):
    prices.set_price(simulator.book, venue, "BTCUSDT", D("61234.5"))
    assert (await client.fetch_ticker(BTC))["last"] == 61234.5


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


# -- positions


@pytest.mark.parametrize(("side", "named"), [("buy", "long"), ("sell", "short")])
async def test_a_position(client, venue, side, named):
    await entry(client, side=side)
    (position,) = await client.fetch_positions()
    assert (position["symbol"], position["side"], position["contracts"]) == (BTC, named, 0.01)
    assert (position["entryPrice"], position["markPrice"], position["hedged"]) == (60000, 60000, False)
    if venue == "binance":
        assert D(position["info"]["positionAmt"]) == (D("0.01") if side == "buy" else D("-0.01"))


async def test_hedge_mode_holds_both_legs(client):
    await client.load_markets()
    await client.set_position_mode(True, BTC)
    await entry(client, side="buy", hedged=True)
    await entry(client, 0.02, side="sell", hedged=True)
    await protect(client, side="sell", hedged=True, reduceOnly=True)
    legs = {(p["side"], p["contracts"], p["hedged"]) for p in await client.fetch_positions()}
    assert legs == {("long", 0.01, True), ("short", 0.02, True)}
    with pytest.raises(ccxt.ExchangeError):
        await entry(client)


async def test_the_position_mode_cannot_change_while_something_is_held(client):
    await client.load_markets()
    await entry(client)
    with pytest.raises(ccxt.ExchangeError):
        await client.set_position_mode(True, BTC)


async def test_binance_tells_its_position_mode(binance):
    await binance.load_markets()
    assert (await binance.fetch_position_mode())["hedged"] is False
    await binance.set_position_mode(True)
    assert (await binance.fetch_position_mode())["hedged"] is True


async def test_leverage(client, venue, account):
    await client.load_markets()
    await client.set_leverage(25, BTC)
    assert account.leverage_of("BTCUSDT") == 25
    with pytest.raises(ccxt.ExchangeError):
        await client.set_leverage(5000, BTC)


async def test_bybit_keeps_a_stop_on_the_position(bybit, simulator):
    await bybit.load_markets()
    await entry(bybit, stopLoss={"triggerPrice": 59000})
    (position,) = await bybit.fetch_positions()
    assert position["stopLossPrice"] == 59000
    (stop,) = await bybit.fetch_open_orders(BTC)
    assert (stop["info"]["stopOrderType"], stop["triggerPrice"], stop["amount"]) == ("StopLoss", 59000, 0.01)
    request = {"category": "linear", "symbol": "BTCUSDT", "positionIdx": 0}
    await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "59500"})
    assert (await bybit.fetch_positions())[0]["stopLossPrice"] == 59500
    with pytest.raises(ccxt.ExchangeError, match="not modified"):
        await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "59500"})
    await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "0"})
    assert (await bybit.fetch_positions())[0]["stopLossPrice"] is None
    with pytest.raises(ccxt.ExchangeError, match="should be lower"):
        await bybit.privatePostV5PositionTradingStop({**request, "stopLoss": "60500"})


async def test_bybit_shows_a_flat_position_by_symbol(bybit):
    (flat,) = await bybit.fetch_positions([BTC])
    assert (flat["side"], flat["contracts"]) == (None, 0)


async def test_bybit_pages_positions_without_loss(bybit, simulator):
    await bybit.load_markets()
    account = simulator.book.account("bybit")
    async with SimulatorControl(simulator.base_url) as control:
        rows = [{"venue": "bybit", "symbol": f"C{n}USDT", "amount": "3", "entry": "10"} for n in range(450)]
        assert (await control.load(positions=rows))["positions"] == 450
    seen, cursor, sizes = set(), None, []
    while cursor != "":
        params = {"category": "linear", "settleCoin": "USDT", "limit": 200}
        page = (await bybit.privateGetV5PositionList({**params, **({"cursor": cursor} if cursor else {})}))[
            "result"
        ]
        sizes.append(len(page["list"]))
        seen |= {row["symbol"] for row in page["list"]}
        cursor = page["nextPageCursor"]
    assert sizes == [200, 200, 50]
    assert len(seen) == 450 == len(simulator.book.open_positions(account))


async def test_bybit_pages_orders_and_executions(bybit, simulator):
    await bybit.load_markets()
    account = simulator.book.account("bybit")
    for number in range(130):
        await asyncio.sleep(0)
        orders.trade_by_hand(
            simulator.book, account, "BTCUSDT", "both", D("0.001") if number % 2 else D("-0.001")
        )
    trades = await bybit.fetch_my_trades(BTC, params={"paginate": True})
    assert len({t["id"] for t in trades}) == 130
    closed = await bybit.fetch_canceled_and_closed_orders(BTC, params={"paginate": True})
    assert len({o["id"] for o in closed}) == 130


async def test_bybit_settle_coins_are_asked_one_by_one(bybit, simulator):
    await bybit.load_markets()
    account = simulator.book.account("bybit")
    simulator.book.set_position(account, "BTCPERP", D("0.5"), D(60000))
    assert await bybit.fetch_positions() == []
    (usdc,) = await bybit.fetch_positions(params={"settleCoin": "USDC"})
    assert usdc["symbol"] == "BTC/USDC:USDC"


async def test_binance_trades_go_back_a_week_at_a_time(binance, simulator):
    await binance.load_markets()
    now, day = simulator.book.now(), 86_400_000
    async with SimulatorControl(simulator.base_url) as control:
        row = {"venue": "binance", "symbol": "BTCUSDT", "side": "buy", "qty": "0.01", "price": "60000"}
        await control.load(fills=[{**row, "time_ms": now - age * day} for age in (20, 9, 8, 1)])
    assert len(await binance.fetch_my_trades(BTC)) == 1
    assert len(await binance.fetch_my_trades(BTC, since=now - 10 * day)) == 2
    with pytest.raises(ccxt.ExchangeError, match="-4166"):
        await binance.fetch_my_trades(BTC, params={"startTime": now - 20 * day, "endTime": now})


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


# -- keys


async def test_a_read_only_key_reads_and_does_not_trade(venue, simulator, account):
    client = client_of(venue, simulator.base_url, read_only=True)
    try:
        await client.load_markets()
        assert await client.fetch_positions() == []
        with pytest.raises((ccxt.AuthenticationError, ccxt.PermissionDenied)):
            await entry(client)
        assert not account.fills
        if venue == "bybit":
            assert (await client.privateGetV5UserQueryApi())["result"]["readOnly"] == 1
        else:
            assert (await client.fapiPrivateV3GetAccount())["canTrade"] is False
            assert (await client.sapiGetAccountApiRestrictions())["enableFutures"] is False
    finally:
        await client.close()


@pytest.mark.parametrize("wrong", ["key", "secret"])
async def test_a_wrong_key_or_signature(venue, simulator, wrong):
    client = client_of(venue, simulator.base_url, **{wrong: "not-known-here"})
    try:
        await client.load_markets()
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_positions()
    finally:
        await client.close()


async def test_a_clock_that_differs_is_refused(client, venue, simulator):
    await client.load_markets()
    for skew in (60_000, -60_000):
        simulator.book.skew_ms[venue] = skew
        with pytest.raises(ccxt.InvalidNonce):
            await client.fetch_positions()


async def test_accounts_are_apart(venue, simulator, client):
    simulator.book.add_key(Key(venue, "second", "second-key", "second-secret"))
    other = client_of(venue, simulator.base_url, key="second-key", secret="second-secret")
    try:
        await entry(client, clientOrderId="pg-9")
        await entry(other, 0.02, side="sell", clientOrderId="pg-9")
        assert [p["contracts"] for p in await client.fetch_positions()] == [0.01]
        assert [(p["contracts"], p["side"]) for p in await other.fetch_positions()] == [(0.02, "short")]
    finally:
        await other.close()
