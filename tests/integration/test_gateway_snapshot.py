"""Snapshots by the gateway from the simulator over HTTP: complete ones, and every way of not being so."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.exchange import reading
from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_gateway
from posguard.model.position import PositionSide, Side
from posguard.model.venue import OrderKind, World
from posguard.settings import VenueSettings
from tests.fixtures.gateways import VENUES, gateway, plant, settings, venue_settings

POSITIONS = {"binance": "/fapi/v3/positionRisk", "bybit": "/v5/position/list"}
STOPS = {"binance": "/fapi/v1/openAlgoOrders", "bybit": "/v5/order/realtime"}
TIME = {"binance": "/fapi/v1/time", "bybit": "/v5/market/time"}
MARKETS = {"binance": "/fapi/v1/exchangeInfo", "bybit": "/v5/market/instruments-info"}


async def world(control, exchange):
    """Two positions, each with its stop."""
    rows = plant({}, exchange, "BTCUSDT", "0.5", entry="60000")
    plant(rows, exchange, "ETHUSDT", "-2", entry="2500")
    await control.load(**rows)


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_whole_look(sim, control, exchange):
    await world(control, exchange)
    await control.load(
        orders=[
            {
                "venue": exchange,
                "symbol": "SOLUSDT",
                "side": "buy",
                "kind": "limit",
                "price": "140.5",
                "qty": "3",
            }
        ]
    )
    async with gateway(exchange, sim.base_url) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert (look.reasons, look.unresolved) == ((), ())
    assert [(p.symbol, p.position_side, p.side, p.quantity, p.entry_price) for p in look.positions] == [
        ("BTCUSDT", PositionSide.BOTH, Side.LONG, Decimal("0.5"), Decimal(60000)),
        ("ETHUSDT", PositionSide.BOTH, Side.SHORT, Decimal(2), Decimal(2500)),
    ]
    by_symbol = {order.symbol: order for order in look.orders}
    stop = by_symbol["BTCUSDT"]
    assert (stop.kind, stop.buys, stop.quantity, stop.trigger_price) == (
        OrderKind.STOP,
        False,
        Decimal("0.5"),
        Decimal(57000),
    )
    assert stop.only_reduces
    assert stop.client_order_id == "sl-BTCUSDT-both"
    assert by_symbol["ETHUSDT"].buys
    limit = by_symbol["SOLUSDT"]
    assert (limit.kind, limit.price, limit.quantity, limit.trigger_price, limit.only_reduces) == (
        OrderKind.LIMIT,
        Decimal("140.5"),
        Decimal(3),
        None,
        False,
    )
    assert look.markets["BTCUSDT"].lot_step == Decimal("0.001")
    assert look.markets["BTCUSDT"].tick_size == Decimal("0.1")
    assert look.markets["BTCUSDT"].min_notional == Decimal(5)
    assert abs(look.clock_skew_ms) < 1000
    assert look.started_at <= look.finished_at
    assert look.requests == len(await control.log())


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_look_at_one_market_reads_its_orders_alone_and_every_position(sim, control, exchange):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url) as venue:
        whole = await venue.snapshot()
        before = len(await control.log())
        look = await venue.snapshot("BTCUSDT")
        asked = (await control.log())[before:]
        assert look.complete, look.reasons
        assert look.positions == whole.positions
        assert look.orders == tuple(order for order in whole.orders if order.symbol == "BTCUSDT")
        assert sum(entry["weight"] for entry in asked) <= 15, (
            "a whole look takes six times as much on Binance"
        )
        # What is not listed cannot be asked for alone: all of it is read.
        assert (await venue.snapshot("NOSUCHUSDT")).orders == whole.orders
        # Doubted as ever: a list that leaves the stop out once is not believed.
        await control.fault("empty_list", venue=exchange, path=STOPS[exchange], method="GET", count=1)
        short = await venue.snapshot("BTCUSDT")
        assert not short.complete
        assert "orders differ between two reads" in short.reasons[0]
        # And so is a list of positions.
        await control.fault("empty_list", venue=exchange, path=POSITIONS[exchange], count=1)
        assert not (await venue.snapshot("BTCUSDT")).complete


@pytest.mark.parametrize("exchange", VENUES)
async def test_hedge_legs_stay_apart(sim, control, exchange):
    await control.load(accounts=[{"venue": exchange, "name": "main", "hedged": True}])
    rows = plant({}, exchange, "BTCUSDT", "0.5", entry="60000", side="long")
    plant(rows, exchange, "BTCUSDT", "-0.2", entry="60000", side="short")
    await control.load(**rows)
    async with gateway(exchange, sim.base_url, hedge=True) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert {(p.position_side, p.side, p.quantity) for p in look.positions} == {
        (PositionSide.LONG, Side.LONG, Decimal("0.5")),
        (PositionSide.SHORT, Side.SHORT, Decimal("0.2")),
    }
    assert {(o.position_side, o.buys, o.only_reduces) for o in look.orders} == {
        (PositionSide.LONG, False, True),
        (PositionSide.SHORT, True, True),
    }


@pytest.mark.parametrize("exchange", VENUES)
async def test_accounts_do_not_mix(sim, control, exchange):
    await world(control, exchange)
    await control.load(
        accounts=[{"venue": exchange, "name": "second"}],
        keys=[{"venue": exchange, "account": "second", "key": "k2", "secret": "s2", "trade": False}],
        positions=[
            {"venue": exchange, "account": "second", "symbol": "ADAUSDT", "amount": "10", "entry": "1"}
        ],
    )
    second = {"account": "second", "api_key": SecretStr("k2"), "api_secret": SecretStr("s2")}
    async with gateway(exchange, sim.base_url) as one, gateway(exchange, sim.base_url, **second) as other:
        first, two = await one.snapshot(), await other.snapshot()
    assert {p.symbol for p in first.positions} == {"BTCUSDT", "ETHUSDT"}
    assert {p.symbol for p in two.positions} == {"ADAUSDT"}
    assert str(two.venue) == f"{exchange}/second"


async def test_bybit_a_stop_on_the_position_is_counted_once(sim, control):
    await control.load(
        positions=[
            {"venue": "bybit", "symbol": "BTCUSDT", "amount": "0.5", "entry": "60000", "stop_loss": "57000"}
        ]
    )
    async with gateway("bybit", sim.base_url) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert look.positions[0].stop_loss == Decimal(57000)
    (order,) = look.orders
    assert order.position_level
    assert (order.kind, order.quantity, order.close_position) == (OrderKind.STOP, None, True)


async def test_bybit_every_settle_coin_is_read(sim, control):
    await control.load(
        markets=[{"venue": "bybit", "symbol": "BTCPERP", "base": "BTC", "quote": "USDC", "settle": "USDC"}],
        positions=[
            {"venue": "bybit", "symbol": "BTCPERP", "amount": "0.1", "entry": "100"},
            {"venue": "bybit", "symbol": "BTCUSDT", "amount": "0.5", "entry": "60000"},
        ],
    )
    async with gateway("bybit", sim.base_url) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert {p.symbol for p in look.positions} == {"BTCUSDC", "BTCUSDT"}
    assert look.markets["BTCUSDC"].venue_symbol == "BTCPERP"


@pytest.mark.parametrize(("exchange", "symbol"), [("binance", "1000SHIBUSDT"), ("bybit", "SHIB1000USDT")])
async def test_the_same_coin_under_its_other_id(sim, control, exchange, symbol):
    await control.load(positions=[{"venue": exchange, "symbol": symbol, "amount": "5000", "entry": "0.012"}])
    async with gateway(exchange, sim.base_url) as venue:
        look = await venue.snapshot()
    assert [(p.symbol, p.quantity) for p in look.positions] == [(symbol, Decimal(5000))]


@pytest.mark.parametrize("exchange", VENUES)
async def test_hundreds_of_positions_over_many_pages(sim, control, exchange):
    rows = {}
    for n in range(430):
        plant(rows, exchange, f"C{n}USDT", "1")
    await control.load(**rows)
    async with gateway(exchange, sim.base_url) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert len(look.positions) == len(look.orders) == 430
    assert len({p.symbol for p in look.positions}) == 430


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_market_listed_since_is_unresolved_until_the_markets_are_read_again(
    sim, control, exchange, monkeypatch
):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.snapshot()).unresolved == ()
        await control.load(positions=[{"venue": exchange, "symbol": "NEWUSDT", "amount": "3", "entry": "2"}])
        look = await venue.snapshot()
        assert look.complete, look.reasons
        assert look.unresolved == ("NEWUSDT",)
        assert {p.symbol for p in look.positions} == {"BTCUSDT", "ETHUSDT"}
        monkeypatch.setattr(reading, "_RELOAD_MARKETS_MS", -1)
        await venue.snapshot()
        look = await venue.snapshot()
    assert look.unresolved == ()
    assert "NEWUSDT" in {p.symbol for p in look.positions}


BROKEN = [
    ({"kind": "html"}, "HTTP 200 with HTML"),
    ({"kind": "empty_body"}, "HTTP 200 with an empty body"),
    ({"kind": "cut_json"}, "HTTP 200 with cut JSON"),
    ({"kind": "empty_object"}, "HTTP 200"),
    ({"kind": "null_result"}, "null"),
    ({"kind": "empty_result"}, "HTTP 200|result holds no list|time"),
    ({"kind": "cut_body"}, "broke the connection|no answer"),
    # Twice: aiohttp by itself asks a GET once more when a connection that was kept open breaks.
    ({"kind": "reset", "count": 2}, "broke the connection"),
    ({"kind": "status", "status": 524}, "HTTP 524 with HTML"),
    ({"kind": "status", "status": 502}, "HTTP 502 with HTML"),
    ({"kind": "status", "status": 503, "html": False}, "HTTP 503"),
]


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("where", [TIME, POSITIONS, STOPS], ids=["time", "positions", "orders"])
@pytest.mark.parametrize("broken", BROKEN, ids=str)
async def test_a_broken_answer_is_never_flat(sim, control, exchange, where, broken):
    """Once is enough: the look is incomplete, says why, shows nothing; the next one is whole again."""
    fault, words = broken
    await world(control, exchange)
    async with gateway(exchange, sim.base_url, settle_coins=("USDT",)) as venue:
        assert (await venue.snapshot()).complete
        await control.fault(venue=exchange, path=where[exchange], **fault)
        look = await venue.snapshot()
        assert not look.complete
        assert (look.positions, look.orders) == ((), ())
        (reason,) = look.reasons
        assert re.search(words, reason), reason
        assert reason.partition(":")[0].split(" in ")[0] in {
            "time",
            "positions",
            "orders",
            "conditional orders",
        }
        again = await venue.snapshot()
    assert again.complete, again.reasons
    assert len(again.positions) == 2


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("fault", ["html", "empty_body", "cut_json", "empty_object", "status"])
async def test_broken_markets_make_the_look_incomplete(sim, control, exchange, fault):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url) as venue:
        await control.fault(fault, venue=exchange, path=MARKETS[exchange])
        look = await venue.snapshot()
        assert not look.complete
        assert look.reasons[0].startswith("markets: ")
        assert (await venue.snapshot()).complete


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("kind", ["empty_list", "partial_list"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_list_of_positions_that_is_short_once_is_seen(sim, control, exchange, kind, nth):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url, settle_coins=("USDT",)) as venue:
        assert (await venue.snapshot()).complete
        await control.fault(kind, venue=exchange, path=POSITIONS[exchange], nth=nth)
        look = await venue.snapshot()
        assert not look.complete
        assert "changed while orders were read" in look.reasons[0]
        assert (await venue.snapshot()).complete


@pytest.mark.parametrize("exchange", VENUES)
async def test_an_empty_list_that_stays_empty_is_doubted_by_the_accounts_margin(sim, control, exchange):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url) as venue:
        await control.fault("empty_list", venue=exchange, path=POSITIONS[exchange], count=None)
        look = await venue.snapshot()
        assert not look.complete
        assert "holds a margin of" in look.reasons[0]


@pytest.mark.parametrize("exchange", VENUES)
async def test_an_account_without_anything_is_flat(sim, exchange):
    async with gateway(exchange, sim.base_url) as venue:
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert (look.positions, look.orders) == ((), ())


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("kind", ["empty_list", "partial_list"])
@pytest.mark.parametrize("positions", [2, 30])
async def test_a_list_of_orders_that_is_short_once_does_not_undress_a_position(
    sim, control, exchange, kind, positions
):
    rows = {}
    for n in range(positions):
        plant(rows, exchange, f"C{n}USDT", "1")
    await control.load(**rows)
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.snapshot()).complete
        await control.fault(kind, venue=exchange, path=STOPS[exchange], parameters={})
        look = await venue.snapshot()
        assert not look.complete
        assert "orders differ between two reads" in look.reasons[0]
        assert (await venue.snapshot()).complete


async def test_binance_a_lost_plain_order_is_betrayed_by_the_list_of_positions(sim, control):
    order = {
        "venue": "binance",
        "symbol": "SOLUSDT",
        "side": "buy",
        "kind": "limit",
        "price": "140",
        "qty": "3",
    }
    await control.load(orders=[order])
    async with gateway("binance", sim.base_url) as venue:
        assert len((await venue.snapshot()).orders) == 1
        await control.fault("empty_list", venue="binance", path="/fapi/v1/openOrders")
        look = await venue.snapshot()
    assert not look.complete
    assert "SOLUSDT order" in look.reasons[0]


@pytest.mark.parametrize("kind", ["missing_page", "lost_cursor"])
@pytest.mark.parametrize("nth", [2, 4])
async def test_bybit_a_page_that_is_missing_once_is_seen(sim, control, kind, nth):
    rows = {}
    for n in range(430):
        plant(rows, "bybit", f"C{n}USDT", "1")
    await control.load(**rows)
    async with gateway("bybit", sim.base_url, settle_coins=("USDT",)) as venue:
        assert (await venue.snapshot()).complete
        await control.fault(kind, venue="bybit", path=POSITIONS["bybit"], nth=nth)
        look = await venue.snapshot()
    assert not look.complete
    assert "changed while orders were read" in look.reasons[0]


@pytest.mark.parametrize("exchange", VENUES)
async def test_positions_that_move_during_the_look_make_it_incomplete(sim, control, exchange):
    await world(control, exchange)
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.snapshot()).complete
        action = {"do": "close", "venue": exchange, "symbol": "BTCUSDT"}
        await control.fault("act", venue=exchange, path=STOPS[exchange], action=action)
        look = await venue.snapshot()
        assert not look.complete
        assert "BTCUSDT was long 0.5 and then absent" in look.reasons[0]
        look = await venue.snapshot()
    assert look.complete, look.reasons
    assert {p.symbol for p in look.positions} == {"ETHUSDT"}


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("skew", [-30_000, 3_000, 30_000])
async def test_a_clock_that_is_off_makes_the_look_incomplete(sim, control, exchange, skew):
    """Also by three seconds, which the venue itself still lets through."""
    await control.act("skew", venue=exchange, ms=skew)
    async with gateway(exchange, sim.base_url) as venue:
        look = await venue.snapshot()
        assert not look.complete
        assert "set this machine's clock by NTP" in look.reasons[0]
        assert abs(look.clock_skew_ms - skew) < 1000
        assert abs(await venue.clock_skew_ms() - skew) < 1000


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("wrong", ["api_key", "api_secret"])
async def test_a_refused_key_says_what_to_check(sim, exchange, wrong):
    async with gateway(exchange, sim.base_url, **{wrong: SecretStr("nonsense-value")}) as venue:
        look = await venue.snapshot()
    assert not look.complete
    (reason,) = look.reasons
    assert f"POSGUARD_{exchange.upper()}_KEY" in reason
    assert "its IP list" in reason
    assert "nonsense-value" not in reason


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_venue_that_is_down_says_so_in_one_line(exchange, unused_tcp_port):
    address = f"http://127.0.0.1:{unused_tcp_port}"
    async with gateway(exchange, address) as venue:
        look = await venue.snapshot()
    assert look.reasons == (f"time: no connection to {address}: check the network and the venue's address",)
    assert look.requests == 2, "asked once more: nothing had been sent"


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_venue_that_keeps_silent_is_waited_for_once(sim, control, exchange):
    quick = settings(venue_timeout=timedelta(seconds=0.3))
    async with gateway(exchange, sim.base_url, settings_=quick) as venue:
        assert (await venue.snapshot()).complete
        await control.fault("timeout", venue=exchange, path=POSITIONS[exchange])
        look = await venue.snapshot()
    assert not look.complete
    assert "no answer within 0.3 s" in look.reasons[0]


@pytest.mark.parametrize("exchange", VENUES)
async def test_retry_after_is_honoured_for_a_read(sim, control, exchange):
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.snapshot()).complete
        await control.fault(
            "status", venue=exchange, path=POSITIONS[exchange], status=429, html=False, retry_after=1
        )
        began = time.monotonic()
        look = await venue.snapshot()
        took = time.monotonic() - began
    assert look.complete, look.reasons
    assert 1.0 <= took < 3.0


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize(("status", "wait"), [(418, 2), (429, 600)])
async def test_a_ban_ends_all_requests_of_this_process_to_that_venue(sim, control, exchange, status, wait):
    venue_ = venue_settings(exchange, sim.base_url)
    async with open_gateway(venue_, settings()) as venue, open_gateway(venue_, settings()) as same:
        assert (await venue.snapshot()).complete
        await control.fault(
            "status", venue=exchange, path=POSITIONS[exchange], status=status, html=False, retry_after=wait
        )
        look = await venue.snapshot()
        assert not look.complete
        assert f"HTTP {status}, come back in {wait} s" in look.reasons[0]
        if wait > 15:
            before = len(await control.log())
            look = await same.snapshot()
            assert "not asked, for the venue asked for a pause" in look.reasons[0]
            assert len(await control.log()) == before, "nothing was sent"


@pytest.mark.parametrize("exchange", VENUES)
async def test_the_budget_holds_over_http(sim, control, exchange):
    """With a tenth of the usual share a second look has to wait for the window."""
    small = settings(weight_share=0.05 if exchange == "binance" else 0.02)
    budget = Budget(240, 1.5, share=0.5) if exchange == "binance" else Budget(24, 1.5, share=0.5)
    async with open_gateway(venue_settings(exchange, sim.base_url), small, budget=budget) as venue:
        began = time.monotonic()
        assert (await venue.snapshot()).complete
        assert (await venue.snapshot()).complete
        assert time.monotonic() - began >= 1.4


def test_each_world_has_its_own_address():
    def address(exchange, world_, base_url=None):
        venue = VenueSettings(
            exchange=exchange,
            world=world_,
            api_key=SecretStr("k"),
            api_secret=SecretStr("s"),
            base_url=base_url,
        )
        return open_gateway(venue, settings())._client.address

    assert address("binance", World.PRODUCTION) == "https://fapi.binance.com"
    assert address("binance", World.TESTNET) == "https://testnet.binancefuture.com"
    assert address("binance", World.DEMO) == "https://demo-fapi.binance.com"
    assert address("bybit", World.PRODUCTION) == "https://api.bybit.com"
    assert address("bybit", World.TESTNET) == "https://api-testnet.bybit.com"
    assert address("bybit", World.DEMO) == "https://api-demo.bybit.com"
    for exchange in VENUES:
        for world_ in World:
            assert address(exchange, world_, "http://127.0.0.1:1/") == "http://127.0.0.1:1"
