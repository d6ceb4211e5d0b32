"""Passes over real PostgreSQL and real ccxt over HTTP: venues that misbehave, rows that move, accounts that are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from posguard.model.finding import FindingState, Kind, Proof, VerdictKind
from posguard.model.position import PositionSide
from posguard.model.run import RunOutcome
from posguard.model.scope import Scope
from posguard.postgres import findings, runs
from posguard.postgres.pool import Database
from posguard.reconcile.run import record_pass, take_pass
from tests.conftest import run_script
from tests.fixtures.gateways import VENUES, gateway, plant
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
