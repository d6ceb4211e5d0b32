"""What is recommended, in which order, and when a schedule may no longer close rows by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from posguard.model.finding import Kind, Proof, Severity
from posguard.model.venue import VenueId
from posguard.reconcile.advice import (
    MODES,
    is_built,
    recommendations,
    repair,
    repair_of_orphan,
    repair_of_unfinished,
)
from posguard.reconcile.breaker import Breaker, allowed_closings, breakers
from tests.fixtures.known import a_finding
from tests.unit.reconcile.scenario import NOW, row

ORPHAN = a_finding(subject="1")


def of(kind, **changes):
    made = replace(ORPHAN, kind=kind, **changes)
    return replace(made, repair=repair(kind, made.key))


def test_each_command_is_recommended_once_and_what_protects_comes_first():
    found = [
        of(Kind.SIDE_MISMATCH),
        of(Kind.EXTERNAL_POSITION, severity=Severity.WARNING),
        of(Kind.ORPHANED_DB),
        of(Kind.STOP_UNDERSIZED),
        of(Kind.UNPROTECTED_POSITION),
        of(Kind.ORPHANED_DB, subject="2"),
        of(Kind.ORPHANED_DB, symbol="KASUSDT", exchange="bybit"),
        of(Kind.AGED_POSITION, severity=Severity.INFO),
    ]
    told = recommendations(found)
    assert [(r.command, r.findings, r.worst) for r in told] == [
        ("posguard cleanup unprotected --symbol APTUSDT --exchange binance", 2, "critical"),
        ("posguard cleanup orphaned-db --symbol APTUSDT --exchange binance", 2, "critical"),
        ("posguard cleanup orphaned-db --symbol KASUSDT --exchange bybit", 1, "critical"),
        (
            "\n".join(
                f"posguard cleanup orphaned-ex --symbol APTUSDT --exchange binance --action {choice}"
                for choice in ("close", "adopt")
            ),
            1,
            "warning",
        ),
        ("", 1, "info"),
        ("", 1, "critical"),
    ]
    assert [bool(r.caution) for r in told] == [False, False, False, True, False, False]
    assert [r.runbook for r in told[-2:]] == ["aged-position", "side-mismatch"]
    assert not any(r.built for r in told), "what a finding says of itself"
    assert all(is_built(kind) for kind in MODES)
    assert recommendations([]) == ()


@pytest.mark.parametrize(
    ("database", "ends"),
    [
        ("#1 entry_placed long 10 20m", "--exchange binance --age 1m"),
        ("#1 pending_sl long 10 59m", "--exchange binance --age 1m"),
        ("#1 pending_entry long 10 1h", "--exchange binance"),
        ("#1 pending_entry long 10 no-time", ""),
        ("#1 pending_sl long 10 -2h", ""),
        ("#1 submitting long 10 2h", ""),
        ("#1 unresolved long 10 20m", ""),
    ],
)
def test_the_command_for_an_unfinished_row_takes_it_in_or_there_is_none(database, ends):
    unfinished, _ = row(database)
    command = repair_of_unfinished(unfinished, NOW, timedelta(seconds=60))
    assert command.endswith(ends)
    assert bool(command) is bool(ends)
    assert not ends or command.startswith("posguard cleanup incomplete --symbol BTCUSDT")


def test_what_takes_a_person_s_word_says_what_to_make_sure_of():
    key = ORPHAN.key
    suspected = replace(ORPHAN, repair=repair_of_orphan(key, Proof.SUSPECTED))
    assert suspected.commands == (
        "posguard cleanup orphaned-db --symbol APTUSDT --exchange binance --accept-absence",
    )
    assert "Nothing proves" in suspected.caution
    proven = replace(ORPHAN, repair=repair_of_orphan(key, Proof.PROVEN))
    assert proven.commands == ("posguard cleanup orphaned-db --symbol APTUSDT --exchange binance",)
    assert proven.caution == ""
    external = of(Kind.EXTERNAL_POSITION)
    assert [command.rsplit(" ", 2)[1:] for command in external.commands] == [
        ["--action", "close"],
        ["--action", "adopt"],
    ]
    assert "whose" in external.caution


def test_a_kind_has_a_repair_or_none():
    without = {kind for kind in Kind if not repair(kind, ORPHAN.key)}
    assert without == set(Kind) - set(MODES)
    assert without == {
        Kind.SIDE_MISMATCH,
        Kind.STOP_NOT_RECORDED,
        Kind.AGED_POSITION,
        Kind.UNKNOWN_STATUS,
        Kind.UNRESOLVED_SYMBOL,
        Kind.DUPLICATE_KEY_RACE,
        Kind.SILENT_DOUBLE_CREATE,
    }


@pytest.mark.parametrize(("rows", "allowed"), [(0, 2), (1, 2), (10, 2), (14, 2), (15, 3), (34, 6), (100, 20)])
def test_two_rows_or_a_fifth_of_the_open_ones_may_be_closed_by_a_schedule(rows, allowed):
    assert allowed_closings(rows) == allowed


def test_the_breaker_counts_proven_orphans_of_each_venue_and_names_the_next_command():
    rows = [row(f"#{n} active long 1 2h")[0] for n in range(10)]
    orphans = [of(Kind.ORPHANED_DB, subject=str(n)) for n in range(3)]
    doubtful = of(Kind.ORPHANED_DB, subject="9", proof=Proof.SUSPECTED)
    elsewhere = of(Kind.ORPHANED_DB, exchange="bybit")
    binance, bybit = breakers(
        [*orphans, doubtful, elsewhere, of(Kind.AGED_POSITION)], rows, [VenueId("bybit"), VenueId("binance")]
    )
    assert binance == Breaker(VenueId("binance"), 3, 2)
    assert binance.tripped
    assert "3 open rows are proven gone" in binance.sentence
    assert "`posguard cleanup orphaned-db --exchange binance`" in binance.sentence
    assert bybit == Breaker(VenueId("bybit"), 1, 2)
    assert not bybit.tripped
