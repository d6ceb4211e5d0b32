"""Passes over real PostgreSQL and real ccxt over HTTP: venues that misbehave, rows that move, accounts that are wrong."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.errors import CredentialsError
from posguard.model.finding import FindingState, Kind, Proof, VerdictKind
from posguard.model.position import PositionSide
from posguard.model.run import RunOutcome
from posguard.model.scope import Scope
from posguard.model.venue import VenueId, World
from posguard.postgres import findings, runs
from posguard.postgres.pool import Database
from posguard.reconcile.run import record_pass, take_pass
from tests.conftest import run_script
from tests.fixtures.gateways import VENUES, gateway, plant, settings

pytestmark = pytest.mark.postgres

QUICK = settings(snapshots=2, snapshot_gap=timedelta(milliseconds=20))
POSITIONS = {"binance": "/fapi/v3/positionRisk", "bybit": "/v5/position/list"}
COIN = {"binance": {}, "bybit": {"settleCoin": "USDT"}}  # its other coin holds nothing, truly
ORDERS = {"binance": "/fapi/v1/openAlgoOrders", "bybit": "/v5/order/realtime"}
FILLS = {"binance": "/fapi/v1/userTrades", "bybit": "/v5/execution/list"}
OPENED = timedelta(hours=2)


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


@pytest.fixture
async def gateways(simulator):
    """A reading gateway to each venue."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(gateway(e, simulator.base_url)) for e in VENUES]


async def open_row(db, exchange, symbol, side, quantity, **columns):
    columns = {
        "exchange": exchange, "symbol": symbol, "side": side, "quantity": Decimal(quantity),
        "entry_price": Decimal(100), "status": "active", "has_stop_loss": True, "stop_loss_price": Decimal(95),
        "opened_at": datetime.now(UTC) - OPENED, "created_at": datetime.now(UTC) - OPENED,
    } | columns  # fmt: skip
    marks = ", ".join(f"${n + 1}" for n in range(len(columns)))
    async with db.connection() as connection:
        return await connection.fetchval(
            f"INSERT INTO monitoring.positions ({', '.join(columns)}) VALUES ({marks}) RETURNING id",
            *columns.values(),
        )


async def healthy(db, control, exchange):
    """Two positions with their rows and stops."""
    rows = plant({}, exchange, "BTCUSDT", "0.5", entry="60000")
    plant(rows, exchange, "ETHUSDT", "-2", entry="2500")
    await control.load(**rows)
    return [
        await open_row(db, exchange, "BTCUSDT", "long", "0.5"),
        await open_row(db, exchange, "ETHUSDT", "sell", "2"),
    ]


async def troubled(db, control, exchange):
    """Beside two healthy ones: a naked position, and a row whose position is gone without a closing fill."""
    await healthy(db, control, exchange)
    await open_row(db, exchange, "SOLUSDT", "long", "3")
    await open_row(db, exchange, "ADAUSDT", "long", "70")
    await control.load(
        positions=[{"venue": exchange, "symbol": "SOLUSDT", "amount": "3", "entry": "150"}],
        fills=[fill(exchange, "ADAUSDT", "buy", "70", OPENED)],
    )


def fill(exchange, symbol, side, quantity, ago, **more):
    at = datetime.now(UTC) - ago
    return {"venue": exchange, "symbol": symbol, "side": side, "qty": quantity, "price": "0.38",
            "time_ms": int(at.timestamp() * 1000), **more}  # fmt: skip


def verdict(result, exchange):
    return next(v for v in result.venues if v.venue.exchange == exchange)


def seen(result, exchange=None):
    return {(f.kind, f.symbol, f.proof) for f in result.findings if exchange in (None, f.exchange)}


TROUBLE = {
    (Kind.UNPROTECTED_POSITION, "SOLUSDT", Proof.PROVEN),
    (Kind.ORPHANED_DB, "ADAUSDT", Proof.SUSPECTED),
}


async def dump(db, table):
    async with db.connection() as connection:
        return [dict(r) for r in await connection.fetch(f"SELECT * FROM posguard.{table} ORDER BY id")]


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


# The wrong account, no account


async def test_the_wrong_account_is_inconclusive_and_not_a_thousand_orphans(db, control, simulator):
    await control.load(
        accounts=[{"venue": "binance", "name": "other"}],
        keys=[{"venue": "binance", "account": "other", "key": "k2", "secret": "s2", "trade": False}],
        positions=[
            {"venue": "binance", "account": "other", "symbol": "XRPUSDT", "amount": "9", "entry": "0.55"}
        ],
    )
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT"):
        await open_row(db, "binance", symbol, "long", "1")
    wrong = {"api_key": SecretStr("k2"), "api_secret": SecretStr("s2")}
    async with gateway("binance", simulator.base_url, **wrong) as reading:
        result = await take_pass(db, [reading], QUICK)
    (said,) = verdict(result, "binance").reasons
    assert "probably the wrong account or world" in said
    assert result.findings == ()
    assert result.rows_compared == 0


async def test_all_positions_stopped_out_overnight_is_told_from_a_wrong_account(db, control, gateways):
    for symbol in ("ADAUSDT", "XRPUSDT", "DOGEUSDT"):
        order = {"ADAUSDT": "901", "XRPUSDT": "902", "DOGEUSDT": "903"}[symbol]
        await open_row(db, "binance", symbol, "long", "70", exchange_order_id=order)
        await control.load(
            fills=[
                fill("binance", symbol, "buy", "70", OPENED, order_id=order),
                fill("binance", symbol, "sell", "70", timedelta(hours=1)),
            ]
        )
    result = await take_pass(db, gateways, QUICK)
    assert verdict(result, "binance").verdict is VerdictKind.CONCLUSIVE
    assert seen(result) == {
        (Kind.ORPHANED_DB, symbol, Proof.PROVEN) for symbol in ("ADAUSDT", "XRPUSDT", "DOGEUSDT")
    }
    assert any("posguard cleanup orphaned-db --exchange binance" in note for note in result.notes)


async def test_rows_of_a_venue_without_credentials_are_checked_in_the_database_alone(db, control, gateways):
    await healthy(db, control, "binance")
    await open_row(db, "bybit", "BTCUSDT", "long", "1", status="weird")
    result = await take_pass(db, gateways[:1], QUICK)
    assert seen(result) == {(Kind.UNKNOWN_STATUS, "BTCUSDT", Proof.PROVEN)}
    unasked = verdict(result, "bybit")
    assert unasked.world is None
    assert unasked.reasons == ("no credentials for bybit: set POSGUARD_BYBIT_KEY and POSGUARD_BYBIT_SECRET",)
    run = await record_pass(db, result, source="cli")
    assert run.venues == result.venues


async def test_without_a_venue_and_without_rows_a_pass_is_not_called_clean(db):
    result = await take_pass(db, [], QUICK)
    assert not result.conclusive
    assert result.notes == ("no venue is configured",)
    assert (await record_pass(db, result, source="cli")).outcome is RunOutcome.INCONCLUSIVE


async def test_two_accounts_of_one_exchange_are_two_venues(db, control, simulator, bot_dsn):
    run_script(
        bot_dsn.get_secret_value(),
        "ALTER TABLE monitoring.positions ADD account text NOT NULL DEFAULT 'main'",
    )
    await healthy(db, control, "bybit")
    await control.load(
        accounts=[{"venue": "bybit", "name": "second"}],
        keys=[{"venue": "bybit", "account": "second", "key": "k2", "secret": "s2", "trade": False}],
        positions=[
            {"venue": "bybit", "account": "second", "symbol": "BTCUSDT", "amount": "1", "entry": "60000",
             "stop_loss": "57000"}
        ],
    )  # fmt: skip
    # the index of the bot's old code knows no account
    await open_row(db, "bybit", "BTC/USDT", "long", "1", account="second")
    keys = {"account": "second", "api_key": SecretStr("k2"), "api_secret": SecretStr("s2")}
    async with (
        gateway("bybit", simulator.base_url) as one,
        gateway("bybit", simulator.base_url, **keys) as two,
    ):
        result = await take_pass(db, [one, two], QUICK)
    assert [str(v.venue) for v in result.venues] == ["bybit", "bybit/second"]
    assert result.conclusive
    assert result.findings == ()
    assert result.rows_compared == 3


@pytest.mark.parametrize("exchange", VENUES)
async def test_hedge_mode_keeps_the_legs_of_a_symbol_apart(db, control, simulator, exchange):
    await control.load(accounts=[{"venue": exchange, "name": "main", "hedged": True}])
    rows = plant({}, exchange, "BTCUSDT", "0.5", entry="60000", side="long")
    plant(rows, exchange, "BTCUSDT", "-0.2", entry="60000", side="short")
    await control.load(**rows)
    await open_row(db, exchange, "BTCUSDT", "long", "0.5")
    # the index of the bot's old code would refuse a second active row of one symbol
    await open_row(db, exchange, "BTC/USDT", "short", "0.3")
    await open_row(db, exchange, "ETHUSDT", "short", "2")
    async with gateway(exchange, simulator.base_url, hedge=True) as reading:
        result = await take_pass(db, [reading], QUICK)
    assert {(f.kind, f.symbol, f.position_side) for f in result.findings} == {
        (Kind.QUANTITY_MISMATCH, "BTCUSDT", PositionSide.SHORT),
        (Kind.ORPHANED_DB, "ETHUSDT", PositionSide.SHORT),
    }


# Rows that move


async def test_a_row_that_moves_during_the_look_is_skipped_with_its_key(db, control, gateways, bot_dsn):
    ids = await healthy(db, control, "binance")
    for symbol, price in (("SOLUSDT", "150"), ("ADAUSDT", "0.38"), ("XRPUSDT", "0.55")):
        rows = plant({}, "binance", symbol, "100", entry=price)
        await control.load(**rows)
        await open_row(db, "binance", symbol, "long", "100")

    def meddle(step):
        if step == "binance: snapshot 2 of 2":
            run_script(
                bot_dsn.get_secret_value(),
                f"UPDATE monitoring.positions SET quantity = 7 WHERE id = {ids[0]};"
                f"UPDATE monitoring.positions SET current_price = 9, updated_at = now() WHERE id = {ids[1]}",
            )

    result = await take_pass(db, gateways, QUICK, progress=meddle)
    assert result.conclusive
    assert [(s.reason, s.row_ids) for s in result.skipped] == [
        ("changed while the venue was read", (ids[0],))
    ]
    assert result.rows_compared == 4
    assert {key.symbol for key in result.inconclusive_keys} == {"BTCUSDT"}
    assert result.findings == ()
    again = await take_pass(db, gateways, QUICK)
    assert seen(again) == {(Kind.QUANTITY_MISMATCH, "BTCUSDT", Proof.PROVEN)}


async def test_a_position_that_closes_during_the_look_is_not_called_gone(db, control, gateways, bot_dsn):
    """The bot closes on the venue and writes its row a moment later: neither pass in between calls it an orphan."""
    ids = await healthy(db, control, "bybit")
    await control.act("close", venue="bybit", symbol="BTCUSDT", cancel_stops=True)
    first = await take_pass(db, gateways, QUICK)
    assert first.findings == ()
    assert [(s.reason, s.row_ids) for s in first.skipped] == [
        ("closed on the venue within the grace of 1 min", (ids[0],))
    ]
    later = datetime.now(UTC) + timedelta(seconds=61)
    assert seen(await take_pass(db, gateways, QUICK, clock=lambda: later)) == {
        (Kind.ORPHANED_DB, "BTCUSDT", Proof.PROVEN)
    }
    run_script(
        bot_dsn.get_secret_value(), f"UPDATE monitoring.positions SET status = 'closed' WHERE id = {ids[0]}"
    )
    assert (await take_pass(db, gateways, QUICK, clock=lambda: later)).findings == ()


async def test_too_many_moving_rows_make_the_venue_inconclusive(db, control, gateways, bot_dsn):
    await healthy(db, control, "binance")
    await healthy(db, control, "bybit")

    def meddle(step):
        if step == "binance: snapshot 2 of 2":
            move = "UPDATE monitoring.positions SET quantity = quantity + 1 WHERE exchange = 'binance'"
            run_script(bot_dsn.get_secret_value(), move)

    result = await take_pass(db, gateways, QUICK, progress=meddle)
    assert "2 of 2 open rows changed" in verdict(result, "binance").reasons[0]
    assert verdict(result, "bybit").verdict is VerdictKind.CONCLUSIVE
    assert result.findings == ()


# Filters, and the record


async def test_filters_look_at_their_part_and_resolve_nothing_else(db, control, gateways, bot_dsn):
    for exchange in VENUES:
        await troubled(db, control, exchange)
    await record_pass(db, await take_pass(db, gateways, QUICK), source="cli")
    run_script(
        bot_dsn.get_secret_value(),
        "UPDATE monitoring.positions SET status = 'closed' WHERE symbol = 'ADAUSDT'",
    )
    for _ in range(3):
        part = await take_pass(db, gateways, QUICK, scope=Scope("bybit", "ada/usdt"))
        assert [v.venue.exchange for v in part.venues] == ["bybit"]
        assert part.rows_read == 0
        run = await record_pass(db, part, source="cli")
    assert run.scope == Scope("bybit", "ADAUSDT")
    async with db.connection() as connection:
        states = {
            (f.finding.exchange, f.finding.symbol): f.state for f in await findings.list_findings(connection)
        }
    assert states == {
        ("binance", "ADAUSDT"): FindingState.OPEN,
        ("binance", "SOLUSDT"): FindingState.OPEN,
        ("bybit", "ADAUSDT"): FindingState.RESOLVED,
        ("bybit", "SOLUSDT"): FindingState.OPEN,
    }


async def test_a_filter_by_symbol_still_knows_a_wrong_account(db, control, gateways):
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        await open_row(db, "binance", symbol, "long", "1")
    result = await take_pass(db, gateways, QUICK, scope=Scope(symbol="BTCUSDT"))
    assert "probably the wrong account" in verdict(result, "binance").reasons[0]
    assert result.findings == ()


async def test_a_scheduled_run_that_is_tried_again_is_recorded_once(db, control, gateways):
    await troubled(db, control, "binance")
    interval = (datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    async with db.transaction() as connection:
        dead = await runs.start_run(
            connection, started_at=interval[0], source="airflow", external_id="scheduled__1"
        )
    record = {"source": "airflow", "external_id": "scheduled__1", "interval": interval}
    first = await record_pass(db, await take_pass(db, gateways, QUICK), **record)
    assert first.id != dead
    before = await dump(db, "findings")
    second = await record_pass(db, await take_pass(db, gateways, QUICK), **record)
    assert second == first
    assert await dump(db, "findings") == before
    assert [r["outcome"] for r in await dump(db, "runs")] == ["running", "problems"]


async def test_a_pass_that_is_not_recorded_knows_what_the_desk_dismissed(db, control, gateways):
    await troubled(db, control, "binance")
    result = await take_pass(db, gateways, QUICK)
    await record_pass(db, result, source="cli")
    async with db.transaction() as connection:
        one, two = await findings.list_findings(connection)
        await findings.decide(connection, one.id, FindingState.DISMISSED, "ann", reason="known")
        await findings.add_ignore_rule(
            connection, exchange="binance", symbol=two.finding.symbol, reason="by hand", actor="ann"
        )
        hidden = await findings.dismissed(connection, await take_pass(db, gateways, QUICK))
    assert hidden == {one.finding.fingerprint, two.finding.fingerprint}


async def test_a_pass_reads_and_writes_nothing(bot_dsn, control, gateways, db):
    await troubled(db, control, "binance")
    async with await Database.open(bot_dsn, read_only=True) as reader:
        result = await take_pass(reader, gateways, QUICK)
    assert seen(result) == TROUBLE
    methods = {row["method"] for row in await control.log()}
    assert methods == {"GET"}
