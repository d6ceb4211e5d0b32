"""What the metrics say of what is known: every value as it is, and no sample for what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from posguard.model.finding import Proof, Severity
from posguard.model.last_results import FindingCount, LastResults, LastRun, SuiteCount, VenueThen
from posguard.model.quality import Outcome
from posguard.model.run import RunOutcome
from posguard.monitor.endpoint import text_of
from posguard.monitor.exposition import families, up

AT = datetime(2025, 10, 22, 23, 0, tzinfo=UTC)
KNOWN = LastResults(
    run=LastRun(7, AT, AT + timedelta(seconds=3), RunOutcome.PROBLEMS, 40, 12, 11),
    complete_at=AT + timedelta(seconds=3),
    venues=(
        VenueThen("binance", "main", conclusive=True, positions=8, orders=9, clock_skew_ms=-120),
        VenueThen("bybit", "main", conclusive=False, positions=0, orders=0, clock_skew_ms=None),
    ),
    findings=(
        FindingCount("binance", "main", "orphaned_db", Severity.CRITICAL, Proof.PROVEN, 3),
        FindingCount("bybit", 'ma"in\n', "aged_position", Severity.INFO, Proof.SUSPECTED, 1),
    ),
    suites=(
        SuiteCount("positions", Severity.CRITICAL, Outcome.VIOLATION, 2, 5),
        SuiteCount("positions", Severity.CRITICAL, Outcome.PASS, 9, 0),
    ),
    unsent={Severity.WARNING: (4, AT)},
    kill_switch=True,
    open_gaps=1,
    oldest_gap=AT,
)


def samples(known):
    text = text_of(families(known))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, name, **labels):
    return found[name, frozenset(labels.items())]


def test_each_value_is_told_as_it_is():
    found = samples(KNOWN)
    assert of(found, "posguard_run_timestamp_seconds") == AT.timestamp() + 3
    assert of(found, "posguard_run_complete_timestamp_seconds") == AT.timestamp() + 3
    assert of(found, "posguard_run_duration_seconds") == 3
    assert of(found, "posguard_run_rows") == 40
    assert of(found, "posguard_run_positions") == 12
    assert of(found, "posguard_run_protected_positions") == 11
    assert of(found, "posguard_venue_conclusive", exchange="binance", account="main") == 1
    assert of(found, "posguard_venue_conclusive", exchange="bybit", account="main") == 0
    assert of(found, "posguard_venue_positions", exchange="binance", account="main") == 8
    assert of(found, "posguard_venue_orders", exchange="binance", account="main") == 9
    assert of(found, "posguard_venue_clock_skew_seconds", exchange="binance", account="main") == -0.12
    labels = {"kind": "orphaned_db", "severity": "critical", "proof": "proven"}
    assert of(found, "posguard_findings", exchange="binance", account="main", **labels) == 3
    assert of(found, "posguard_suite_failing_rows", suite="positions", severity="critical") == 5
    labels = {"suite": "positions", "severity": "critical"}
    assert of(found, "posguard_suite_expectations", result="pass", **labels) == 9
    assert of(found, "posguard_suite_expectations", result="violation", **labels) == 2
    assert of(found, "posguard_alerts_oldest_unsent_timestamp_seconds") == AT.timestamp()
    assert of(found, "posguard_kill_switch_engaged") == 1
    assert of(found, "posguard_protection_gaps_open") == 1
    assert of(found, "posguard_protection_gaps_oldest_timestamp_seconds") == AT.timestamp()


def test_exactly_one_outcome_is_true():
    found = samples(KNOWN)
    told = {
        dict(labels)["outcome"]: v for (name, labels), v in found.items() if name == "posguard_run_outcome"
    }
    assert told == {"clean": 0, "problems": 1, "inconclusive": 0, "failed": 0}


def test_an_outbox_that_was_read_has_a_zero_for_each_severity():
    found = samples(KNOWN)
    counts = {s: of(found, "posguard_alerts_unsent", severity=s) for s in ("critical", "warning", "info")}
    assert counts == {"critical": 0, "warning": 4, "info": 0}


def test_what_is_not_known_has_no_sample():
    names = {name for name, _ in samples(LastResults())}
    assert names == {"posguard_kill_switch_engaged", "posguard_protection_gaps_open"}


def test_a_clock_that_was_not_read_is_no_zero():
    assert not [
        labels
        for name, labels in samples(KNOWN)
        if name == "posguard_venue_clock_skew_seconds" and ("exchange", "bybit") in labels
    ]


def test_quotes_and_line_feeds_in_a_name_survive():
    found = samples(KNOWN)
    assert any(("account", 'ma"in\n') in labels for name, labels in found if name == "posguard_findings")


@pytest.mark.parametrize("reachable", [True, False])
def test_whether_the_database_answered(reachable):
    assert f"\nposguard_up {float(reachable)}\n" in text_of([up(reachable)])
