"""The comparison with the truth: what is planted must be found as it is, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.demo.truth import BORDER, compare, read_truth
from posguard.demo.world import make_world
from posguard.model.finding import RECONCILED_KINDS, Finding, Kind, Proof, Severity
from posguard.model.quality import ExpectationResult, Outcome

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TRUTH = make_world(NOW).truth
SECOND = timedelta(seconds=1)


def as_finding(planted, **changed):
    fields = {
        "kind": planted.kind,
        "exchange": planted.exchange,
        "account": planted.account,
        "symbol": planted.symbol,
        "position_side": planted.position_side,
        "severity": planted.severity,
        "proof": planted.proof,
        "title": "found",
        "subject": planted.subject,
        "row_ids": planted.row_ids,
    }
    return Finding(**fields | changed)


def as_result(violation, **changed):
    fields = {
        "suite": violation.suite,
        "expectation": violation.expectation,
        "title": "",
        "severity": Severity.WARNING,
        "owner": "bot",
        "result": Outcome.VIOLATION,
        "failing": len(violation.failing_keys),
        "failing_keys": violation.failing_keys,
    }
    return ExpectationResult(**fields | changed)


def found_at(at):
    return [as_finding(planted) for planted in TRUTH.at(at)]


RESULTS = [as_result(violation) for violation in TRUTH.violations]


def test_what_is_planted_found_as_it_is_and_nothing_else_is_exact():
    report = compare(TRUTH, found_at(NOW), RESULTS, at=NOW)
    assert report.exact
    assert report.planted == report.found == len(TRUTH.at(NOW))
    assert report.violations_planted == report.violations_found == len(TRUTH.violations)
    assert set(report.by_kind) == RECONCILED_KINDS
    assert all(count.planted == count.found and not count.unexpected for count in report.by_kind.values())


@pytest.mark.parametrize("number", range(0, len(TRUTH.at(NOW)), 5))
def test_one_missing_finding_is_missed(number):
    findings = found_at(NOW)
    gone = findings.pop(number)
    report = compare(TRUTH, findings, at=NOW)
    assert not report.exact
    assert len(report.missed) == 1
    assert gone.symbol in report.missed[0]
    assert report.by_kind[gone.kind].found == report.by_kind[gone.kind].planted - 1


def test_a_finding_that_is_not_planted_is_unexpected():
    stranger = replace(found_at(NOW)[0], symbol="BTCUSDT")
    report = compare(TRUTH, [*found_at(NOW), stranger], at=NOW)
    assert len(report.unexpected) == 1
    assert "BTCUSDT" in report.unexpected[0]
    assert report.by_kind[stranger.kind].unexpected == 1
    assert not report.exact


@pytest.mark.parametrize(
    "change",
    [{"severity": Severity.INFO}, {"proof": Proof.SUSPECTED}, {"row_ids": (1,)}],
)
def test_another_severity_proof_or_row_differs(change):
    findings = found_at(NOW)
    at = next(n for n, f in enumerate(findings) if f.kind is Kind.ORPHANED_DB and f.proof is Proof.PROVEN)
    findings[at] = replace(findings[at], **change)
    report = compare(TRUTH, findings, at=NOW)
    assert len(report.differing) == 1
    assert not report.missed
    assert report.found == report.planted - 1


def test_near_a_border_both_answers_are_right_and_beyond_it_only_one():
    later = next(p for p in TRUTH.findings if p.since and p.kind is Kind.AGED_POSITION and p.since > NOW)
    for off in (-BORDER, -SECOND, SECOND, BORDER):
        at = later.since + off
        others = [f for f in found_at(at) if f.fingerprint != later.fingerprint]
        assert compare(TRUTH, others, at=at).exact
        assert compare(TRUTH, [*others, as_finding(later)], at=at).exact
    after = later.since + BORDER + SECOND
    assert not compare(TRUTH, others, at=after).exact
    early = later.since - BORDER - SECOND
    assert not compare(TRUTH, [*found_at(early), as_finding(later)], at=early).exact


def test_near_the_turn_of_a_severity_the_problem_is_still_owed():
    turns = next(p for p in TRUTH.findings if p.until)
    at = turns.until
    others = [f for f in found_at(at) if f.fingerprint != turns.fingerprint]
    assert compare(TRUTH, [*others, as_finding(turns)], at=at).exact
    assert compare(TRUTH, [*others, as_finding(turns, severity=Severity.CRITICAL)], at=at).exact
    assert compare(TRUTH, others, at=at).missed


def test_suites_are_compared_by_their_failing_keys():
    first, *rest = RESULTS
    assert compare(TRUTH, found_at(NOW), rest, at=NOW).missed
    passed = replace(first, result=Outcome.PASS, failing=0, failing_keys=())
    assert compare(TRUTH, found_at(NOW), [passed, *rest], at=NOW).missed
    assert compare(TRUTH, found_at(NOW), [replace(first, failing_keys=("1",)), *rest], at=NOW).differing
    stranger = replace(first, expectation="positions.other")
    assert compare(TRUTH, found_at(NOW), [*RESULTS, stranger], at=NOW).unexpected
    fine = replace(stranger, result=Outcome.PASS)
    assert compare(TRUTH, found_at(NOW), [*RESULTS, fine], at=NOW).exact


def test_an_expectation_that_could_not_be_judged_is_never_exact():
    error = replace(RESULTS[0], expectation="positions.other", result=Outcome.ERROR, message="no permission")
    report = compare(TRUTH, found_at(NOW), [*RESULTS, error], at=NOW)
    assert not report.exact
    assert "no permission" in report.differing[0]


def test_truth_survives_its_file():
    assert read_truth(TRUTH.to_json()) == TRUTH
