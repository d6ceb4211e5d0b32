"""Fill histories by the gateway from the simulator over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from posguard.model.position import PositionSide
from posguard.model.venue import FillKind
from tests.fixtures.gateways import VENUES, gateway

TRADES = {"binance": "/fapi/v1/userTrades", "bybit": "/v5/execution/list"}
DAY = timedelta(days=1)


def now():
    return datetime.now(UTC)


def ms(at):
    return int(at.timestamp() * 1000)


@pytest.mark.parametrize("exchange", VENUES)
async def test_an_order_that_had_rested_is_named_by_its_fill(sim, control, exchange):
    """It was made before the time that is asked about, and traded after it."""
    resting = {"venue": exchange, "symbol": "BTCUSDT", "side": "buy", "kind": "limit", "qty": "1"}
    hour_ago = now() - timedelta(hours=1)
    await control.load(
        orders=[{**resting, "price": "59000", "client_id": "rested", "created_ms": ms(hour_ago)}]
    )
    since = now() - timedelta(seconds=2)
    await control.price(exchange, "BTCUSDT", "58990")
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.fills({"BTCUSDT"}, since)
    assert history.complete, history.reasons
    assert [fill.client_order_id for fill in history.fills] == ["rested"]


@pytest.mark.parametrize("exchange", VENUES)
async def test_every_kind_of_fill(sim, control, exchange):
    """A trade by hand, a stop that fires, a liquidation, a deleveraging."""
    since = now() - DAY
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        await control.act("trade", venue=exchange, symbol=symbol, delta="1")
    await control.load(
        orders=[
            {
                "venue": exchange,
                "symbol": "BTCUSDT",
                "side": "sell",
                "qty": "1",
                "trigger": "57000",
                "reduce_only": True,
                "client_id": "my-stop",
            }
        ]
    )
    assert await control.price(exchange, "BTCUSDT", "56990")
    await control.act("liquidate", venue=exchange, symbol="ETHUSDT")
    await control.act("adl", venue=exchange, symbol="SOLUSDT")
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.fills({"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"}, since)
    assert history.complete, history.reasons
    assert history.symbols == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"}
    told = {(f.symbol, f.buys, f.kind) for f in history.fills}
    assert told == {
        ("BTCUSDT", True, FillKind.TRADE),
        ("BTCUSDT", False, FillKind.STOP),
        ("ETHUSDT", True, FillKind.TRADE),
        ("ETHUSDT", False, FillKind.LIQUIDATION),
        ("SOLUSDT", True, FillKind.TRADE),
        ("SOLUSDT", False, FillKind.DELEVERAGING),
    }
    assert len(history.fills) == 6, "a liquidation told in two lists is one fill"
    for symbol in history.symbols:
        net = sum(
            (f.quantity if f.buys else -f.quantity for f in history.fills if f.symbol == symbol), Decimal(0)
        )
        assert net == 0
    (stop,) = [f for f in history.fills if f.kind is FillKind.STOP]
    assert stop.client_order_id == "my-stop"
    assert [f.at for f in history.fills] == sorted(f.at for f in history.fills)
    assert all(f.at.utcoffset() == timedelta() for f in history.fills)


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("spread", [timedelta(hours=1), timedelta(days=20)])
async def test_thousands_of_fills_over_pages_and_windows(sim, control, exchange, spread):
    """More than an answer holds, and more than a question may span: each once, none lost."""
    count, end = 2300, now()
    start = end - spread
    step = spread / count
    await control.load(
        fills=[
            {
                "venue": exchange,
                "symbol": "BTCUSDT",
                "side": "buy" if n % 2 else "sell",
                "qty": "0.001",
                "price": "60000",
                "time_ms": ms(start + n * step) + 1,
            }
            for n in range(count)
        ]
    )
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.fills(["BTCUSDT"], start)
        later = await venue.fills(["BTCUSDT"], start + spread / 2)
    assert history.complete, history.reasons
    assert len(history.fills) == count
    assert len({f.trade_id for f in history.fills}) == count
    assert len(later.fills) == count // 2


@pytest.mark.parametrize("exchange", VENUES)
async def test_hundreds_of_symbols_at_once(sim, control, exchange):
    symbols = [f"C{n}USDT" for n in range(120)]
    await control.load(
        fills=[
            {"venue": exchange, "symbol": s, "side": "buy", "qty": "1", "price": "10", "time_ms": ms(now())}
            for s in symbols
        ]
    )
    async with gateway(exchange, sim.base_url) as venue:
        history = await venue.fills(symbols, now() - DAY)
    assert history.complete, history.reasons
    assert {f.symbol for f in history.fills} == set(symbols)


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("said", [True, False])
async def test_hedge_fills_name_their_leg(sim, control, exchange, said):
    """Where the settings say that the account is in hedge mode, and where a snapshot has shown it."""
    await control.load(accounts=[{"venue": exchange, "name": "main", "hedged": True}])
    for side, delta in (("long", "1"), ("short", "-2")):
        await control.act("trade", venue=exchange, symbol="BTCUSDT", side=side, delta=delta)
        await control.act("close", venue=exchange, symbol="BTCUSDT", side=side)
    await control.act("trade", venue=exchange, symbol="ETHUSDT", side="long", delta="1")
    async with gateway(exchange, sim.base_url, hedge=said) as venue:
        await venue.snapshot()
        assert venue.hedge
        history = await venue.fills(["BTCUSDT"], now() - DAY)
    assert history.complete, history.reasons
    assert sorted((f.position_side, f.buys, f.quantity) for f in history.fills) == [
        (PositionSide.LONG, False, Decimal(1)),
        (PositionSide.LONG, True, Decimal(1)),
        (PositionSide.SHORT, False, Decimal(2)),
        (PositionSide.SHORT, True, Decimal(2)),
    ]


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "html"}, "with HTML"),
        ({"kind": "cut_json"}, "cut JSON"),
        ({"kind": "null_result"}, "null"),
        ({"kind": "status", "status": 524}, "HTTP 524"),
        ({"kind": "status", "status": 500, "html": False}, "HTTP 500"),
        ({"kind": "bad_key"}, "the key was refused"),
    ],
    ids=str,
)
async def test_a_history_with_a_broken_page_proves_nothing(sim, control, exchange, fault, words):
    await control.act("trade", venue=exchange, symbol="BTCUSDT", delta="1")
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.fills(["BTCUSDT", "ETHUSDT"], now() - DAY)).complete
        await control.fault(venue=exchange, path=TRADES[exchange], nth=2, **fault)
        history = await venue.fills(["BTCUSDT", "ETHUSDT"], now() - DAY)
        assert not history.complete
        assert words in history.reasons[0]
        assert history.fills == ()
        assert (await venue.fills(["BTCUSDT", "ETHUSDT"], now() - DAY)).complete


@pytest.mark.parametrize("exchange", VENUES)
async def test_what_cannot_be_known_is_said(sim, control, exchange):
    await control.act("trade", venue=exchange, symbol="BTCUSDT", delta="1")
    async with gateway(exchange, sim.base_url) as venue:
        strange = await venue.fills(["BTCUSDT", "NOSUCHUSDT"], now() - DAY)
        ancient = await venue.fills(["BTCUSDT"], now() - 3000 * DAY) if exchange == "binance" else None
        nothing = await venue.fills([], now() - DAY)
    assert not strange.complete
    assert "NOSUCHUSDT is no market" in strange.reasons[0]
    assert len(strange.fills) == 1, "what is known is told all the same"
    if ancient:
        assert not ancient.complete
        assert "keeps none older than" in ancient.reasons[0]
    assert nothing.complete
    assert nothing.fills == ()


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_fill_of_this_instant_is_in_the_history(sim, control, exchange):
    """Also where the venue's clock, which stamps it, is ahead of ours."""
    await control.act("skew", venue=exchange, ms=1500)
    row = {"venue": exchange, "symbol": "BTCUSDT", "side": "buy", "qty": "0.1", "price": "60000"}
    async with gateway(exchange, sim.base_url) as venue:
        await control.load(fills=[{**row, "time_ms": ms(now()) + 1500}])
        history = await venue.fills(["BTCUSDT"], now() - DAY)
    assert history.complete, history.reasons
    assert len(history.fills) == 1
