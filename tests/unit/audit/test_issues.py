"""What becomes an issue, what does not, and what an issue says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from posguard.audit.build import build
from posguard.audit.facts import KnownRace
from posguard.audit.issues import find_issues
from posguard.model.analysis import SECTIONS, Analysis, Told
from posguard.model.analysis_rows import (
    DuplicateKeyError,
    FaultLine,
    LatencyLine,
    OpenPosition,
    RacePair,
    TrailingFault,
    TrailingRush,
)
from posguard.model.audit import Area, BrokenLife, ErrorGroup, EventCount, Gap, Priority
from posguard.model.finding import FindingState, Kind, Proof, Severity
from posguard.model.health import DatabaseLine, IndexLine, LockLine, StatementLine, TableLine
from posguard.model.quality import Outcome
from posguard.postgres.audit import RowFacts
from tests.fixtures.audited import WINDOW, facts, hours
from tests.fixtures.known import AT, result, stored_finding, stored_run, verdict
from tests.unit.logs.telling import incident_1, incident_2

_PARTS = tuple(name for section in SECTIONS for name in section.parts)


def group(sample, count=3, **more):
    values = {"source": "events", "first": WINDOW.start, "last": WINDOW.start + timedelta(hours=1)}
    return ErrorGroup(sample=sample, count=count, **(values | more))


def only(found):
    (issue,) = found
    return issue


def test_a_quiet_window_has_no_issue_and_is_clear():
    audit = build(facts())
    assert audit.issues == ()
    assert (audit.light, audit.headline) == ("clear", "No issue.")


def test_nothing_found_without_a_complete_look_is_not_clear():
    audit = build(facts(run=None, findings=None))
    assert audit.light == "inconclusive"
    assert "not known" in audit.headline


def test_findings_of_one_kind_and_severity_are_one_issue_with_a_line_each():
    found = (
        stored_finding(1),
        stored_finding(2, symbol="ARBUSDT"),
        stored_finding(3, Kind.ZOMBIE_ORDER, Severity.WARNING),
    )
    orphans, zombies = find_issues(facts(findings=found))
    assert (orphans.number, orphans.key, orphans.count) == (1, "orphaned_db:critical", 2)
    assert orphans.evidence[1].where == "ARBUSDT on binance, row #2, finding 2"
    assert orphans.evidence[0].text.endswith("Absent in 3 snapshots. The rollback's fill closed it.")
    assert orphans.row_ids == (1, 2)
    assert orphans.repair == ("posguard cleanup orphaned-db --symbol APTUSDT --exchange binance",)
    assert orphans.cause == zombies.cause == "unknown"
    assert (zombies.severity, zombies.priority) == (Severity.WARNING, Priority.SOON)


def test_what_loses_money_comes_first_and_a_suspicion_is_not_for_now():
    naked = stored_finding(1, Kind.UNPROTECTED_POSITION)
    doubted = stored_finding(2, Kind.SIDE_MISMATCH, proof=Proof.SUSPECTED)
    twice = stored_finding(3, Kind.DUPLICATE_POSITION)
    found = find_issues(facts(findings=(twice, doubted, naked)))
    assert [one.key.partition(":")[0] for one in found] == [
        "unprotected_position",
        "duplicate_position",
        "side_mismatch",
    ]
    assert [one.priority for one in found] == [Priority.NOW, Priority.NOW, Priority.TODAY]


def test_what_the_desk_dismissed_makes_no_issue_and_what_was_resolved_is_marked():
    gone = replace(stored_finding(2, Kind.AGED_POSITION, state=FindingState.RESOLVED), resolved_at=AT)
    audit = build(facts(findings=(stored_finding(1, state=FindingState.DISMISSED), gone)))
    issue = only(audit.issues)
    assert issue.resolved
    assert issue.repair == ()
    assert "Resolved" in issue.evidence[0].text
    assert (audit.counts["issues"], audit.counts["resolved"]) == (0, 1)
    assert audit.facts.dismissed == 1


def test_a_caution_names_the_commands_that_it_is_about():
    suspected = stored_finding(
        repair="posguard cleanup orphaned-db --symbol APTUSDT --exchange binance --accept-absence"
    )
    assert only(find_issues(facts(findings=(suspected,)))).caution.startswith(
        "For the commands with `--accept-absence`: "
    )


def test_a_race_is_the_cause_of_what_it_left_behind_and_of_nothing_else():
    (race,) = incident_1().races()
    orphan = stored_finding(2549, row_ids=(2549,))
    other = stored_finding(77, symbol="ARBUSDT", row_ids=(77,))
    found = find_issues(facts(findings=(orphan, other), races=(KnownRace(race, 5, "core/x.py:3"),)))
    of_race = only([one for one in found if one.area is Area.RACES])
    assert of_race.location == "core/x.py:3"
    assert of_race.cause == race.reason
    assert of_race.evidence[0].where == "finding 5"
    assert any("UPDATE leaving the index" in one.text for one in of_race.evidence)
    orphans = only([one for one in found if one.key.startswith("orphaned")])
    assert orphans.cause.startswith("APTUSDT #2549: the race over APTUSDT on binance")
    assert orphans.cause.endswith("; the others: unknown")


def test_a_race_that_nobody_can_explain_has_an_unknown_cause():
    (race,) = incident_2().races()
    assert only(find_issues(facts(races=(KnownRace(race),)))).cause == "unknown"


def test_the_same_error_in_events_and_log_is_one_issue():
    said = group("❌ Rate limit exceeded for APTUSDT, waiting 30 s", places=("4", "9"))
    logged = group(
        "Rate limit exceeded for ARBUSDT, waiting 5 s", 2, source="bot", places=("bot.log at byte 7",)
    )
    issue = only(find_issues(facts(rows=RowFacts(errors=(said, logged)))))
    assert issue.count == 3
    assert [one.where for one in issue.evidence] == ["monitoring.events #4, #9", "bot.log at byte 7"]
    assert issue.cause == "more requests than the exchange allows"
    assert issue.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("text", "count", "severity"),
    [
        ("Position not found after 20s", 3, Severity.CRITICAL),
        ("something new", 1, Severity.INFO),
        ("something new", 9, Severity.WARNING),
    ],
)
def test_how_bad_an_error_is(text, count, severity):
    issue = only(find_issues(facts(rows=RowFacts(errors=(group(text, count),)))))
    assert issue.severity is severity
    assert issue.title.startswith("Rare error: ") is (count == 1)


def test_a_duplicate_key_error_is_its_race_or_stands_for_itself():
    (race,) = incident_1().races()
    explained = group("duplicate key value violates unique constraint", 1, symbols=("APTUSDT",))
    found = find_issues(facts(rows=RowFacts(errors=(explained,)), races=(KnownRace(race),)))
    assert [one.key.partition(":")[0] for one in found] == ["race"]
    alone = find_issues(facts(rows=RowFacts(errors=(explained,))))
    assert only(alone).severity is Severity.CRITICAL
    other = replace(explained, symbols=("ARBUSDT",))
    found = find_issues(facts(rows=RowFacts(errors=(other,)), races=(KnownRace(race),)))
    assert {one.key.partition(":")[0] for one in found} == {"race", "error"}


def test_a_secret_in_an_error_stays_out_of_its_issue():
    issue = only(find_issues(facts(rows=RowFacts(errors=(group("login failed, password=hunter2"),)))))
    assert "hunter2" not in issue.title


def test_violations_are_issues_by_suite_and_an_error_of_a_check_is_no_violation():
    bad = result(outcome=Outcome.VIOLATION, failing=12, failing_keys=tuple(str(n) for n in range(1, 13)))
    lost = result("orders.x", Outcome.ERROR, message="no permission")
    violated, unjudged = find_issues(facts(results=(bad, lost, result("events.fine"))))
    assert violated.evidence[0].text.endswith(
        "12 of 700 rows: #1, #2, #3, #4, #5, #6, #7, #8, #9, #10 and 2 more."
    )
    assert violated.row_ids == tuple(range(1, 13))
    assert unjudged.evidence[0].where == "orders.x"
    assert "events.fine" not in str((violated, unjudged))


def test_the_goal_for_rollbacks_needs_enough_openings():
    few = RowFacts(hours=hours(opened=3, rolled_back=3))
    assert find_issues(facts(rows=few)) == ()
    within = RowFacts(hours=hours(opened=40, rolled_back=2))
    assert find_issues(facts(rows=within)) == ()
    above = RowFacts(hours=hours(opened=40, rolled_back=3))
    assert only(find_issues(facts(rows=above))).key == "lifecycle:rolled-back"


def test_detections_lives_and_passes_that_could_not_judge():
    rows = RowFacts(
        events=(EventCount("positions_without_sl_detected", 2, AT, AT, (5, 6)),),
        lives=(BrokenLife(9, "APTUSDT", "binance", AT, "it closed"),),
    )
    lost = stored_run(7, venues=[verdict(reasons=("timeout",))])
    found = find_issues(facts(rows=rows, runs=(lost, stored_run())))
    by_key = {one.key.partition(":")[0]: one for one in found}
    assert by_key["detected"].evidence[0].where == "monitoring.events #5, #6"
    assert by_key["lifecycle"].row_ids == (9,)
    assert (
        by_key["passes"].evidence[0].text == "binance: timeout"
        or "timeout" in by_key["passes"].evidence[0].text
    )


def test_every_kind_that_a_pass_can_find_has_its_title():
    from posguard.audit.issues_findings import _TITLES
    from posguard.model.finding import RECONCILED_KINDS

    assert set(_TITLES) == RECONCILED_KINDS


def test_what_is_missing_is_counted():
    assert build(facts(gaps=(Gap("the log", "races"),))).counts["missing"] == 1


def analysed(**parts):
    """An analysis in which every part was asked and found nothing, but for those given as rows."""
    empty = {name: Told() for name in _PARTS}
    return Analysis(WINDOW.start, WINDOW.end, **(empty | {name: Told(rows) for name, rows in parts.items()}))


def test_what_a_suite_or_a_finding_tells_already_is_no_second_issue():
    line = FaultLine("closed before it was created", 2, (1, 2))
    told = analysed(lifecycle_faults=(line,))
    assert only(find_issues(facts(analysis=told))).key == "lifecycle:faults"
    bad = result(outcome=Outcome.VIOLATION, failing=1, failing_keys=("1",))
    found = find_issues(facts(analysis=told, results=(bad,), findings=(stored_finding(2),)))
    assert "lifecycle:faults" not in {one.key for one in found}


def test_slow_operations_are_a_warning_where_one_in_twenty_is():
    line = LatencyLine("entry filled", "all", 100, 0.1, 0.3, 0.2, 0.9, 1.4, 3.0, 2, (7, 9))
    rare = only(find_issues(facts(analysis=analysed(latency=(line,)))))
    often = only(find_issues(facts(analysis=analysed(latency=(replace(line, p95=1.2),)))))
    assert (rare.severity, often.severity) == (Severity.INFO, Severity.WARNING)
    assert rare.row_ids == (7, 9)
    part = replace(line, exchange="bybit")
    assert find_issues(facts(analysis=analysed(latency=(part,)))) == ()


def test_rows_alone_speak_where_nobody_looked_at_the_exchanges():
    naked = OpenPosition(5, "binance", "APTUSDT", "long", None, "active", AT, 60.0, False, None, 1)
    told = analysed(unprotected=(naked,))
    assert find_issues(facts(analysis=told)) == ()
    assert only(find_issues(facts(analysis=told, run=None, findings=None))).key == "rows:unprotected"


def test_pairs_of_rows_that_a_race_or_a_finding_tells_of_are_no_second_issue():
    pair = RacePair("binance", "APTUSDT", 1, 2, AT, AT, 3.7, 9.0, "active", "active", 1)
    told = analysed(races=(pair,))
    assert only(find_issues(facts(analysis=told))).row_ids == (1, 2)
    twice = stored_finding(1, Kind.DUPLICATE_POSITION, row_ids=(1, 2))
    assert [one.key for one in find_issues(facts(analysis=told, findings=(twice,)))] == [
        "duplicate_position:critical"
    ]


def test_a_duplicate_key_error_far_from_every_race_stands_for_itself():
    (race,) = incident_1().races()
    said = group("duplicate key value violates unique constraint", 2, symbols=("APTUSDT",))
    near = DuplicateKeyError(race.at, "binance", "APTUSDT", 2548, 3, 1)
    far = replace(near, at=race.at - timedelta(hours=1))
    rows = RowFacts(errors=(said,))
    for errors, expected in (((near,), {"race"}), ((near, far), {"race", "error"})):
        told = analysed(duplicate_key_errors=errors)
        found = find_issues(facts(rows=rows, races=(KnownRace(race),), analysis=told))
        assert {one.key.partition(":")[0] for one in found} == expected


def test_trailing_stops_that_rush_or_cannot_be_right():
    rush = TrailingRush(4, "APTUSDT", "binance", 9, 5, 12.5, 1)
    fault = TrailingFault(8, 4, "binance", "APTUSDT", "its position has ended", 1)
    found = find_issues(facts(analysis=analysed(trailing_rushes=(rush,), trailing_faults=(fault,))))
    assert {one.key for one in found} == {"trailing:rushes", "trailing:faults"}
    assert {one.area for one in found} == {Area.TRAILING}
    told = result("trailing_stops.x", Outcome.VIOLATION, failing=1, failing_keys=("8",))
    again = find_issues(facts(analysis=analysed(trailing_faults=(fault,)), results=(told,)))
    assert [one.key for one in again] == ["suite:trailing_stops:critical"]


def test_the_database_speaks_for_the_present_alone():
    index = IndexLine("positions", "idx", 10, 0, 0, True, False, "CREATE …")
    lock = LockLine(7, "bot", "bot", "active", (3,), 1.0, 1.0, "Lock", "UPDATE x SET password=hunter2")
    table = TableLine("monitoring", "events", 1, 1, 1, 20_000, 30_000, 0.6, 1, 1, None, None)
    slow = StatementLine("bot", "SELECT 1", 5, 20.0, 4.0, 9.0, 5)
    busy = DatabaseLine("15", 1, 90, 100, 1, 1, 0.9, 0, 0, 0, None)
    told = analysed(indexes=(index,), locks=(lock,), tables=(table,), statements=(slow,), database=(busy,))
    assert find_issues(facts(analysis=told)) == ()
    found = find_issues(facts(analysis=told, present=True))
    assert {one.key.partition(":")[2] for one in found} == {
        "bloat",
        "indexes",
        "statements",
        "locks",
        "connections",
    }
    assert "hunter2" not in str(found)
