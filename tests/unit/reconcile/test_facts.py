"""When a look at a venue proves nothing, and how a row finds its leg."""

from __future__ import annotations

from dataclasses import replace

from posguard.model.finding import Kind
from posguard.model.position import PositionSide
from posguard.model.venue import World
from posguard.reconcile.compare import compare
from tests.unit.reconcile.scenario import BINANCE, Line, look, situation

HELD = "long 10; stop sell 10 @95"


def test_fewer_snapshots_than_wanted_prove_nothing():
    seen = look(HELD, {}, 2)
    assert seen.gaps(2) == ()
    assert seen.gaps(3) == ("2 of 3 snapshots were taken",)
    assert replace(seen, snapshots=()).gaps(2) == ("0 of 2 snapshots were taken",)


def test_a_snapshot_of_another_world_proves_nothing():
    seen = replace(look(HELD, {}, 2), world=World.TESTNET)
    assert seen.gaps(2) == ("asked for its testnet world and heard of its simulator world",)


def test_an_incomplete_snapshot_without_a_reason_still_has_one():
    seen = look(HELD, {}, 2)
    silent = replace(seen.snapshots[1], complete=False, reasons=())
    assert replace(seen, snapshots=(seen.snapshots[0], silent)).gaps(2) == (
        "the snapshot is incomplete, without a reason",
    )
    assert replace(seen, troubles=("the venue did not answer in time",)).gaps(2) == (
        "the venue did not answer in time",
    )


def test_a_row_of_an_account_said_to_be_in_hedge_mode_has_its_leg_though_the_venue_is_empty():
    plain = situation(Line(0, "", "#1 active short 10 2h", "", "no fills", ""))
    hedged = replace(plain, looks={BINANCE: replace(plain.looks[BINANCE], hedge=True)})
    legs = [
        {f.kind: f.position_side for f in compare(one).findings}[Kind.ORPHANED_DB] for one in (plain, hedged)
    ]
    assert legs == [PositionSide.BOTH, PositionSide.SHORT]


def test_a_named_leg_stays_what_it_is():
    named = situation(Line(0, "", "#1 active short 10 2h leg:long", "", "no fills", ""))
    hedged = replace(named, looks={BINANCE: replace(named.looks[BINANCE], hedge=True)})
    assert {f.position_side for f in compare(hedged).findings} == {PositionSide.LONG}


def test_a_position_without_any_price_leaves_its_key_unjudged_and_says_so():
    unpriced = compare(situation(Line(0, "", "#1 active long 10 2h", "long 10 mark:? entry:?", "", "")))
    assert {key.symbol for key in unpriced.inconclusive_keys} == {"BTCUSDT"}
    assert "neither mark nor entry price" in unpriced.notes[0]
    assert compare(situation(Line(0, "", "#1 active long 10 2h", HELD, "", ""))).inconclusive_keys == set()


def test_the_worst_comes_first_then_by_key():
    rows = "#1 active long 10 4h; #2 weird long 10 2h ETHUSDT; #3 active long 10 2h SOLUSDT"
    held = "long 10; long 10 ETHUSDT; stop sell 10 @95 ETHUSDT; long 10 SOLUSDT"
    found = compare(situation(Line(0, "", rows, held, "", ""))).findings
    assert [(f.kind, f.symbol) for f in found] == [
        (Kind.UNPROTECTED_POSITION, "BTCUSDT"),
        (Kind.UNPROTECTED_POSITION, "SOLUSDT"),
        (Kind.UNKNOWN_STATUS, "ETHUSDT"),
        (Kind.AGED_POSITION, "BTCUSDT"),
    ]
