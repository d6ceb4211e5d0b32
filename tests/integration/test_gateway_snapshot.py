"""Snapshots by the gateway from the simulator over HTTP: complete ones, and every way of not being so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.exchange import reading
from posguard.exchange.gateway import open_gateway
from posguard.model.position import PositionSide, Side
from posguard.model.venue import OrderKind, World
from posguard.settings import VenueSettings
from tests.fixtures.gateways import VENUES, gateway, plant, settings
from tests.fixtures.looks import POSITIONS, STOPS, world


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
