"""Each call of the endpoint table, both venues, through unmodified ccxt over HTTP."""

from __future__ import annotations

import asyncio

import ccxt.async_support as ccxt
import pytest

from posguard.simulator import SimulatorControl, orders, prices
from posguard.simulator.records import Key
from tests.fixtures.contract import BTC, D, account, client, entry, protect, venue
from tests.fixtures.simulator import client_of

assert account  # a fixture
assert client  # a fixture
assert venue  # a fixture


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
