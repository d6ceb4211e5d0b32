"""What of a pass counts: exit codes, checks, and that nothing unknown reads as zero."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.cli.reporting import CHECKS, checks, exit_code, tell, totals, why_inconclusive, worst_first
from posguard.errors import ExitCode
from posguard.model.finding import (
    RECONCILED_KINDS,
    Kind,
    Pass,
    Proof,
    Severity,
    VenueVerdict,
    VerdictKind,
)
from posguard.model.run import RunOutcome
from posguard.model.venue import VenueId, World
from tests.fixtures.known import a_finding

NOW = datetime(2026, 11, 1, tzinfo=UTC)
GOOD = VenueVerdict(VenueId("binance"), World.TESTNET, VerdictKind.CONCLUSIVE, (), 3, 1, 1, 2, NOW)
BAD = replace(
    GOOD, venue=VenueId("bybit"), verdict=VerdictKind.INCONCLUSIVE, reasons=("HTTP 524", "and more")
)


def finding(kind, severity, proof=Proof.PROVEN, symbol="BTCUSDT"):
    return a_finding(kind, symbol=symbol, severity=severity, proof=proof, title="t")


CRITICAL = finding(Kind.DUPLICATE_POSITION, Severity.CRITICAL)
SUSPECTED = finding(Kind.ORPHANED_DB, Severity.CRITICAL, Proof.SUSPECTED)
WARNING = finding(Kind.EXTERNAL_POSITION, Severity.WARNING)


def passed(*seen, venues=(GOOD,)):
    return Pass(NOW, NOW + timedelta(seconds=1), seen, venues, rows_read=3, rows_compared=2)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (passed(), ExitCode.FINE),
        (passed(WARNING), ExitCode.FINE),
        (passed(WARNING, SUSPECTED), ExitCode.CRITICAL),
        (passed(CRITICAL, venues=(GOOD, BAD)), ExitCode.INCONCLUSIVE),
        (passed(venues=(GOOD, BAD)), ExitCode.INCONCLUSIVE),
        (passed(venues=()), ExitCode.INCONCLUSIVE),
    ],
)
def test_exit_codes(result, code):
    assert exit_code(result, result.findings) is code


def test_what_is_dismissed_does_not_count():
    result = passed(CRITICAL, WARNING)
    told = tell(
        result,
        dismissed=frozenset({CRITICAL.fingerprint}),
        outcome=RunOutcome.PROBLEMS,
        counts={},
        demo=False,
    )
    assert (told.code, told.live) == (ExitCode.FINE, (WARNING,))
    assert totals(told) == {
        "critical": 0,
        "warning": 1,
        "info": 0,
        "proven": 1,
        "suspected": 0,
        "dismissed": 1,
    }


def test_every_kind_has_its_check():
    assert {kind for _, kind, _ in CHECKS} == RECONCILED_KINDS


def test_zero_is_unknown_where_a_venue_could_not_be_judged():
    told = tell(passed(WARNING, venues=(GOOD, BAD)), outcome=RunOutcome.INCONCLUSIVE, counts={}, demo=False)
    by_kind = {c.kind: c for c in checks(told)}
    assert by_kind[Kind.EXTERNAL_POSITION].text(Severity.WARNING) == "≥ 1"
    assert by_kind[Kind.ORPHANED_DB].text(Severity.CRITICAL) == "?"
    assert by_kind[Kind.DUPLICATE_POSITION].text(Severity.CRITICAL) == "0"


def test_why_inconclusive_names_venue_and_reason():
    assert why_inconclusive(passed(venues=(GOOD, BAD))) == "bybit: HTTP 524"
    assert (
        why_inconclusive(replace(passed(venues=()), notes=("no venue is configured",)))
        == "no venue is configured"
    )


def test_the_worst_comes_first():
    assert worst_first([WARNING, SUSPECTED, CRITICAL]) == (CRITICAL, SUSPECTED, WARNING)
