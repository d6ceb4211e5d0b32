"""Which alerts go where, together, under which key, and when they are tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.alert_route import AlertRoute
from posguard.alerts.routing import counts, delay, drafts, gathered, last_of_topics, subject
from posguard.model.alert import AlertEvent, WaitingAlert
from posguard.model.finding import Severity

AT = datetime(2026, 1, 5, 12, tzinfo=UTC)
RESOLVED = AlertEvent.RESOLVED


def alert(number=1, severity="critical", **more):
    more = {
        "topic": f"t{number}",
        "event": AlertEvent.RAISED,
        "kind": "orphaned_db",
        "owner": "operations",
    } | more
    return WaitingAlert(
        id=number, key=f"k{number}", severity=Severity(severity), text=f"text {number}", payload={}, created_at=AT, **more
    )  # fmt: skip


def route(name="desk", **more):
    return AlertRoute(name=name, kind="webhook", url=f"https://{name}.example", **more)


def test_severity_and_owner_decide_the_route():
    everything = route("all", severities=("critical", "warning", "info"))
    night = route("night", severities=("critical",))
    bot = route("bot", owners=("bot",))
    given = [alert(1), alert(2, "warning"), alert(3, "info"), alert(4, "warning", owner="bot")]
    made = {one.route: one.alert_ids for one in drafts(given, [everything, night, bot, route("desk")])}
    assert made == {"all": (1, 2, 3, 4), "night": (1,), "bot": (4,), "desk": (1, 2, 4)}


def test_a_storm_is_one_message_a_route():
    (one,) = drafts([alert(n) for n in range(1, 501)], [route()])
    assert len(one.alert_ids) == 500
    assert one.subject == "posguard: 500 critical"
    assert drafts([], [route()]) == []


def test_of_one_topic_the_last_alert_alone_is_told_and_all_are_done_with():
    given = [alert(1, topic="a"), alert(2, topic="b"), alert(3, topic="a", event=RESOLVED)]
    assert [one.id for one in last_of_topics(given)] == [2, 3]
    (made,) = drafts(given, [route()])
    assert made.alert_ids == (1, 2, 3)
    assert made.subject == "posguard: 1 critical, 1 resolved"


def test_what_has_no_topic_is_never_folded():
    given = [alert(1, topic=""), alert(2, topic="")]
    assert len(last_of_topics(given)) == 2


def test_the_worst_comes_first_and_ends_come_last():
    given = [alert(1, event=RESOLVED), alert(2, "warning"), alert(3)]
    assert [one.id for one in last_of_topics(given)] == [3, 2, 1]
    assert counts(given) == {"critical": 1, "warning": 1, "resolved": 1}


def test_a_single_alert_is_its_own_subject_and_a_long_one_is_cut():
    assert subject([alert()]) == "posguard: critical: text 1"
    assert subject([alert(event=RESOLVED)]) == "posguard: resolved: text 1"
    assert len(subject([replace(alert(), text="x" * 500)])) == 150


def test_the_key_is_that_of_the_route_and_its_alerts_whatever_their_order():
    given = [alert(1), alert(2)]
    (one,), (again,) = drafts(given, [route()]), drafts(given[::-1], [route()])
    assert one.key == again.key
    others = [*drafts(given, [route("other")]), *drafts(given[:1], [route()])]
    assert len({one.key, *(other.key for other in others)}) == 3


def test_what_waits_goes_out_after_the_window_at_once_without_one():
    window = timedelta(seconds=15)
    assert not gathered(None, window)
    assert not gathered(window - timedelta(milliseconds=1), window)
    assert gathered(window, window)
    assert gathered(timedelta(), timedelta())


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 5), (2, 10), (5, 80), (8, 300), (5000, 300)])
def test_each_try_waits_longer_up_to_five_minutes_less_a_chance(attempts, seconds):
    assert delay(attempts, 0) == timedelta(seconds=seconds)
    assert delay(attempts, 1) == timedelta(seconds=seconds / 2)
