"""Faults on demand: what each does to an unmodified ccxt client, and what really happened on the book."""

from __future__ import annotations

from decimal import Decimal

import ccxt.async_support as ccxt
import pytest
import pytest_asyncio

from posguard.simulator import SimulatorControl, SimulatorError
from tests.fixtures.simulator import client_of

D = Decimal
BTC = "BTC/USDT:USDT"
POSITIONS = {"binance": "*/positionRisk", "bybit": "*/position/list"}
ORDER = {"binance": "/fapi/v1/order", "bybit": "/v5/order/create"}


@pytest.fixture(params=["binance", "bybit"])
def venue(request):
    return request.param


@pytest_asyncio.fixture
async def client(simulator, venue):
    found = client_of(venue, simulator.base_url)
    await found.load_markets()
    yield found
    await found.close()


@pytest_asyncio.fixture
async def control(simulator):
    async with SimulatorControl(simulator.base_url) as found:
        yield found


@pytest.fixture
def account(simulator, venue):
    made = simulator.book.account(venue)
    simulator.book.set_position(made, "BTCUSDT", D("0.01"), D(60000))
    simulator.book.set_position(made, "ETHUSDT", D("0.5"), D(2500))
    return made


async def entry(client, **params):
    return await client.create_order(BTC, "market", "buy", 0.01, params=params)


async def symbols(client):
    return sorted(p["symbol"] for p in await client.fetch_positions())


HELD = [BTC, "ETH/USDT:USDT"]


@pytest.mark.parametrize(
    "kind", ["empty_list", "html", "empty_body", "cut_json", "empty_object", "null_result", "empty_result"]
)
async def test_a_false_empty_comes_once_and_raises_nothing(client, control, account, venue, kind):
    await control.fault(kind, venue=venue, path=POSITIONS[venue])
    if (venue, kind) == ("bybit", "empty_object"):
        with pytest.raises(ccxt.ExchangeError):
            await client.fetch_positions()
    else:
        assert await symbols(client) == []
    assert await symbols(client) == HELD


async def test_a_body_cut_in_the_middle(client, control, account, venue):
    await control.fault("cut_body", venue=venue, path=POSITIONS[venue])
    with pytest.raises(ccxt.ExchangeError) as cut:
        await client.fetch_positions()
    assert type(cut.value) is ccxt.ExchangeError
    assert await symbols(client) == HELD


@pytest.mark.parametrize("kind", ["partial_list"])
async def test_half_a_list(client, control, account, venue, kind):
    await control.fault(kind, venue=venue, path=POSITIONS[venue], keep="0.5")
    assert len(await client.fetch_positions()) == 1
    assert await symbols(client) == HELD


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (418, ccxt.DDoSProtection),
        (500, ccxt.ExchangeNotAvailable),
        (502, ccxt.ExchangeNotAvailable),
        (503, ccxt.ExchangeNotAvailable),
        (504, ccxt.RequestTimeout),
    ],
)
async def test_a_server_error(client, control, account, venue, status, error, html):
    await control.fault("status", venue=venue, path=POSITIONS[venue], status=status, html=html)
    with pytest.raises(error):
        await client.fetch_positions()
    assert await symbols(client) == HELD


async def test_524_is_no_error_to_ccxt(client, control, account, venue):
    await control.fault("status", venue=venue, path=POSITIONS[venue], status=524)
    assert await symbols(client) == []
    assert await symbols(client) == HELD


async def test_too_many_requests_name_the_time_to_wait(client, control, account, venue):
    status = 429 if venue == "binance" else 403
    await control.fault("status", venue=venue, path=POSITIONS[venue], status=status, retry_after=7)
    with pytest.raises(ccxt.DDoSProtection if venue == "binance" else ccxt.RateLimitExceeded):
        await client.fetch_positions()
    assert client.last_response_headers["Retry-After"] == "7"


async def test_a_time_out_before_and_after_execution(client, control, account, venue, simulator):
    client.timeout = 300
    for when, fills in (("before", 0), ("after", 1)):
        await control.fault("timeout", venue=venue, path=ORDER[venue], method="POST", when=when)
        with pytest.raises(ccxt.RequestTimeout):
            await entry(client, clientOrderId=f"pg-{when}")
        assert len(account.fills) == fills
    last = [e for e in await control.log() if e["path"] == ORDER[venue]]
    assert [(e["executed"], e["faults"]) for e in last] == [(False, ["timeout"]), (True, ["timeout"])]


async def test_latency(client, control, account, venue):
    client.timeout = 200
    await control.fault("latency", venue=venue, path=POSITIONS[venue], seconds=5)
    with pytest.raises(ccxt.RequestTimeout):
        await client.fetch_positions()
    client.timeout = 10_000
    await control.fault("latency", venue=venue, path=POSITIONS[venue], seconds=0.05, when="after")
    assert await symbols(client) == HELD


@pytest.mark.parametrize("kind", ["bad_key", "bad_signature"])
async def test_a_bad_key_on_demand(client, control, account, venue, kind):
    await control.fault(kind, venue=venue, path=POSITIONS[venue])
    with pytest.raises(ccxt.AuthenticationError):
        await client.fetch_positions()
    assert await symbols(client) == HELD


async def test_clock_skew_on_demand(client, control, account, venue):
    await control.fault("clock_skew", venue=venue, path=POSITIONS[venue])
    with pytest.raises(ccxt.InvalidNonce):
        await client.fetch_positions()


@pytest.mark.parametrize("kind", ["missing_page", "lost_cursor"])
async def test_bybit_loses_a_page(bybit, control, kind):
    await bybit.load_markets()
    rows = [{"venue": "bybit", "symbol": f"C{n}USDT", "amount": "3", "entry": "10"} for n in range(450)]
    await control.load(positions=rows)
    await control.fault(kind, venue="bybit", path="*/position/list", nth=2)
    params = {"category": "linear", "settleCoin": "USDT", "limit": 200}
    first = (await bybit.privateGetV5PositionList(params))["result"]
    second = (await bybit.privateGetV5PositionList({**params, "cursor": first["nextPageCursor"]}))["result"]
    assert second["nextPageCursor"] == ""
    assert len(second["list"]) == (0 if kind == "missing_page" else 200)


async def test_a_fault_hits_what_it_is_addressed_to_and_nothing_else(client, control, account, venue):
    other = "bybit" if venue == "binance" else "binance"
    for address in (
        {"venue": other},
        {"method": "POST"},
        {"path": "*/nothing"},
        {"symbol": "ETHUSDT"},
        {"account": "second"},
        {"parameters": {"limit": "7"}},
        {"nth": 2},
        {"count": 0},
        {"probability": 0.0},
    ):
        await control.fault("empty_list", **{"path": POSITIONS[venue], **address})
        assert await symbols(client) == HELD, address
        await control.clear_faults()


async def test_the_nth_call_so_many_times(client, control, account, venue):
    await control.fault("empty_list", path=POSITIONS[venue], nth=2, count=2)
    sizes = [len(await client.fetch_positions()) for _ in range(5)]
    assert sizes == [2, 0, 0, 2, 2]
    (fault,) = await control.faults()
    assert (fault["seen"], fault["used"]) == (3, 2)


async def test_the_control_api_says_what_it_cannot_do(control):
    with pytest.raises(SimulatorError, match="kind is one of"):
        await control.fault("no_such_fault")
    with pytest.raises(SimulatorError, match="do is one of"):
        await control.act("no_such_action")
    with pytest.raises(SimulatorError, match="positions row 1: "):
        await control.load(positions=[{"venue": "kraken", "symbol": "X", "amount": "1"}])
    with pytest.raises(SimulatorError, match="last must be given"):
        await control.act("price", venue="binance", symbol="BTCUSDT")
