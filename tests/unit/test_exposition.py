"""What the metrics say of what is known: every value as it is, and no sample for what is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from posguard.model.finding import Proof, Severity
from posguard.model.last_results import FindingCount, LastResults, LastRun, SuiteCount, VenueThen, Watched
from posguard.model.metrics import COUNTERS, Measure, Window
from posguard.model.monitoring import Reading, Snapshot, Spread, counted, unsourced
from posguard.model.quality import Outcome
from posguard.model.run import RunOutcome
from posguard.monitor.endpoint import text_of
from posguard.monitor.exposition import families, up

AT = datetime(2025, 10, 22, 23, 0, tzinfo=UTC)
READINGS = {
    Window.NOW: {
        Measure.POSITIONS_ACTIVE: counted({"binance": 7, "bybit": 2}),
        Measure.POSITIONS_UNPROTECTED: counted({"bybit": 1}),
        Measure.POSITIONS_AGED: counted({}),
    },
    Window.TEN_MINUTES: {
        Measure.LATENCY_ENTRY: Reading(
            Spread(3, 120.0, 900.0, 980.0), {"bybit": Spread(3, 120.0, 900.0, 980.0), "binance": Spread(0)}
        ),
        Measure.LATENCY_STOP_LOSS: Reading(
            Spread(1, 40.0, 40.0, 40.0), {"bybit": Spread(1, 40.0, 40.0, 40.0)}
        ),
        Measure.POSITIONS_OPENED: counted({"bybit": 1}),
    },
    Window.ALL_TIME: {
        **{measure: counted({"bybit": 40}) for measure in COUNTERS},
        Measure.PRICE_UPDATES: unsourced("no log is named"),
    },
}
WATCHED = Watched(
    Snapshot(5, AT, AT, READINGS),
    age=timedelta(seconds=61),
    interval=timedelta(seconds=60),
    running=True,
    alerts={("position_unprotected", Severity.CRITICAL): 1},
)
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
    watched=WATCHED,
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


def test_the_monitors_counts_are_told_by_exchange_and_a_known_nothing_is_a_zero():
    found = samples(KNOWN)
    assert of(found, "posguard_positions_active", exchange="binance") == 7
    assert of(found, "posguard_positions_unprotected", exchange="bybit") == 1
    assert of(found, "posguard_positions_unprotected", exchange="binance") == 0
    assert of(found, "posguard_positions_aged", exchange="bybit") == 0
    # of all time, not of ten minutes
    assert of(found, "posguard_positions_opened_total", exchange="bybit") == 40
    assert of(found, "posguard_monitor_alerts", kind="position_unprotected", severity="critical") == 1
    assert of(found, "posguard_monitor_snapshot_timestamp_seconds") == AT.timestamp()


def test_latencies_are_seconds_and_nothing_has_no_percentile():
    found = samples(KNOWN)
    assert of(found, "posguard_latency_entry_seconds", exchange="bybit", quantile="0.95") == 0.9
    assert of(found, "posguard_latency_entry_seconds", exchange="", quantile="0.5") == 0.12
    assert of(found, "posguard_latency_entry_count", exchange="binance") == 0
    assert not [k for n, k in found if n == "posguard_latency_entry_seconds" and ("exchange", "binance") in k]


def test_without_a_source_there_is_no_number():
    found = samples(KNOWN)
    assert "posguard_price_updates_total" not in {name for name, _ in found}
    assert of(found, "posguard_monitor_source", measure="price_updates", source="log") == 0
    assert of(found, "posguard_monitor_source", measure="positions_opened", source="database") == 1


@pytest.mark.parametrize(
    ("changed", "still"),
    [
        ({"age": timedelta(seconds=180)}, {"positions", "snapshot"}),
        ({"age": timedelta(seconds=181)}, {"snapshot"}),
        ({"running": False}, set()),
    ],
)
def test_an_old_snapshot_says_when_it_was_taken_and_nothing_else(changed, still):
    names = {name for name, _ in samples(LastResults(watched=replace(WATCHED, **changed)))}
    assert ("posguard_positions_active" in names) == ("positions" in still)
    assert ("posguard_monitor_source" in names) == ("positions" in still)
    assert ("posguard_monitor_snapshot_timestamp_seconds" in names) == ("snapshot" in still)
