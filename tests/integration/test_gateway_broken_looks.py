"""Looks at a venue that answers wrongly, late, in part or not at all: incomplete, and never flat."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from pydantic import SecretStr

from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_gateway
from tests.fixtures.gateways import VENUES, gateway, plant, settings, venue_settings
from tests.fixtures.looks import POSITIONS, STOPS, world

TIME = {"binance": "/fapi/v1/time", "bybit": "/v5/market/time"}


MARKETS = {"binance": "/fapi/v1/exchangeInfo", "bybit": "/v5/market/instruments-info"}


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
    await control.fault("timeout", venue=exchange, path=POSITIONS[exchange])
    async with gateway(exchange, sim.base_url, settings_=quick) as venue:
        look = await venue.snapshot()
    assert not look.complete
    assert "no answer within 0.3 s" in look.reasons[0]
    await control.clear_faults()
    async with gateway(exchange, sim.base_url) as venue:
        assert (await venue.snapshot()).complete


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
    assert took >= 1.0


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
