"""Order histories by the gateway from the simulator over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_trading_gateway
from posguard.model.order import OrderState
from posguard.model.position import Side
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from tests.fixtures.gateways import VENUES, gateway, settings, venue_settings

DAY = timedelta(days=1)
ORDERS = {
    "binance": ("/fapi/v1/allOrders", "/fapi/v1/allAlgoOrders"),
    "bybit": ("/v5/order/realtime", "/v5/order/history"),
}


def now():
    return datetime.now(UTC)


def trader(exchange, base_url):
    keys = {"trade_key": SecretStr(TRADE_KEY), "trade_secret": SecretStr(TRADE_SECRET)}
    return open_trading_gateway(
        venue_settings(exchange, base_url, **keys), settings(), budget=Budget.unlimited()
    )


@pytest.mark.parametrize("exchange", VENUES)
async def test_orders_of_every_end_are_told(sim, control, exchange):
    """Filled, cancelled, live, conditional ones of each: and only those of the symbol."""
    since = now() - timedelta(hours=1)
    async with trader(exchange, sim.base_url) as bot:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            await bot.place_entry(symbol, Side.LONG, Decimal(1), client_order_id=f"in-{symbol}")
        for name in ("gone", "stands"):
            await bot.place_stop("BTCUSDT", Side.LONG, Decimal(1), Decimal(50_000), client_order_id=name)
        await bot.cancel("BTCUSDT", conditional=True, client_order_id="gone")
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.orders_since("BTCUSDT", since)
        later = await venue.orders_since("BTCUSDT", now() + timedelta(minutes=1))
    assert history.complete, history.reasons
    assert {(o.client_order_id, o.state, o.only_reduces) for o in history.orders} == {
        ("in-BTCUSDT", OrderState.FILLED, False),
        ("gone", OrderState.CANCELED, True),
        ("stands", OrderState.LIVE, True),
    }
    assert history.unfilled_since == since
    live = {o.client_order_id for o in later.orders}
    assert live <= {"stands"}, "only what is live may be older than what was asked for"


@pytest.mark.parametrize("exchange", VENUES)
async def test_all_pages_and_windows_are_read(sim, control, exchange):
    count, start = (1_205 if exchange == "binance" else 120), now() - 20 * DAY
    made = [int((start + n * (9 * DAY) / count).timestamp() * 1000) for n in range(count)]
    row = {
        "venue": exchange,
        "symbol": "BTCUSDT",
        "side": "buy",
        "qty": "0.1",
        "price": "60000",
        "status": "filled",
    }
    await control.load(
        orders=[
            {**row, "filled": "0.1", "client_id": f"o-{n}", "created_ms": at} for n, at in enumerate(made)
        ]
    )
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.orders_since("BTCUSDT", start - DAY)
    assert history.complete, history.reasons
    assert len(history.orders) == count
    assert {o.state for o in history.orders} == {OrderState.FILLED}


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "fault", [{"kind": "html"}, {"kind": "null_result"}, {"kind": "status", "status": 500}], ids=str
)
async def test_a_broken_list_is_no_history(sim, control, exchange, which, fault):
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.orders_since("BTCUSDT", now() - DAY)).complete
        await control.fault(venue=exchange, path=ORDERS[exchange][which], **fault)
        history = await venue.orders_since("BTCUSDT", now() - DAY)
    assert not history.complete
    assert history.reasons
    assert history.orders == ()


@pytest.mark.parametrize("exchange", VENUES)
async def test_what_cannot_be_known_of_orders_is_said(sim, exchange):
    async with gateway(exchange, sim.base_url) as venue:
        strange = await venue.orders_since("NOSUCHUSDT", now() - DAY)
        ancient = await venue.orders_since("BTCUSDT", now() - 100 * DAY)
    assert "NOSUCHUSDT is no market" in strange.reasons[0]
    assert ancient.complete is (exchange == "bybit")
    assert ancient.complete or "keeps none older than" in ancient.reasons[0]
    assert ancient.unfilled_since > now() - 4 * DAY
