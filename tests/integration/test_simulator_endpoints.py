"""Every endpoint of the table is reached by unmodified ccxt, and no route of the simulator is left unproved."""

from __future__ import annotations

import pytest

from posguard.simulator import actions, binance, bybit
from tests.fixtures.simulator import client_of

BTC = "BTC/USDT:USDT"
STOP = {"stopLossPrice": 59000, "reduceOnly": True}


async def the_calls_of_both(client, venue, book):
    """What ccxt's unified methods send at either venue."""
    conditional = {"trigger": True}
    await client.load_markets()
    await client.fetch_time()
    await client.fetch_ticker(BTC)
    await client.fetch_balance()
    await client.set_position_mode(True, BTC)
    await client.set_position_mode(False, BTC)
    await client.set_leverage(7, BTC)
    await client.create_order(BTC, "market", "buy", 0.02)
    await client.fetch_positions()
    stop = await client.create_order(BTC, "market", "sell", 0.01, params=STOP)
    await client.create_order(BTC, "market", "sell", 0.01, params=STOP)
    limit = await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    await client.fetch_open_orders(BTC)
    await client.fetch_open_orders(BTC, params=conditional)
    params = {} if venue == "binance" else {"acknowledged": True}
    await client.fetch_order(limit["id"], BTC, params)
    await client.fetch_order(stop["id"], BTC, {**params, **conditional})
    await client.cancel_order(limit["id"], BTC)
    await client.cancel_order(stop["id"], BTC, conditional if venue == "binance" else {})
    await client.cancel_all_orders(BTC)
    await client.cancel_all_orders(BTC, conditional)
    actions.act(book, {"do": "liquidate", "venue": venue, "symbol": "BTCUSDT"})
    await client.fetch_my_trades(BTC)
    await client.fetch_my_liquidations(BTC)


async def the_calls_of_binance(client):
    await client.fetch_orders(BTC)
    await client.fetch_orders(BTC, params={"trigger": True})
    await client.fetch_position_mode()
    await client.fetch_funding_rate(BTC)
    await client.fetch_balance({"useV2": True})
    await client.fapiPublicGetPing()
    await client.fapiPrivateGetAccountConfig()
    await client.sapiGetAccountApiRestrictions()
    limit = await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    await client.fetch_open_order(limit["id"], BTC)


async def the_calls_of_bybit(client):
    await client.fetch_canceled_and_closed_orders(BTC)
    await client.create_order(BTC, "market", "buy", 0.01)
    stop = await client.create_order(BTC, "market", "sell", 0.01, params=STOP)
    await client.edit_order(stop["id"], BTC, "market", "sell", 0.01, params={"triggerPrice": 58000})
    both = {"stopLossPrice": 58000, "takeProfitPrice": 65000}
    await client.create_order(BTC, "market", "sell", 0.01, params=both)


@pytest.mark.parametrize("venue", ["binance", "bybit"])
async def test_every_route_is_reached_by_ccxt(simulator, venue):
    client = client_of(venue, simulator.base_url)
    try:
        await the_calls_of_both(client, venue, simulator.book)
        await (the_calls_of_binance(client) if venue == "binance" else the_calls_of_bybit(client))
    finally:
        await client.close()
    wire = binance if venue == "binance" else bybit
    routes = set(wire.PUBLIC) | set(wire.PRIVATE)
    reached = {(e.method, e.path) for e in simulator.log}
    assert reached == routes
    assert {(e.status, e.code) for e in simulator.log} <= {(200, 0), (200, 200)}
    print(f"{venue}: {len(routes)} endpoints, {len(simulator.log)} requests")  # noqa: T201 - the count is wanted in the report
