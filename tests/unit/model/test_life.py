"""The life of a finding, step by step, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.model import life
from posguard.model.finding import (
    EventKind,
    FindingState,
    IgnoreRule,
    Kind,
    Pass,
    Proof,
    Severity,
    VenueVerdict,
    VerdictKind,
)
from posguard.model.position import PositionKey
from posguard.model.scope import Scope
from posguard.model.venue import VenueId, World
from tests.fixtures.known import a_finding

AT = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEEN = a_finding(
    Kind.STOP_NOT_RECORDED,
    severity=Severity.WARNING,
    subject="7",
    row_ids=(7,),
    database=({"id": "7", "quantity": "61.8", "updated": "21:50"},),
    venue=({"what": "position", "quantity": "61.8"},),
    evidence=("both reads hold it",),
)
WORSE = replace(SEEN, severity=Severity.CRITICAL)
RULE = IgnoreRule(3, "binance", "main", "APTUSDT", "by hand", "ann", AT)


def sitting(hours=1, *, conclusive=True, rules=(), run=9, resolve_after=2, took=0, **more):
    kind = VerdictKind.CONCLUSIVE if conclusive else VerdictKind.INCONCLUSIVE
    verdict = VenueVerdict(VenueId("binance"), World.SIMULATOR, kind, (), 3, 0, 0, 1, AT)
    at = AT + hours * HOUR
    result = Pass(at - took * HOUR, at, (), (verdict,), 1, 1, resolve_after=resolve_after, **more)
    return life.Sitting(run, result, tuple(rules))


def stored(finding=SEEN, **changes):
    return replace(life.found(finding, sitting(0, run=1)).after, id=5, **changes)


def kinds(step):
    return [kind for kind, _ in step.events]


def test_a_first_sight_is_open():
    step = life.found(SEEN, sitting(run=4))
    assert (step.after.state, step.after.first_run, step.after.last_run) == (FindingState.OPEN, 4, 4)
    assert kinds(step) == [EventKind.FOUND]


def test_seen_again_unchanged_moves_the_last_sight_alone():
    before = stored(clean_passes=1)
    step = life.seen_again(before, SEEN, sitting())
    assert step.after == replace(before, last_seen=AT + HOUR, last_run=9, clean_passes=0)
    assert step.events == ()


def test_a_changed_number_is_told_and_the_time_of_update_is_not():
    other = replace(SEEN, database=({"id": "7", "quantity": "61.0", "updated": "21:55"},))
    step = life.seen_again(stored(), other, sitting())
    assert step.after.finding == other
    assert step.events == ((EventKind.CHANGED, "database quantity 61.8 → 61.0"),)
    fresh = replace(SEEN, database=({"id": "7", "quantity": "61.8", "updated": "21:59"},))
    step = life.seen_again(stored(), fresh, sitting())
    assert step.after.finding == fresh
    assert step.events == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"severity": Severity.CRITICAL}, "severity warning → critical"),
        ({"venue": ()}, "venue: 1 → 0 entries"),
        ({"title": "another"}, "title"),
        ({"repair_built": True}, "repair_built"),
        ({"order_ids": ("1",)}, "orders"),
    ],
)
def test_what_changed_is_said_in_words(change, words):
    step = life.seen_again(stored(), replace(SEEN, **change), sitting())
    assert step.events == ((EventKind.CHANGED, words),)


def test_proof_that_comes_or_goes_is_an_event_with_its_evidence():
    doubt = replace(SEEN, proof=Proof.SUSPECTED, evidence=("nothing proves it",))
    assert life.seen_again(stored(doubt), SEEN, sitting()).events == (
        (EventKind.PROVEN, "both reads hold it"),
    )
    assert life.seen_again(stored(), doubt, sitting()).events == ((EventKind.SUSPECTED, "nothing proves it"),)
    both = life.seen_again(stored(doubt), WORSE, sitting())
    assert kinds(both) == [EventKind.PROVEN, EventKind.CHANGED]


def test_resolved_by_as_many_clean_passes_as_set():
    one = life.not_seen(stored(), sitting(1, resolve_after=3))
    two = life.not_seen(one.after, sitting(2, resolve_after=3))
    three = life.not_seen(two.after, sitting(3, resolve_after=3))
    assert [s.after.clean_passes for s in (one, two, three)] == [1, 2, 3]
    assert [s.after.state for s in (one, two)] == [FindingState.OPEN] * 2
    assert (three.after.state, three.after.resolved_at) == (FindingState.RESOLVED, AT + 3 * HOUR)
    assert kinds(three) == [EventKind.RESOLVED]
    assert life.not_seen(three.after, sitting(4)).after == three.after


@pytest.mark.parametrize(
    "blind",
    [
        {"conclusive": False},
        {"scope": Scope("bybit")},
        {"scope": Scope(symbol="BTCUSDT")},
        {"inconclusive_keys": frozenset({PositionKey("binance", "main", "APTUSDT")})},
        {"took": 3},
    ],
    ids=["inconclusive", "other exchange", "other symbol", "key not judged", "began before the last sight"],
)
def test_a_pass_that_could_not_see_it_counts_for_nothing(blind):
    before = stored(clean_passes=1)
    assert life.not_seen(before, sitting(2, **blind)) == life.Step(before)


def test_a_key_of_another_symbol_hides_nothing():
    other = frozenset({PositionKey("binance", "main", "BTCUSDT"), PositionKey("bybit", "main", "APTUSDT")})
    assert life.not_seen(stored(), sitting(inconclusive_keys=other)).after.clean_passes == 1


def test_seen_after_it_was_resolved_is_reopened_and_an_older_pass_is_not_believed():
    gone = stored(state=FindingState.RESOLVED, resolved_at=AT + 2 * HOUR, decided_by="ann", reason="r")
    assert life.seen_again(gone, SEEN, sitting(1)) == life.Step(gone)
    back = life.seen_again(gone, WORSE, sitting(3))
    assert (back.after.state, back.after.reopened, back.after.finding) == (FindingState.OPEN, 1, WORSE)
    assert (back.after.decided_by, back.after.reason, back.after.resolved_at) == ("", "", None)
    assert kinds(back) == [EventKind.REOPENED]


def test_what_an_inconclusive_pass_says_makes_nothing_look_better():
    mild = replace(SEEN, severity=Severity.INFO, proof=Proof.SUSPECTED, venue=())
    step = life.seen_again(stored(), mild, sitting(conclusive=False))
    assert step.after.finding == SEEN
    assert step.events == ()
    worse = replace(mild, severity=Severity.CRITICAL)
    assert life.seen_again(stored(), worse, sitting(conclusive=False)).after.finding == worse
    moved = replace(mild, database=({"id": "7", "quantity": "1"},))
    assert life.seen_again(stored(), moved, sitting(conclusive=False)).after.finding == moved


@pytest.mark.parametrize("state", [FindingState.ACKNOWLEDGED, FindingState.DISMISSED])
def test_worse_than_when_it_was_decided_is_opened_but_not_by_a_pass_that_could_not_judge(state):
    decided = stored(state=state, decided_by="ann", reason="known")
    step = life.seen_again(decided, WORSE, sitting())
    assert step.after.state is FindingState.OPEN
    assert step.after.decided_by == ""
    assert kinds(step) == [EventKind.CHANGED, EventKind.REOPENED]
    kept = life.seen_again(decided, WORSE, sitting(conclusive=False))
    assert (kept.after.state, kept.after.finding) == (state, WORSE)


def test_a_dismissal_ends_at_its_time_and_with_the_problem():
    decided = stored(state=FindingState.DISMISSED, decided_by="ann", reason="known", until=AT + 2 * HOUR)
    assert life.seen_again(decided, SEEN, sitting(1)).after.state is FindingState.DISMISSED
    step = life.seen_again(decided, SEEN, sitting(2))
    assert step.after.state is FindingState.OPEN
    assert step.events == ((EventKind.REOPENED, "the dismissal ended"),)
    gone = life.not_seen(replace(decided, until=None), sitting(resolve_after=1))
    assert gone.after.state is FindingState.RESOLVED
    assert life.seen_again(gone.after, SEEN, sitting(5)).after.state is FindingState.OPEN


def test_an_ignore_rule_dismisses_what_it_names_and_lets_go_when_it_ends():
    step = life.found(SEEN, sitting(rules=[RULE]))
    assert (step.after.state, step.after.decided_by, step.after.reason) == (
        FindingState.DISMISSED,
        "ignore rule #3",
        "by hand",
    )
    assert kinds(step) == [EventKind.FOUND, EventKind.DISMISSED]
    held = life.seen_again(step.after, WORSE, sitting(2, rules=[RULE]))
    assert held.after.state is FindingState.DISMISSED
    assert kinds(held) == [EventKind.CHANGED]
    ended = life.seen_again(step.after, SEEN, sitting(2, rules=[replace(RULE, until=AT + HOUR)]))
    assert ended.after.state is FindingState.OPEN
    assert kinds(ended) == [EventKind.REOPENED]
    for other in ({"symbol": "KASUSDT"}, {"exchange": "bybit"}, {"account": "second"}):
        assert life.found(SEEN, sitting(rules=[replace(RULE, **other)])).after.state is FindingState.OPEN


def test_a_rule_takes_over_what_was_open_and_leaves_a_persons_dismissal():
    assert life.seen_again(stored(), SEEN, sitting(rules=[RULE])).after.decided_by == "ignore rule #3"
    own = stored(state=FindingState.DISMISSED, decided_by="ann", reason="known")
    assert life.seen_again(own, SEEN, sitting(rules=[RULE])).after.decided_by == "ann"


def test_a_run_recorded_late_never_turns_the_clock_back():
    before = stored(last_seen=AT + 5 * HOUR, last_run=12)
    after = life.seen_again(before, SEEN, sitting(1, run=9)).after
    assert (after.last_seen, after.last_run) == (AT + 5 * HOUR, 12)


RACE = replace(SEEN, kind=Kind.DUPLICATE_KEY_RACE, subject="bot 2025-10-22T21:50:40.981Z")


def told(before, *, hours=1, seen=RACE, rules=()):
    return life.told(before, seen, happened_at=AT, at=AT + hours * HOUR, run_id=4, rules=rules)


def test_a_race_read_again_is_the_same_finding_and_opens_nothing():
    first = told(None)
    assert kinds(first) == [EventKind.FOUND]
    assert first.after.state is FindingState.OPEN
    again = told(first.after, hours=2)
    assert kinds(again) == []
    assert (again.after.state, again.after.last_seen) == (FindingState.OPEN, AT + 2 * HOUR)
    resolved = replace(first.after, state=FindingState.RESOLVED, resolved_at=AT + HOUR)
    assert told(resolved, hours=3).after.state is FindingState.RESOLVED
    dismissed = replace(first.after, state=FindingState.DISMISSED, decided_by="ann")
    assert told(dismissed, hours=3).after.state is FindingState.DISMISSED


def test_no_pass_resolves_a_race_however_often_it_does_not_see_it():
    race = told(None).after
    for hours in range(2, 9):
        race = life.not_seen(race, sitting(hours)).after
    assert (race.state, race.clean_passes) == (FindingState.OPEN, 0)


def test_a_race_is_history_after_a_week_and_at_once_where_it_is_read_later():
    race = told(None).after
    week = 7 * 24
    assert life.history(race, happened_at=AT, at=AT + (week - 1) * HOUR).events == ()
    step = life.history(race, happened_at=AT, at=AT + week * HOUR)
    assert kinds(step) == [EventKind.RESOLVED]
    assert step.after.resolved_at == AT + week * HOUR
    assert life.history(step.after, happened_at=AT, at=AT + 2 * week * HOUR).events == ()
    assert kinds(told(None, hours=week)) == [EventKind.FOUND, EventKind.RESOLVED]


def test_an_ignore_rule_dismisses_a_race():
    assert told(None, rules=(RULE,)).after.state is FindingState.DISMISSED
