"""What the first screen says, for the page and the command line alike."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.model.finding import Kind, Proof, Severity, Skipped
from posguard.model.quality import Outcome
from posguard.model.run import RunOutcome
from posguard.model.venue import World
from posguard.report.chart import HEIGHT, tone, trend
from posguard.report.sides import both_sides
from posguard.report.suites import suites
from posguard.report.view import Known, Light, by_severity, compared, first_screen, standing
from tests.fixtures.known import AT, known, result, stored_finding, stored_run, verdict

LOST = ("positions: HTTP 524 with HTML instead of a list",)


def test_a_complete_recent_run_without_a_finding_is_the_only_clear_one():
    assert first_screen(known()).light is Light.CLEAR
    assert first_screen(known(findings=[stored_finding(severity=Severity.INFO)])).light is Light.CLEAR


@pytest.mark.parametrize(
    ("what", "light"),
    [
        (Known(AT), Light.ABSENT),
        (known(stored_run(minutes=121)), Light.STALE),
        (known(stored_run(venues=[verdict(reasons=LOST), verdict("bybit")])), Light.INCONCLUSIVE),
        (known(stored_run(outcome=RunOutcome.FAILED, venues=())), Light.INCONCLUSIVE),
        (known(findings=[stored_finding()]), Light.CRITICAL),
        (known(findings=[stored_finding(severity=Severity.WARNING)]), Light.WARNING),
        (known(results=(result(outcome=Outcome.VIOLATION),)), Light.CRITICAL),
        (known(results=(result(outcome=Outcome.VIOLATION, severity=Severity.WARNING),)), Light.WARNING),
        (known(results=(result(outcome=Outcome.ERROR),)), Light.WARNING),
        (known(results=(result(outcome=Outcome.NOT_APPLICABLE),)), Light.CLEAR),
    ],
)
def test_each_doubt_and_each_problem_takes_the_green_away(what, light):
    screen = first_screen(what)
    assert screen.light is light
    assert light is Light.CLEAR or screen.light is not Light.CLEAR


def test_grey_beats_red_and_still_names_the_criticals():
    run = stored_run(venues=[verdict(reasons=LOST), verdict("bybit")])
    screen = first_screen(known(run, [stored_finding(exchange="bybit")]))
    assert screen.light.grey
    assert "Inconclusive" in screen.headline
    assert "binance" in screen.headline
    assert "1 critical finding" in screen.headline
    assert screen.reasons == (f"binance: {LOST[0]}",)
    assert [f.id for f in screen.top] == [1]


def test_a_number_that_needs_every_venue_is_a_dash_while_one_is_unknown():
    counts = {"protected": 18, "positions": 20}
    whole = first_screen(known(stored_run(counts=counts))).counts[0]
    part = first_screen(known(stored_run(counts=counts, venues=[verdict(reasons=LOST)]))).counts[0]
    assert (whole.text, whole.tone) == ("18 of 20", "hurts")
    assert (part.text, part.tone) == ("–", "unknown")


def test_a_zero_that_a_lost_venue_could_raise_is_no_zero():
    run = stored_run(venues=[verdict(reasons=LOST), verdict("bybit")])
    counts = {c.label: c for c in first_screen(known(run)).counts}
    assert counts["orphans"].text == "≥ 0"
    assert counts["orphans"].tone == "unsure"
    assert counts["mismatches"].text == "≥ 0"
    assert counts["duplicates"].text == "0"


def test_without_any_run_no_count_is_a_zero():
    screen = first_screen(Known(AT))
    assert {count.text for count in screen.counts} == {"–"}
    assert screen.complete == "Never complete so far."
    assert screen.age == "no data yet"


def test_the_line_counts_by_group():
    findings = [
        stored_finding(1, Kind.DUPLICATE_POSITION),
        stored_finding(2, Kind.ORPHANED_DB),
        stored_finding(3, Kind.EXTERNAL_POSITION, Severity.WARNING),
        stored_finding(4, Kind.SIDE_MISMATCH),
        stored_finding(5, Kind.INCOMPLETE_POSITION, Severity.WARNING),
    ]
    run = stored_run(rows_read=47, rows_compared=45, counts={"protected": 20, "positions": 20})
    line = first_screen(known(run, findings)).line
    assert line == "20 of 20 protected · 1 duplicate · 2 orphans · 1 mismatch · 1 incomplete · 2 unknown"


def test_demo_is_said_by_the_setting_or_by_a_simulated_venue():
    assert not first_screen(known()).demo
    assert first_screen(known(demo=True)).demo
    assert first_screen(known(stored_run(venues=[verdict(world=World.SIMULATOR)]))).demo


def test_compared_names_what_was_left_out_and_why():
    run = stored_run(rows_read=47, rows_compared=45, skipped=(Skipped("within grace", (712, 713)),))
    assert compared(run) == "47 open rows read, 45 compared, 2 not: within grace (#712, #713)."
    many = stored_run(rows_read=9, rows_compared=2, skipped=(Skipped("moved", tuple(range(1, 8))),))
    assert compared(many).endswith("7 not: moved (#1, #2, #3, #4, #5 and 2 more).")
    assert (
        compared(stored_run(rows_read=None, rows_compared=None)) == "The run ended before it compared a row."
    )
    assert compared(stored_run(rows_read=1, rows_compared=1)) == "1 open row read, 1 compared."


def test_the_worst_stands_first_and_the_proven_before_the_suspected():
    findings = [
        stored_finding(1, severity=Severity.WARNING),
        stored_finding(2, proof=Proof.SUSPECTED),
        stored_finding(3),
    ]
    groups = by_severity(findings)
    assert list(groups) == [Severity.CRITICAL, Severity.WARNING]
    assert [f.id for f in groups[Severity.CRITICAL]] == [3, 2]
    naked = stored_finding(4, Kind.UNPROTECTED_POSITION, proof=Proof.SUSPECTED)
    assert by_severity([*findings, naked])[Severity.CRITICAL][0].id == 4


def test_a_finding_that_the_last_run_did_not_report_says_so():
    run = stored_run(100)
    assert standing(stored_finding(last_run=100), run) == ""
    assert standing(stored_finding(last_run=99, clean_passes=1), run) == "not seen in the last run"
    lost = stored_run(100, venues=[verdict(reasons=LOST)])
    assert standing(stored_finding(last_run=99), lost) == "not judged in the last run"
    assert standing(stored_finding(last_run=99, exchange="bybit"), lost) == "not judged in the last run"


def test_suites_put_first_what_needs_eyes_and_keep_error_apart_from_violation():
    outcomes = [Outcome.PASS, Outcome.ERROR, Outcome.VIOLATION]
    (suite,) = suites(result(f"positions.{o}", o) for o in outcomes)
    assert [r.result for r in suite.results] == [Outcome.VIOLATION, Outcome.ERROR, Outcome.PASS]
    assert suite.summary == "1 violation, 1 error, 1 passed"


def test_both_sides_stand_in_one_table_with_the_difference_marked():
    finding = stored_finding(
        database=(
            {"id": "7", "quantity": "100", "opened": "–"},
            {"id": "8", "quantity": "90", "status": "active"},
        ),
        venue=(
            {"what": "position", "side": "long", "quantity": "90"},
            {"what": "order", "order_id": "55", "kind": "stop", "quantity": "90"},
        ),
        differing=("quantity",),
    ).finding
    table = both_sides(finding)
    assert [c.title for c in table.columns] == ["row #7", "row #8", "position", "stop order"]
    lines = {line.field: line for line in table.lines}
    assert lines["quantity"].cells == ("100", "90", "90", "90")
    assert list(lines) == ["side", "quantity", "status", "order_id"]
    assert [name for name, line in lines.items() if line.differs] == ["quantity"]
    assert lines["status"].cells == ("–", "active", "–", "–")


def test_the_trend_stands_oldest_first_at_the_right_edge_and_never_taller_than_its_canvas():
    runs = [
        stored_run(3, minutes=1, counts={"critical": 7, "warning": 5}, outcome=RunOutcome.PROBLEMS),
        stored_run(2, minutes=61, venues=[verdict(reasons=LOST)], counts={"critical": 1}),
        stored_run(1, minutes=121),
    ]
    drawn = trend(runs, slots=10)
    assert [bar.run.id for bar in drawn.bars] == [1, 2, 3]
    assert drawn.top == 20
    assert all(
        block.y >= 0 and block.y + block.height <= HEIGHT + 0.01 for b in drawn.bars for block in b.blocks
    )
    assert [block.tone for block in drawn.bars[1].blocks] == ["inconclusive"]
    assert [block.tone for block in drawn.bars[0].blocks] == ["clear"]
    assert {block.tone for block in drawn.bars[2].blocks} == {"critical", "warning"}


def test_a_run_that_is_under_way_or_inconclusive_is_never_clear():
    assert tone(stored_run()) == "clear"
    assert tone(stored_run(outcome=RunOutcome.RUNNING, finished_at=None)) == "running"
    assert tone(stored_run(outcome=RunOutcome.FAILED)) == "inconclusive"
    assert tone(stored_run(venues=[verdict(reasons=LOST)])) == "inconclusive"


def test_an_old_complete_run_is_told_with_its_age():
    old = stored_run(90, minutes=300)
    new = stored_run(100, venues=[verdict(reasons=LOST)])
    screen = first_screen(known(new, complete=old))
    assert screen.complete.endswith("4 h 59 min ago.")
    assert screen.data_at == AT - timedelta(minutes=7)
