"""What people are told of a finding's life, a run, a suite and a silence, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.model import life
from posguard.model.alert import (
    AlertEvent,
    Newest,
    TopicAlert,
    Watch,
    alert_of_step,
    alerts_of_results,
    alerts_of_run,
    dag_run_alert,
    key_after,
    overdue,
    worth_telling,
)
from posguard.model.finding import FindingState, Kind, Severity, VenueVerdict, VerdictKind
from posguard.model.quality import ExpectationResult, Outcome
from posguard.model.scope import Scope
from posguard.model.venue import VenueId, World
from tests.unit.model.test_life import RULE, SEEN, WORSE, sitting, stored

RAISED, RESOLVED = AlertEvent.RAISED, AlertEvent.RESOLVED
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LIMIT = timedelta(hours=2, minutes=10)


def alert(event=RAISED, severity=Severity.WARNING, **more):
    return TopicAlert("t", event, severity, "k", "text", **more)


def newest(event=RAISED, severity=Severity.WARNING):
    return Newest(4, "t", event, severity)


@pytest.mark.parametrize(
    ("before", "told", "worth"),
    [
        (None, alert(), True),
        (None, alert(RESOLVED), False),  # nobody was told of the beginning
        (newest(), alert(), False),
        (newest(), alert(again=True), True),
        (newest(), alert(severity=Severity.CRITICAL), True),
        (newest(severity=Severity.CRITICAL), alert(), False),
        (newest(), alert(RESOLVED), True),
        (newest(RESOLVED), alert(RESOLVED), False),
        (newest(RESOLVED), alert(), True),
    ],
)
def test_what_the_last_alert_did_not_say_is_told(before, told, worth):
    assert worth_telling(before, told) is worth


def test_who_follows_the_same_alert_writes_under_the_same_key():
    assert key_after(None, alert()) == key_after(None, alert(severity=Severity.CRITICAL))
    keys = {key_after(None, alert()), key_after(newest(), alert()), key_after(newest(), alert(RESOLVED))}
    assert len(keys) == 3


def told(before, step):
    found = alert_of_step(before, step)
    return found and (found.event, found.severity, found.again)


def test_a_finding_is_told_when_found_worse_reopened_and_resolved():
    first = life.found(SEEN, sitting(0))
    assert told(None, first) == (RAISED, Severity.WARNING, False)
    again = life.seen_again(first.after, SEEN, sitting(1))
    assert told(first.after, again) is None
    worse = life.seen_again(again.after, WORSE, sitting(2))
    assert told(again.after, worse) == (RAISED, Severity.CRITICAL, False)
    once = life.not_seen(worse.after, sitting(3))
    assert told(worse.after, once) is None
    gone = life.not_seen(once.after, sitting(4))
    assert told(once.after, gone) == (RESOLVED, Severity.CRITICAL, False)
    back = life.seen_again(gone.after, WORSE, sitting(5))
    assert told(gone.after, back) == (RAISED, Severity.CRITICAL, True)


def test_what_is_dismissed_or_for_information_is_told_to_nobody():
    assert told(None, life.found(replace(SEEN, severity=Severity.INFO), sitting(0))) is None
    assert told(None, life.found(SEEN, sitting(0, rules=(RULE,)))) is None
    dismissed = stored(state=FindingState.DISMISSED, decided_by="ann", reason="known")
    assert told(dismissed, life.seen_again(dismissed, SEEN, sitting(1))) is None
    acknowledged = stored(state=FindingState.ACKNOWLEDGED, decided_by="ann")
    assert told(acknowledged, life.seen_again(acknowledged, WORSE, sitting(1)))[0] is RAISED


def test_an_alert_names_the_finding_its_place_and_the_runbook():
    found = alert_of_step(None, life.found(SEEN, sitting(0)))
    assert found.text == "binance APTUSDT: a title"
    assert (found.kind, found.owner) == ("stop_not_recorded", "operations")
    assert found.payload["runbook"] == "stop-not-recorded"
    race = replace(SEEN, kind=Kind.DUPLICATE_KEY_RACE)
    assert alert_of_step(None, life.found(race, sitting(0))).owner == "bot"


def run(*verdicts, scope=None, notes=()):
    venues = tuple(
        VenueVerdict(VenueId(name), World.SIMULATOR, kind, why, 3, 0, 0, 1, NOW)
        for name, kind, why in verdicts
    )
    return replace(sitting(0).result, venues=venues, scope=scope or Scope(), notes=notes)


LOST = ("binance", VerdictKind.INCONCLUSIVE, ("positions: HTTP 524",))
JUDGED = ("bybit", VerdictKind.CONCLUSIVE, ())


def events(result, standing=()):
    return {one.topic: one.event for one in alerts_of_run(7, result, standing)}


def test_each_venue_that_nobody_could_judge_is_told_and_its_return():
    lost = alerts_of_run(7, run(LOST, JUDGED), ())
    assert [(one.topic, one.event) for one in lost] == [
        ("run_inconclusive:binance", RAISED),
        ("run_inconclusive:bybit", RESOLVED),
    ]
    assert "positions: HTTP 524" in lost[0].text
    assert events(run(JUDGED)) == {
        "run_inconclusive:bybit": RESOLVED,
        "reconciliation_overdue": RESOLVED,
    }


def test_a_venue_that_is_asked_no_more_ends_with_a_complete_run_alone():
    standing = ("run_inconclusive:binance",)
    assert events(run(JUDGED), standing)["run_inconclusive:binance"] is RESOLVED
    other = ("bybit", VerdictKind.INCONCLUSIVE, ())
    assert "run_inconclusive:binance" not in events(run(other), standing)


def test_a_run_without_venues_judges_nothing_and_a_filtered_one_says_nothing_of_the_whole():
    (none,) = alerts_of_run(7, run(notes=("no venue is configured",)), ())
    assert (none.topic, none.event) == ("run_inconclusive:none", RAISED)
    assert "no venue is configured" in none.text
    assert alerts_of_run(7, run(LOST, scope=Scope("binance")), ()) == []
    assert alerts_of_run(7, run(JUDGED, scope=Scope("", "BTCUSDT")), ()) == []


def test_a_silence_is_told_when_it_is_longer_than_the_limit_and_says_which_kind_it_is():
    ago = NOW - LIMIT
    assert overdue(Watch(NOW, ago, None, None), LIMIT) is None
    moment = timedelta(seconds=1)
    never = overdue(Watch(NOW, ago - moment, None, None), LIMIT)
    assert (never.event, never.severity) == (RAISED, Severity.CRITICAL)
    assert "No run was ever complete" in never.text
    assert "Silent" in never.text
    assert overdue(Watch(NOW, ago - LIMIT, ago, ago), LIMIT) is None
    silent = overdue(Watch(NOW, ago - LIMIT, ago - moment, ago - moment), LIMIT)
    assert "Silent" in silent.text
    lost = overdue(Watch(NOW, ago - LIMIT, ago - moment, NOW - moment), LIMIT)
    assert "Inconclusive" in lost.text
    assert "Silent" not in lost.text


def result(outcome, severity=Severity.CRITICAL, owner="bot"):
    return ExpectationResult("freshness", "f1", "The bot writes", severity, owner, outcome, failing=2)


def test_a_suite_tells_its_owner_of_violations_and_their_end_and_nothing_of_what_was_not_checked():
    (bad,) = alerts_of_results(7, [result(Outcome.VIOLATION)])
    assert (bad.event, bad.owner, bad.text) == (RAISED, "bot", "f1: The bot writes (2 rows)")
    assert alerts_of_results(7, [result(Outcome.PASS)])[0].event is RESOLVED
    assert alerts_of_results(7, [result(Outcome.ERROR), result(Outcome.NOT_APPLICABLE)]) == []
    assert alerts_of_results(7, [result(Outcome.VIOLATION, Severity.INFO)]) == []


def test_a_dag_run_that_failed_is_told_and_the_next_good_one():
    bad, good = dag_run_alert("d", "r1", failed=True), dag_run_alert("d", "r2", failed=False)
    assert bad.topic == good.topic
    assert (bad.event, good.event) == (RAISED, RESOLVED)
