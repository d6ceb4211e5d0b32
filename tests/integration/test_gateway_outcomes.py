"""Every row of the outcome table, provoked over HTTP through ccxt with the venues' real addresses."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from posguard.exchange import outcomes
from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_trading_gateway
from posguard.model.order import Outcome, Why
from posguard.model.position import Side
from posguard.model.venue import World
from posguard.simulator import Simulator, actions, faults
from posguard.simulator.defaults import READ_KEY, READ_SECRET, TRADE_KEY, TRADE_SECRET
from tests.fixtures.gateways import settings, venue_settings
from tests.fixtures.traders import impatient

ORDERS = {"binance": "/fapi/v1/order", "bybit": "/v5/order/create"}
ID = "pg-e-1"


@pytest_asyncio.fixture
async def tls():
    sim = Simulator(seed=1)
    await sim.start_tls()
    async with sim.session() as session:
        yield sim, session
    await sim.stop()


def trader(exchange, session, *, key=TRADE_KEY, secret=TRADE_SECRET, seconds=2.0, budget=None, **values):
    venue = venue_settings(
        exchange,
        None,
        world=World.PRODUCTION,
        trade_key=SecretStr(key),
        trade_secret=SecretStr(secret),
    )
    return open_trading_gateway(
        venue,
        settings(venue_timeout=timedelta(seconds=seconds)),
        budget=budget or Budget.unlimited(),
        session=session,
        **values,
    )


def traded(sim, exchange, client_id=ID):
    """The orders on the venue's own book that carry the client id, and what they traded."""
    orders = [o for o in sim.book.account(exchange).orders.values() if o.client_id == client_id]
    return len(orders), sum((o.filled for o in orders), Decimal(0))


async def enter(venue, quantity="0.01", client_order_id=ID):
    return await venue.place_entry("BTCUSDT", Side.LONG, Decimal(quantity), client_order_id=client_order_id)


async def close(venue):
    return await venue.close_reduce_only("BTCUSDT", Side.LONG, Decimal("0.01"), client_order_id=ID)


async def stop_through(venue):
    """Where a stop's price is already through: Binance is shown a position first, for it checks when the order fires."""
    return await venue.place_stop("BTCUSDT", Side.LONG, Decimal("0.01"), Decimal(70000), client_order_id=ID)


async def stop_of_a_short_through(venue):
    return await venue.place_stop("BTCUSDT", Side.SHORT, Decimal("0.01"), Decimal(50000), client_order_id=ID)


async def twice(venue):
    assert (await enter(venue)).outcome is Outcome.ACCEPTED
    return await enter(venue)


async def cancel_nothing(venue):
    return await venue.cancel("BTCUSDT", conditional=False, client_order_id=ID)


@dataclass(frozen=True)
class Case:
    """One provocation: by itself (`do` on a world that `first` made), or by a fault on the order's path."""

    code: str
    outcome: Outcome
    why: Why
    do: Any = enter
    fault: dict[str, Any] | None = None
    first: tuple[dict[str, Any], ...] = ()
    credentials: tuple[str, str] = (TRADE_KEY, TRADE_SECRET)
    on_the_book: int = 0
    venues: tuple[str, ...] = field(default=("binance", "bybit"))

    def __str__(self) -> str:
        return f"{self.code}-{'natural' if self.fault is None else self.fault['kind']}"


def refused(code, outcome, why, status=400):
    fault = {"kind": "refuse", "code": code, "message": "as the venue says it", "status": status}
    return Case(str(code), outcome, why, fault=fault)


R, U, X, A = Outcome.REJECTED, Outcome.UNKNOWN, Outcome.EXISTS, Outcome.ACCEPTED
OPEN = ({"do": "trade", "symbol": "BTCUSDT", "delta": "0.01"},)
SHORT = ({"do": "trade", "symbol": "BTCUSDT", "delta": "-0.01"},)

NATURAL = {
    "binance": [
        Case("", A, Why.NONE, on_the_book=1),
        Case("-2019", R, Why.FUNDS, do=lambda v: enter(v, "900")),
        Case("-2022", R, Why.REDUCE_ONLY, do=close),
        Case("-2021", R, Why.WOULD_TRIGGER, do=stop_through, first=OPEN),
        Case("-2011", R, Why.NOT_FOUND, do=cancel_nothing),
        Case("-1021", R, Why.CLOCK, first=({"do": "skew", "ms": 60_000},)),
        Case("-2015", R, Why.KEY, credentials=(READ_KEY, READ_SECRET)),
        Case("-2015", R, Why.KEY, credentials=("nobody", "x")),
        Case("-1022", R, Why.KEY, credentials=(TRADE_KEY, "wrong")),
        Case(
            "-4164",
            R,
            Why.MALFORMED,
            do=lambda v: v.place_entry("XRPUSDT", Side.LONG, Decimal(1), client_order_id=ID),
        ),
        Case("-4005", R, Why.MALFORMED, do=lambda v: enter(v, "2000000")),
    ],
    "bybit": [
        Case("", A, Why.NONE, on_the_book=1),
        Case("110007", R, Why.FUNDS, do=lambda v: enter(v, "900")),
        Case("110017", R, Why.REDUCE_ONLY, do=close),
        Case("110093", R, Why.WOULD_TRIGGER, do=stop_through, first=OPEN),
        Case("110092", R, Why.WOULD_TRIGGER, do=stop_of_a_short_through, first=SHORT),
        Case("110001", R, Why.NOT_FOUND, do=cancel_nothing),
        Case("110072", X, Why.DUPLICATE, do=twice, on_the_book=1),
        Case("10002", R, Why.CLOCK, first=({"do": "skew", "ms": 60_000},)),
        Case("10005", R, Why.KEY, credentials=(READ_KEY, READ_SECRET)),
        Case("10003", R, Why.KEY, credentials=("nobody", "x")),
        Case("10004", R, Why.KEY, credentials=(TRADE_KEY, "wrong")),
        Case(
            "110094",
            R,
            Why.MALFORMED,
            do=lambda v: v.place_entry("XRPUSDT", Side.LONG, Decimal(1), client_order_id=ID),
        ),
        Case("10001", R, Why.MALFORMED, do=lambda v: enter(v, "2000000")),
    ],
}
TABLES = {"binance": outcomes.BINANCE, "bybit": outcomes.BYBIT}
# As exchange.md's table has it, written out a second time: the test must not read its expectation from the table it tests.
DOCUMENTED = {
    "binance": [
        *[refused(code, U, Why.VENUE) for code in (-1000, -1001, -1006, -1007, -1008)],
        refused(-4116, X, Why.DUPLICATE),
        refused(-1021, R, Why.CLOCK),
        refused(-1003, R, Why.RATE, 429),
        refused(-1015, R, Why.RATE, 429),
        refused(-2019, R, Why.FUNDS),
        refused(-2022, R, Why.REDUCE_ONLY),
        refused(-2021, R, Why.WOULD_TRIGGER),
        refused(-2011, R, Why.NOT_FOUND),
        refused(-2013, R, Why.NOT_FOUND),
        *[refused(code, R, Why.KEY, 401) for code in (-1022, -2014, -2015)],
        *[
            refused(code, R, Why.MALFORMED)
            for code in (-1102, -1106, -1111, -1121, -4003, -4005, -4014, -4061, -4164)
        ],
    ],
    "bybit": [
        *[refused(code, U, Why.VENUE) for code in (10000, 10016)],
        refused(110072, X, Why.DUPLICATE),
        refused(10002, R, Why.CLOCK),
        refused(10006, R, Why.RATE),
        refused(10018, R, Why.RATE),
        refused(110007, R, Why.FUNDS),
        refused(110017, R, Why.REDUCE_ONLY),
        refused(110092, R, Why.WOULD_TRIGGER),
        refused(110093, R, Why.WOULD_TRIGGER),
        refused(110001, R, Why.NOT_FOUND),
        *[refused(code, R, Why.KEY) for code in (10003, 10004, 10005, 10010, 33004)],
        refused(10001, R, Why.MALFORMED),
        refused(110094, R, Why.MALFORMED),
    ],
}
WIRE = [
    Case("", U, Why.SILENCE, fault={"kind": "timeout"}),
    Case("", U, Why.SILENCE, fault={"kind": "timeout", "when": "after"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "reset"}),
    Case("", U, Why.SILENCE, fault={"kind": "reset", "when": "after"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "cut_body"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "cut_json"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "html"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "empty_body"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "empty_object"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "null_result"}, on_the_book=1),
    Case("", U, Why.SILENCE, fault={"kind": "no_id"}, on_the_book=1),
    *[
        Case(
            f"HTTP {status}",
            U,
            Why.VENUE,
            fault={"kind": "status", "status": status, "when": when},
            on_the_book=n,
        )
        for status in (408, 500, 502, 503, 504, 524)
        for when, n in (("before", 0), ("after", 1))
    ],
    Case("HTTP 429", R, Why.RATE, fault={"kind": "status", "status": 429, "retry_after": 7}),
    Case(
        "HTTP 418",
        R,
        Why.RATE,
        fault={"kind": "status", "status": 418, "retry_after": 7},
        venues=("binance",),
    ),
    Case("HTTP 403", R, Why.RATE, fault={"kind": "status", "status": 403}, venues=("bybit",)),
    Case("HTTP 403", U, Why.VENUE, fault={"kind": "status", "status": 403}, venues=("binance",)),
    Case("HTTP 404", U, Why.VENUE, fault={"kind": "status", "status": 404}),
    # A code that stands in no table; and one that does, in a server error.
    Case("-9999", U, Why.VENUE, fault={"kind": "refuse", "code": -9999, "message": "new"}),
    Case("-2019", U, Why.VENUE, fault={"kind": "refuse", "code": -2019, "status": 503}, venues=("binance",)),
]
CASES = [
    *[(exchange, case) for exchange in NATURAL for case in NATURAL[exchange]],
    *[(exchange, case) for exchange in DOCUMENTED for case in DOCUMENTED[exchange]],
    *[(exchange, case) for case in WIRE for exchange in case.venues],
]


@pytest.mark.parametrize(("exchange", "case"), CASES, ids=str)
async def test_every_row(tls, exchange, case):
    sim, session = tls
    for action in case.first:
        actions.act(sim.book, {"venue": exchange, **action})
    key, secret = case.credentials
    async with trader(exchange, session, key=key, secret=secret) as venue:
        if case.fault is not None:
            if case.fault["kind"] in {"timeout", "late"}:
                impatient(venue, ORDERS[exchange], "POST")
            sim.plan.add(faults.read({"venue": exchange, "path": ORDERS[exchange], **case.fault}))
        reply = await case.do(venue)
    assert (reply.outcome, reply.why) == (case.outcome, case.why), reply
    if case.code:
        assert reply.code == case.code
    assert reply.client_order_id == ID
    assert bool(reply.order_id) is (reply.outcome is Outcome.ACCEPTED)
    assert bool(reply.reason) is (reply.outcome is not Outcome.ACCEPTED)
    if case.fault and "retry_after" in case.fault:
        assert reply.retry_after == 7
    count, filled = traded(sim, exchange)
    assert count == case.on_the_book
    if case.outcome is Outcome.REJECTED:
        assert (count, filled) == (0, 0), "what is called rejected is not on the book"
    sent = [
        entry for entry in sim.log.rows(0) if entry["path"] == ORDERS[exchange] and entry["method"] == "POST"
    ]
    assert len(sent) <= (2 if case.do is twice else 1), "nothing is sent again by itself"


@pytest.mark.parametrize("exchange", TABLES)
def test_no_code_of_the_table_is_without_a_case(exchange):
    tried = {case.code for venue, case in CASES if venue == exchange}
    assert set(TABLES[exchange].codes) <= tried
    assert {f"HTTP {status}" for status in TABLES[exchange].statuses} <= tried
    sys.stdout.write(f"{exchange}: {sum(venue == exchange for venue, _ in CASES)} cases of outcomes\n")


async def test_binance_takes_a_client_id_again_once_its_order_is_filled(tls):
    """Sending again is not idempotent there (which is why nothing is ever sent again blindly)."""
    sim, session = tls
    async with trader("binance", session) as venue:
        await enter(venue)
        again = await enter(venue)
    assert again.outcome is Outcome.ACCEPTED
    assert traded(sim, "binance") == (2, Decimal("0.02"))


async def test_binance_an_open_order_keeps_its_client_id(tls):
    sim, session = tls
    actions.act(sim.book, {"venue": "binance", **OPEN[0]})
    async with trader("binance", session) as venue:

        async def stop():
            return await venue.place_stop(
                "BTCUSDT", Side.LONG, Decimal("0.01"), Decimal(50000), client_order_id=ID
            )

        assert (await stop()).outcome is Outcome.ACCEPTED
        reply = await stop()
    assert (reply.outcome, reply.code) == (Outcome.EXISTS, "-4116")


@pytest.mark.parametrize("exchange", TABLES)
async def test_nothing_is_sent_where_nothing_listens(exchange, unused_tcp_port):
    """Connection refused: rejected, never sent, at once."""
    venue_ = venue_settings(
        exchange,
        f"http://127.0.0.1:{unused_tcp_port}",
        trade_key=SecretStr(TRADE_KEY),
        trade_secret=SecretStr(TRADE_SECRET),
    )
    async with Simulator(seed=1) as sim:
        there = venue_.model_copy(update={"base_url": sim.base_url})
        async with open_trading_gateway(there, settings(), budget=Budget.unlimited()) as venue:
            await venue.snapshot()
            await sim.stop()
            reply = await enter(venue)
    assert (reply.outcome, reply.why) == (Outcome.REJECTED, Why.NEVER_SENT)
    async with open_trading_gateway(venue_, settings(), budget=Budget.unlimited()) as venue:
        reply = await enter(venue)
    assert (reply.outcome, reply.why) == (Outcome.REJECTED, Why.NEVER_SENT)
    assert "no connection" in reply.reason


@pytest.mark.parametrize("exchange", TABLES)
async def test_a_slip_of_the_caller_is_rejected_before_it_is_sent(tls, exchange):
    sim, session = tls
    async with trader(exchange, session) as venue:
        for quantity in ("0.0105", "0", "-0.01"):
            reply = await enter(venue, quantity)
            assert (reply.outcome, reply.why) == (Outcome.REJECTED, Why.MALFORMED)
            assert "multiple of 0.001" in reply.reason
        for bad in ("", "x" * 37, "ä", "a b"):
            assert (await enter(venue, client_order_id=bad)).why is Why.MALFORMED
        reply = await venue.place_stop(
            "BTCUSDT", Side.LONG, Decimal("0.01"), Decimal("50000.05"), client_order_id=ID
        )
        assert "the price 50000.05 is no multiple of 0.1" in reply.reason
        reply = await venue.place_entry("NOSUCHUSDT", Side.LONG, Decimal(1), client_order_id=ID)
        assert "no market of the venue" in reply.reason
        assert (await venue.cancel("BTCUSDT", conditional=False)).why is Why.MALFORMED
    assert not [entry for entry in sim.log.rows(0) if entry["method"] != "GET"]


@pytest.mark.parametrize("exchange", TABLES)
async def test_before_send_holds_a_request_back(tls, exchange):
    sim, session = tls
    held = ["the kill switch is on", ""]

    async def before_send():
        return held.pop(0)

    async with trader(exchange, session, before_send=before_send) as venue:
        first, second = await enter(venue), await enter(venue)
    assert (first.outcome, first.why) == (Outcome.REJECTED, Why.NEVER_SENT)
    assert first.reason == "not sent: the kill switch is on"
    assert second.outcome is Outcome.ACCEPTED
    assert traded(sim, exchange)[0] == 1


@pytest.mark.parametrize("exchange", TABLES)
async def test_after_a_ban_nothing_is_sent_until_the_venue_said(tls, exchange):
    sim, session = tls
    async with trader(exchange, session, budget=Budget(2400, 60.0)) as venue:
        await venue.snapshot()
        sim.plan.add(
            faults.read({"kind": "status", "status": 429, "retry_after": 600, "path": ORDERS[exchange]})
        )
        assert (await enter(venue)).retry_after == 600
        reply = await enter(venue)
    assert (reply.outcome, reply.why) == (Outcome.REJECTED, Why.RATE)
    assert reply.reason.startswith("not sent, for the venue asked for a pause")
    assert 590 < reply.retry_after <= 600
    assert traded(sim, exchange)[0] == 0


@pytest.mark.parametrize("exchange", TABLES)
async def test_an_order_does_not_wait_behind_reading(tls, exchange):
    """The budget of reading is used up; a stop-loss goes out all the same."""
    sim, session = tls
    actions.act(sim.book, {"venue": exchange, **OPEN[0]})
    budget = Budget(2400, 60.0)
    async with trader(exchange, session, budget=budget) as venue:
        await venue.snapshot()
        budget.reserve(2400)
        reply = await venue.place_stop(
            "BTCUSDT", Side.LONG, Decimal("0.01"), Decimal(50000), client_order_id=ID
        )
    assert reply.outcome is Outcome.ACCEPTED
    assert budget.reserve(1) > 50
