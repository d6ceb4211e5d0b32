"""The venues' real addresses over TLS: ccxt's own error mapping, the worlds' keys, nothing beyond this machine."""

from __future__ import annotations

from decimal import Decimal

import aiohttp
import ccxt.async_support as ccxt
import pytest
import pytest_asyncio

from posguard.simulator import Simulator, orders
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from posguard.simulator.records import Intent, Key
from tests.fixtures.simulator import options_of

D = Decimal
BTC = "BTC/USDT:USDT"


@pytest_asyncio.fixture
async def tls():
    """A simulator behind the venues' real addresses."""
    simulator = Simulator(seed=2)
    await simulator.start_tls()
    yield simulator
    await simulator.stop()


@pytest_asyncio.fixture
async def connect(tls):
    """Makes unmodified ccxt clients, addresses and all."""
    clients, sessions = [], []

    async def make(venue, *, key=TRADE_KEY, secret=TRADE_SECRET, demo=False, testnet=False):
        sessions.append(tls.session())
        kind = ccxt.binanceusdm if venue == "binance" else ccxt.bybit
        client = kind({"apiKey": key, "secret": secret, "session": sessions[-1], **options_of(venue)})
        client.has["fetchCurrencies"] = False
        if demo:
            client.enable_demo_trading(True)
        if testnet:
            client.set_sandbox_mode(True)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()
    for session in sessions:
        await session.close()


@pytest.fixture(params=["binance", "bybit"])
def venue(request):
    return request.param


@pytest_asyncio.fixture
async def client(connect, venue):
    made = await connect(venue)
    await made.load_markets()
    return made


def market(side="buy", qty="0.01", **more):
    return Intent("BTCUSDT", side, "market", D(qty), **more)


async def place(client, side="buy", amount=0.01, **params):
    return await client.create_order(BTC, "market", side, amount, params=params)


async def test_the_real_address_answers_from_here(client, tls, venue):
    address = client.urls["api"]["fapiPrivate" if venue == "binance" else "private"]
    assert client.implode_hostname(address).startswith(("https://fapi.binance.com", "https://api.bybit.com"))
    await place(client)
    assert [p["contracts"] for p in await client.fetch_positions()] == [0.01]
    assert len(tls.book.account(venue).fills) == 1


async def test_nothing_leaves_this_machine(tls):
    session = tls.session()
    try:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("https://example.org/")
    finally:
        await session.close()


# What the venue refuses, as ccxt names it when it knows the address.
REFUSED = [
    ("no funds", ccxt.InsufficientFunds, lambda c: place(c, amount=100)),
    ("reduce-only", ccxt.InvalidOrder, lambda c: place(c, side="sell", amount=0.01, reduceOnly=True)),
    ("stop crossed", None, lambda c: place(c, side="sell", stopLossPrice=60500, reduceOnly=True)),
    ("not found", ccxt.OrderNotFound, lambda c: c.cancel_order("77", BTC)),
    ("small", ccxt.InvalidOrder, lambda c: c.create_order("XRP/USDT:USDT", "market", "buy", 0.1)),
]


@pytest.mark.parametrize(("what", "error", "call"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_refusals_have_their_own_class(client, tls, venue, what, error, call):
    if what == "stop crossed":
        await place(client)
        error = ccxt.OrderImmediatelyFillable if venue == "binance" else ccxt.InvalidOrder
    fills = len(tls.book.account(venue).fills)
    with pytest.raises(error) as refused:
        await call(client)
    assert type(refused.value) is error
    assert len(tls.book.account(venue).fills) == fills


async def test_a_duplicate_client_id_has_no_class_of_its_own(client, tls, venue):
    account = tls.book.account(venue)
    orders.place(
        tls.book, account, Intent("BTCUSDT", "buy", "limit", D("0.01"), price=D(50000), client_id="pg-1")
    )
    with pytest.raises(ccxt.InvalidOrder) as refused:
        await place(client, clientOrderId="pg-1")
    assert not isinstance(refused.value, ccxt.DuplicateOrderId)
    assert not account.fills


# Codes the table of outcomes names, and the class ccxt gives them at the real address.
CODES = [
    ("binance", -1000, ccxt.OperationFailed),
    ("binance", -1001, ccxt.OperationFailed),
    ("binance", -1006, ccxt.OperationFailed),
    ("binance", -1007, ccxt.RequestTimeout),
    ("binance", -1008, ccxt.OperationFailed),
    ("binance", -1003, ccxt.RateLimitExceeded),
    ("binance", -1015, ccxt.RateLimitExceeded),
    ("binance", -1021, ccxt.InvalidNonce),
    ("binance", -4116, ccxt.InvalidOrder),
    ("binance", -2019, ccxt.InsufficientFunds),
    ("binance", -2022, ccxt.InvalidOrder),
    ("binance", -2021, ccxt.OrderImmediatelyFillable),
    ("binance", -2011, ccxt.OrderNotFound),
    ("binance", -2013, ccxt.OrderNotFound),
    ("binance", -987654, ccxt.ExchangeError),
    ("bybit", 10000, ccxt.ExchangeError),
    ("bybit", 10016, ccxt.ExchangeError),
    ("bybit", 10002, ccxt.InvalidNonce),
    ("bybit", 10006, ccxt.RateLimitExceeded),
    ("bybit", 10018, ccxt.RateLimitExceeded),
    ("bybit", 110072, ccxt.InvalidOrder),
    ("bybit", 110007, ccxt.InsufficientFunds),
    ("bybit", 110017, ccxt.InvalidOrder),
    ("bybit", 110092, ccxt.InvalidOrder),
    ("bybit", 110093, ccxt.InvalidOrder),
    ("bybit", 110001, ccxt.OrderNotFound),
    ("bybit", 987654, ccxt.ExchangeError),
]


@pytest.mark.parametrize(("at", "code", "error"), CODES)
async def test_every_code_of_the_outcome_table(connect, tls, at, code, error):
    from posguard.simulator import Fault

    client = await connect(at)
    await client.load_markets()
    tls.plan.add(Fault("refuse", method="POST", code=code, message="on purpose"))
    with pytest.raises(error) as refused:
        await place(client)
    assert type(refused.value) is error
    assert not tls.book.account(at).fills


async def test_a_key_belongs_to_its_world(connect, tls):
    host = "api-demo.bybit.com"
    tls.book.add_key(Key("bybit", "demo", "demo-key", "demo-secret", host=host))
    at_home = await connect("bybit", key="demo-key", secret="demo-secret", demo=True)
    await place(at_home)
    assert len(tls.book.account("bybit", "demo").fills) == 1
    for elsewhere in ({}, {"testnet": True}):
        client = await connect("bybit", key="demo-key", secret="demo-secret", **elsewhere)
        with pytest.raises(ccxt.AuthenticationError):
            await place(client)
    assert len(tls.book.account("bybit", "demo").fills) == 1
