"""The rows carry the fields that the venues document, no more and no fewer, in the documented types."""

from __future__ import annotations

import json

import aiohttp
import pytest
import pytest_asyncio

from posguard.simulator import actions
from tests.fixtures import venue_rows as documented
from tests.fixtures.simulator import client_of
from tests.fixtures.venue_rows import shape

BTC = "BTC/USDT:USDT"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def heard():
    """Every answer both venues gave to a session that opens, protects, fires, closes and is liquidated."""
    from posguard.simulator import Simulator

    answers: dict[tuple[str, str], list] = {}
    async with Simulator(seed=4) as simulator:
        for venue in ("binance", "bybit"):
            client = client_of(venue, simulator.base_url)
            # ccxt's own reading would turn numbers into what it likes; the raw text is what counts.
            client.on_rest_response = lambda *told: remember(answers, *told)
            try:
                await live(client, venue, simulator.book)
            finally:
                await client.close()
    return answers


def remember(answers, _status, _reason, url, method, _headers, body, *_rest):
    path = url.partition("?")[0].split("/", 3)[3]
    answers.setdefault((method, path), []).append(json.loads(body))
    return body


async def live(client, venue, book):
    await client.load_markets()
    await client.create_order(BTC, "market", "buy", 0.03)
    await client.create_order(
        BTC, "market", "sell", 0.01, params={"stopLossPrice": 59500, "reduceOnly": True}
    )
    await client.create_order(
        BTC, "market", "sell", 0.01, params={"stopLossPrice": 59000, "reduceOnly": True}
    )
    await client.create_order(BTC, "limit", "buy", 0.01, 50000)
    if venue == "bybit":
        await client.create_order(BTC, "market", "buy", 0.01, params={"stopLoss": {"triggerPrice": 58000}})
    actions.act(book, {"do": "price", "venue": venue, "symbol": "BTCUSDT", "last": "59400"})
    await client.fetch_positions()
    await client.fetch_balance()
    await client.fetch_open_orders(BTC)
    await client.fetch_open_orders(BTC, params={"trigger": True})
    await client.fetch_ticker(BTC)
    if venue == "binance":
        await client.fetch_orders(BTC)
        await client.fetch_orders(BTC, params={"trigger": True})
    else:
        await client.fetch_positions(["ETH/USDT:USDT"])
        await client.fetch_canceled_and_closed_orders(BTC)
    actions.act(book, {"do": "liquidate", "venue": venue, "symbol": "BTCUSDT"})
    await client.fetch_my_trades(BTC)
    await client.fetch_my_liquidations(BTC)


def rows(answers, path):
    """All rows of the answers to a path."""
    found = []
    for body in answers["GET", path]:
        held = body["result"]["list"] if isinstance(body, dict) and "result" in body else body
        found += held if isinstance(held, list) else [held]
    return found


TABLE = [
    ("fapi/v3/positionRisk", documented.BINANCE_POSITION),
    ("fapi/v1/openOrders", documented.BINANCE_ORDER),
    ("fapi/v1/allOrders", documented.BINANCE_ORDER),
    ("fapi/v1/forceOrders", documented.BINANCE_FORCED),
    ("fapi/v1/openAlgoOrders", documented.BINANCE_ALGO_ORDER),
    ("fapi/v1/allAlgoOrders", documented.BINANCE_ALGO_ORDER),
    ("fapi/v1/userTrades", documented.BINANCE_TRADE),
    ("fapi/v1/ticker/24hr", documented.BINANCE_TICKER),
    ("v5/position/list", documented.BYBIT_POSITION),
    ("v5/order/realtime", documented.BYBIT_ORDER),
    ("v5/order/history", documented.BYBIT_ORDER),
    ("v5/execution/list", documented.BYBIT_EXECUTION),
    ("v5/account/wallet-balance", documented.BYBIT_WALLET),
    ("v5/market/instruments-info", documented.BYBIT_INSTRUMENT),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "fields"), TABLE, ids=[row[0] for row in TABLE])
async def test_rows_have_the_documented_fields(heard, path, fields):
    found = rows(heard, path)
    assert found
    for row in found:
        assert shape(row) == fields


@pytest.mark.asyncio(loop_scope="module")
async def test_inner_rows_have_the_documented_fields(heard):
    (info,) = heard["GET", "fapi/v1/exchangeInfo"][:1]
    assert all(shape(row) == documented.BINANCE_SYMBOL for row in info["symbols"])
    (account,) = heard["GET", "fapi/v3/account"][:1]
    assert all(shape(row) == documented.BINANCE_ASSET for row in account["assets"])
    wallet = rows(heard, "v5/account/wallet-balance")[0]
    assert all(shape(row) == documented.BYBIT_COIN for row in wallet["coin"])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_bybit_answer_has_its_envelope(heard):
    for (_, path), bodies in heard.items():
        if path.startswith("v5/"):
            for body in bodies:
                kinds = {
                    "retCode": "whole",
                    "retMsg": "text",
                    "result": "object",
                    "retExtInfo": "object",
                    "time": "whole",
                }
                assert shape(body) == kinds


async def test_the_control_api_hides_secrets(simulator):
    async with aiohttp.ClientSession() as session:
        for path in ("book", "health", "log", "faults"):
            async with session.get(f"{simulator.base_url}/control/{path}") as answer:
                assert "simulator-trade-secret" not in await answer.text()
