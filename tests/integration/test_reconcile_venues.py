"""A pass over venues that misbehave: each such venue is inconclusive with its reason, and nothing of it is called gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from posguard.errors import CredentialsError
from posguard.model.finding import Kind, Proof, VerdictKind
from posguard.model.run import RunOutcome
from posguard.model.venue import VenueId, World
from posguard.reconcile.run import record_pass, take_pass
from tests.fixtures.gateways import VENUES, plant
from tests.fixtures.passes import (
    OPENED,
    QUICK,
    TROUBLE,
    db,
    dump,
    fill,
    gateways,
    healthy,
    open_row,
    seen,
    troubled,
    verdict,
)

assert db  # a fixture
assert gateways  # a fixture


pytestmark = pytest.mark.postgres


POSITIONS = {"binance": "/fapi/v3/positionRisk", "bybit": "/v5/position/list"}


COIN = {"binance": {}, "bybit": {"settleCoin": "USDT"}}  # its other coin holds nothing, truly


ORDERS = {"binance": "/fapi/v1/openAlgoOrders", "bybit": "/v5/order/realtime"}


FILLS = {"binance": "/fapi/v1/userTrades", "bybit": "/v5/execution/list"}


# Venues that misbehave


BAD_ANSWERS = (
    {"kind": "empty_list"},
    {"kind": "partial_list", "keep": "0.5"},
    {"kind": "html"},
    {"kind": "cut_json"},
    {"kind": "cut_body"},
    {"kind": "empty_body"},
    {"kind": "empty_object"},
    {"kind": "null_result"},
    {"kind": "empty_result"},
    {"kind": "status", "status": 524},
    {"kind": "status", "status": 502, "html": False},
    {"kind": "bad_signature"},
    {"kind": "clock_skew"},
)


@pytest.mark.parametrize("exchange", VENUES)
async def test_one_bad_answer_makes_the_venue_inconclusive_and_nothing_else(db, control, gateways, exchange):
    """Each of them once, in the first snapshot and in the second; more passes than would resolve a finding."""
    other = next(v for v in VENUES if v != exchange)
    for name in VENUES:
        await troubled(db, control, name)
    await record_pass(db, await take_pass(db, gateways, QUICK), source="cli")
    before = await dump(db, "findings")
    assert len(before) == 4
    for bad in BAD_ANSWERS:
        for nth in (1, 4):
            told = f"{bad} at reading {nth}"
            where = {"path": POSITIONS[exchange], "parameters": COIN[exchange], "nth": nth}
            await control.fault(venue=exchange, **where, **bad)
            result = await take_pass(db, gateways, QUICK)
            assert [f["used"] for f in await control.faults()] in ([], [1]), told
            verdicts = [verdict(result, name) for name in (exchange, other)]
            assert verdicts[0].verdict is VerdictKind.INCONCLUSIVE, told
            assert verdicts[1].verdict is VerdictKind.CONCLUSIVE, told
            assert verdicts[0].reasons, told
            assert all("Traceback" not in reason and "\n" not in reason for reason in verdicts[0].reasons)
            assert not result.conclusive
            assert (seen(result, exchange), seen(result, other)) == (set(), TROUBLE), told
            run = await record_pass(db, result, source="cli")
            assert run.outcome is RunOutcome.INCONCLUSIVE
            assert run.counts["critical"] == 2
            assert "resolved" not in run.counts
            await control.clear_faults()
    after = await dump(db, "findings")
    assert [(f["id"], f["state"], f["clean_passes"]) for f in after] == [(f["id"], "open", 0) for f in before]


async def test_half_the_pages_make_the_venue_inconclusive(db, control, gateways):
    await healthy(db, control, "binance")
    rows = {}
    for number in range(230):
        plant(rows, "bybit", f"C{number}USDT", "1")
        await open_row(db, "bybit", f"C{number}USDT", "long", "1")
    await control.load(**rows)
    assert (await take_pass(db, gateways, QUICK)).findings == ()
    for kind in ("missing_page", "lost_cursor"):
        nth = 2 if kind == "missing_page" else 1
        where = {"path": POSITIONS["bybit"], "parameters": COIN["bybit"], "nth": nth}
        await control.fault(kind, venue="bybit", **where)
        result = await take_pass(db, gateways, QUICK)
        assert verdict(result, "bybit").verdict is VerdictKind.INCONCLUSIVE, kind
        assert verdict(result, "binance").verdict is VerdictKind.CONCLUSIVE
        assert result.findings == ()
        await control.clear_faults()


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("first", [1, 3], ids=["first snapshot", "second snapshot"])
async def test_a_snapshot_that_agrees_with_itself_on_half_the_positions_proves_nothing(
    db, control, gateways, exchange, first
):
    """Both readings of one snapshot miss the same positions; the other snapshot holds them."""
    await troubled(db, control, exchange)
    await record_pass(db, await take_pass(db, gateways, QUICK), source="cli")
    where = {"path": POSITIONS[exchange], "parameters": COIN[exchange], "nth": first, "count": 2}
    await control.fault("partial_list", venue=exchange, keep="0.5", **where)
    result = await take_pass(db, gateways, QUICK)
    assert verdict(result, exchange).verdict is VerdictKind.INCONCLUSIVE
    assert "open rows changed" in verdict(result, exchange).reasons[0]
    assert seen(result) == set()
    run = await record_pass(db, result, source="cli")
    assert "resolved" not in run.counts
    assert {f["state"] for f in await dump(db, "findings")} == {"open"}


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_list_of_orders_that_comes_back_empty_once_makes_nothing_unprotected(
    db, control, gateways, exchange
):
    await healthy(db, control, exchange)
    await control.fault("empty_list", venue=exchange, path=ORDERS[exchange])
    result = await take_pass(db, gateways, QUICK)
    assert verdict(result, exchange).verdict is VerdictKind.INCONCLUSIVE
    assert result.findings == ()


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_list_of_orders_that_leaves_some_out_decides_nothing(db, control, gateways, exchange):
    """An order left behind, a second stop, the second half of a stop: each is left out of one list of a pass."""
    await open_row(db, exchange, "SOLUSDT", "long", "2")
    stop = {"venue": exchange, "side": "sell", "reduce_only": True}
    sol = {"venue": exchange, "symbol": "SOLUSDT", "amount": "2", "entry": "150"}
    left_out_in_turn = [
        {"symbol": "SOLUSDT", "qty": "1", "trigger": "140", "client_id": "half-1", **stop},
        {"symbol": "SOLUSDT", "qty": "1", "trigger": "139", "client_id": "half-2", **stop},
        {"symbol": "BTCUSDT", "qty": "0.5", "trigger": "56000", "client_id": "second", **stop},
        {"symbol": "ADAUSDT", "qty": "70", "trigger": "0.3", "client_id": "left-behind", **stop},
    ]
    if exchange == "bybit":  # which lists the newest first
        await control.load(positions=[sol], orders=left_out_in_turn[::-1])
        await healthy(db, control, exchange)
    else:
        await healthy(db, control, exchange)
        await control.load(positions=[sol], orders=left_out_in_turn)
    here = {(Kind.ZOMBIE_ORDER, "ADAUSDT"), (Kind.DUPLICATE_STOP, "BTCUSDT")}
    first = await take_pass(db, gateways, QUICK)
    assert {(f.kind, f.symbol) for f in first.findings} == here
    assert not [note for note in first.notes if "not every snapshot" in note]
    await record_pass(db, first, source="cli")
    listing = {"venue": exchange, "path": ORDERS[exchange], "parameters": COIN[exchange]}
    for keep in (5, 4, 3):
        markets = (
            {"ADAUSDT", "BTCUSDT", "SOLUSDT"}
            if keep == 3
            else {"ADAUSDT", "BTCUSDT"}
            if keep == 4
            else {"ADAUSDT"}
        )
        for reading in (1, 2):
            await control.fault("partial_list", nth=reading, keep=str(keep), **listing)
            result = await take_pass(db, gateways, QUICK)
            assert result.conclusive, [v.reasons for v in result.venues]
            kept = {key.symbol for key in result.inconclusive_keys if key.exchange == exchange}
            assert kept == markets, (keep, reading)
            assert len([note for note in result.notes if "not every snapshot" in note]) == len(markets)
            claimed = {(f.kind, f.symbol) for f in result.findings if f.proof is Proof.PROVEN}
            assert claimed <= here
            run = await record_pass(db, result, source="cli")
            assert "resolved" not in run.counts
            await control.clear_faults()
    states = {(f["kind"], f["symbol"]): (f["state"], f["clean_passes"]) for f in await dump(db, "findings")}
    assert {one: states[one] for one in here} == dict.fromkeys([(k.value, s) for k, s in here], ("open", 0))


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_venue_that_is_down_is_inconclusive_for_hours_and_nothing_is_resolved(
    db, control, gateways, exchange
):
    await troubled(db, control, exchange)
    await record_pass(db, await take_pass(db, gateways, QUICK), source="cli")
    await control.fault("status", venue=exchange, status=503, count=None)
    for _ in range(4):
        result = await take_pass(db, gateways, QUICK)
        assert verdict(result, exchange).verdict is VerdictKind.INCONCLUSIVE
        run = await record_pass(db, result, source="cli")
        assert "resolved" not in run.counts
    assert {f["state"] for f in await dump(db, "findings")} == {"open"}


@pytest.mark.parametrize("exchange", VENUES)
async def test_fills_that_cannot_be_read_leave_an_orphan_suspected(db, control, gateways, exchange):
    await healthy(db, control, exchange)
    await open_row(db, exchange, "ADAUSDT", "long", "70")
    await control.load(
        fills=[
            fill(exchange, "ADAUSDT", "buy", "70", OPENED),
            fill(exchange, "ADAUSDT", "sell", "70", timedelta(hours=1)),
        ]
    )
    proven = {(Kind.ORPHANED_DB, "ADAUSDT", Proof.PROVEN)}
    suspected = {(Kind.ORPHANED_DB, "ADAUSDT", Proof.SUSPECTED)}
    assert seen(await take_pass(db, gateways, QUICK)) == proven
    await control.fault("status", venue=exchange, path=FILLS[exchange], status=524)
    result = await take_pass(db, gateways, QUICK)
    assert result.conclusive
    assert seen(result) == suspected
    assert "HTTP 524" in " ".join(result.findings[0].evidence)


class Broken:
    """A gateway whose own code fails."""

    venue, world, hedge = VenueId("binance"), World.SIMULATOR, False

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def snapshot(self, symbol=""):  # noqa: ARG002
        raise self.error

    async def fills(self, symbols, since):  # noqa: ARG002
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CredentialsError("The key secret=abc was refused.", hint="Check it."), "secret=***"),
        (TimeoutError(), "did not answer in time"),
        (KeyError("canary-4711"), "KeyError"),
    ],
)
async def test_a_gateway_that_raises_is_inconclusive_with_its_reason(
    db, control, gateways, caplog, error, said
):
    await healthy(db, control, "bybit")
    await healthy(db, control, "binance")
    result = await take_pass(db, [Broken(error), gateways[1]], QUICK)
    assert verdict(result, "binance").verdict is VerdictKind.INCONCLUSIVE
    assert said in verdict(result, "binance").reasons[0]
    assert verdict(result, "bybit").verdict is VerdictKind.CONCLUSIVE
    assert "canary-4711" not in str(result) + caplog.text
    assert "abc" not in str(result)


async def test_cancelling_a_pass_stops_it(db, control, gateways):
    await healthy(db, control, "binance")
    await control.fault("latency", venue="binance", seconds=30, count=None)
    task = asyncio.create_task(take_pass(db, gateways, QUICK))
    while not await control.log():
        assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
