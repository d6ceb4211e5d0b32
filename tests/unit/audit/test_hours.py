"""What is said of each hour: what the data tell, and nothing of what nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from posguard.audit.facts import KnownRace
from posguard.audit.hours import observe
from posguard.model.audit import Hour
from posguard.postgres.audit import RowFacts
from tests.fixtures.audited import facts, hours
from tests.fixtures.known import stored_finding
from tests.unit.logs.telling import incident_1

QUIET = {"opened": 1, "closed": 2, "rolled_back": 0, "broken_off": 0, "open_at_end": 3, "events": 10}


def said(told, place=0):
    return observe(told, told.rows.hours[place])


def test_an_ordinary_hour_says_what_was_opened_and_closed_and_nothing_else():
    assert said(facts(rows=RowFacts(hours=hours(**QUIET)))) == ("1 opened, 2 closed; 3 open at the end.",)


def test_what_nobody_knows_is_said_and_is_no_zero():
    assert said(facts(rows=RowFacts(hours=hours()))) == (
        "Nobody knows what was opened and closed.",
        "Nobody knows its events.",
    )
    silent = hours(**(QUIET | {"events": 0}))
    assert "The bot wrote no event at all." in said(facts(rows=RowFacts(hours=silent)))


def test_an_hour_with_many_errors_stands_out_from_the_others():
    usual = hours(**QUIET, **{"event order_error": 2})
    many = Hour(usual[0].start, usual[0].end, {**usual[0].counts, "event order_error": 9})
    told = facts(rows=RowFacts(hours=(many, *usual[1:])))
    assert "9 errors among 10 events, more than twice the usual." in said(told)
    assert "2 errors among 10 events." in said(told, 1)


def test_restarts_stops_and_detections_are_counted_in_words():
    found = {
        "event bot_stopped": 1,
        "event bot_started": 2,
        "event positions_without_sl_detected": 1,
        "event stop_loss_triggered": 1,
    }
    lines = said(facts(rows=RowFacts(hours=hours(**QUIET, **found))))
    assert "The bot was stopped once and started 2 times." in lines
    assert "The bot found positions without a stop-loss once." in lines
    assert "1 stop triggered, 0 trailing stops activated." in lines


def test_races_and_findings_stand_in_the_hour_in_which_they_fell():
    (race,) = incident_1().races()
    told = facts(rows=RowFacts(hours=hours(**QUIET)))
    hour = told.rows.hours[1]
    inside = replace(race, at=hour.start + timedelta(minutes=3))
    finding = replace(stored_finding(), first_seen=hour.start)
    told = facts(rows=told.rows, races=(KnownRace(inside),), findings=(finding,))
    lines = said(told, 1)
    assert any(line.startswith("A race over APTUSDT at ") for line in lines)
    assert "Findings first seen: 1, resolved: 0." in lines
    assert len(said(told, 2)) == 1
