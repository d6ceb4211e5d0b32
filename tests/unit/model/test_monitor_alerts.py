"""When the monitor's alerts are raised and cleared: once each, at the threshold, and never cleared by what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.model.finding import Severity
from posguard.model.metrics import GAUGES, Measure, Window
from posguard.model.monitor_alerts import (
    SEVERITIES,
    AlertKind,
    Silences,
    Thresholds,
    change,
    judge,
)
from posguard.model.monitoring import Snapshot, Unprotected, counted, unsourced

AT = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
LIMITS = Thresholds(error_rate=10, price_silence=timedelta(minutes=3), bot_silence=timedelta(minutes=10))
MINUTE = timedelta(minutes=1)
LATER = AT + timedelta(hours=1)
HEARD = Silences(AT - timedelta(hours=1), {"binance": LATER, "bybit": LATER}, LATER)


def snapshot(number=1, unprotected=(), **minute):
    """A quiet snapshot with open positions on both exchanges; `minute` names what else the minute saw."""
    now = dict.fromkeys(GAUGES, counted({})) | {
        Measure.POSITIONS_ACTIVE: minute.pop("active", counted({"binance": 2, "bybit": 1})),
        Measure.POSITIONS_AGED: minute.pop("aged", counted({})),
        Measure.POSITIONS_UNPROTECTED: counted({"binance": len(unprotected)}),
    }
    quiet = (
        Measure.ERRORS,
        Measure.EMERGENCY_CLOSES,
        Measure.EMERGENCY_LOGGED,
        Measure.THROUGHPUT,
        Measure.PRICE_UPDATES,
    )
    told = dict.fromkeys(quiet, counted({})) | {Measure(name): reading for name, reading in minute.items()}
    return Snapshot(
        number, AT + number * MINUTE, AT, {Window.NOW: now, Window.MINUTE: told}, tuple(unprotected)
    )


def found(at, silences=HEARD):
    return {one.identity for one in judge(at, LIMITS, silences).wrong}


def test_a_quiet_snapshot_raises_nothing():
    assert judge(snapshot(), LIMITS, HEARD).wrong == ()
    assert judge(snapshot(), LIMITS, HEARD).unknown == frozenset()


def test_each_unprotected_position_is_an_alert_of_its_own():
    naked = [Unprotected(n, "binance", "APTUSDT", "active", AT) for n in (5, 6)]
    wrong = judge(snapshot(unprotected=naked), LIMITS, HEARD).wrong
    assert [(one.kind, one.subject, one.position_id) for one in wrong] == [
        (AlertKind.NO_STOP_LOSS, "5", 5),
        (AlertKind.NO_STOP_LOSS, "6", 6),
    ]
    assert {one.severity for one in wrong} == {Severity.CRITICAL}


@pytest.mark.parametrize(("errors", "raised"), [(9, False), (10, True)])
def test_errors_are_alerted_about_from_the_rate_on_and_by_exchange(errors, raised):
    at = snapshot(errors=counted({"binance": errors, "bybit": 9}))
    assert (found(at) == {(AlertKind.ERROR_RATE, "binance")}) is raised


@pytest.mark.parametrize("minute", ["emergency_closes", "emergency_logged"])
def test_an_emergency_close_is_alerted_about_whichever_source_tells_of_it(minute):
    assert found(snapshot(**{minute: counted({"bybit": 1})})) == {(AlertKind.EMERGENCY_CLOSE, "")}


def test_one_source_of_emergency_closes_is_enough_to_raise_and_both_are_needed_to_clear():
    blind = {"emergency_closes": unsourced("no events")}
    assert found(snapshot(**blind, emergency_logged=counted({"bybit": 1})))
    assert (
        AlertKind.EMERGENCY_CLOSE
        in judge(snapshot(**blind, emergency_logged=unsourced("no log")), LIMITS, HEARD).unknown
    )
    # without a log the database alone tells
    assert judge(snapshot(emergency_logged=unsourced("no log")), LIMITS, HEARD).unknown == frozenset()


@pytest.mark.parametrize(
    ("quiet_for", "raised"), [(timedelta(minutes=3, seconds=-1), False), (timedelta(minutes=3), True)]
)
def test_prices_that_stop_coming_are_alerted_about_by_exchange(quiet_for, raised):
    at = snapshot()
    silences = Silences(AT - timedelta(hours=1), {"binance": at.at - quiet_for, "bybit": at.at}, at.at)
    assert (found(at, silences) == {(AlertKind.NO_PRICE_UPDATES, "binance")}) is raised


def test_prices_are_missed_where_positions_are_open_alone_and_never_without_a_log():
    at = snapshot(active=counted({"bybit": 1}))
    silences = Silences(AT - timedelta(hours=1), {"bybit": at.at}, at.at)
    assert found(at, silences) == set()
    blind = snapshot(price_updates=unsourced("no log"))
    judged = judge(blind, LIMITS, Silences(AT - timedelta(hours=1), {}, blind.at))
    assert judged.wrong == ()
    assert judged.unknown == {AlertKind.NO_PRICE_UPDATES}


def test_a_log_that_names_no_exchange_speaks_for_all_of_them():
    at = snapshot()
    assert found(at, Silences(AT - timedelta(hours=1), {"": at.at}, at.at)) == set()


def test_a_bot_that_writes_nothing_is_alerted_about_while_positions_are_open():
    at = snapshot()
    prices = {"binance": at.at, "bybit": at.at}
    quiet = Silences(AT - timedelta(hours=1), prices, at.at - timedelta(minutes=10))
    assert found(at, quiet) == {(AlertKind.BOT_SILENT, "")}
    assert found(snapshot(active=counted({})), quiet) == set()


def test_aged_positions_are_information():
    (one,) = judge(snapshot(aged=counted({"bybit": 2})), LIMITS, HEARD).wrong
    assert (one.identity, one.severity) == ((AlertKind.AGED, "bybit"), Severity.INFO)


def test_raised_once_kept_and_cleared_once():
    naked = [Unprotected(5, "binance", "APTUSDT", "active", AT)]
    first = change((), judge(snapshot(1, naked), LIMITS, HEARD), AT + MINUTE)
    again = change(first.standing, judge(snapshot(2, naked), LIMITS, HEARD), AT + 2 * MINUTE)
    gone = change(again.standing, judge(snapshot(3), LIMITS, HEARD), AT + 3 * MINUTE)
    back = change(gone.standing, judge(snapshot(4, naked), LIMITS, HEARD), AT + 4 * MINUTE)
    assert [len(step.raised) for step in (first, again, gone, back)] == [1, 0, 0, 1]
    assert [len(step.cleared) for step in (first, again, gone, back)] == [0, 0, 1, 0]
    (cleared,) = gone.cleared
    assert (cleared.raised_at, cleared.cleared_at) == (AT + MINUTE, AT + 3 * MINUTE)
    told = [first.raised[0].told(), cleared.told(), back.raised[0].told()]
    assert [one.event for one in told] == ["raised", "resolved", "raised"]
    assert {one.topic for one in told} == {"monitor_no_stop_loss:5"}


def test_a_missed_snapshot_is_an_alert_clears_nothing_else_and_the_next_one_clears_it():
    naked = [Unprotected(5, "binance", "APTUSDT", "active", AT)]
    first = change((), judge(snapshot(1, naked), LIMITS, HEARD), AT + MINUTE)
    blind = Snapshot(2, AT + 2 * MINUTE, missed="the database did not answer")
    missed = change(first.standing, judge(blind, LIMITS, HEARD), blind.at)
    assert {one.standing.kind for one in missed.standing} == {
        AlertKind.NO_STOP_LOSS,
        AlertKind.SNAPSHOTS_MISSED,
    }
    assert missed.cleared == ()
    seen = change(missed.standing, judge(snapshot(3, naked), LIMITS, HEARD), AT + 3 * MINUTE)
    assert [one.standing.kind for one in seen.cleared] == [AlertKind.SNAPSHOTS_MISSED]


def test_what_is_not_known_clears_nothing():
    at = snapshot(1)
    quiet = Silences(AT - timedelta(hours=1), {"bybit": at.at}, at.at)
    raised = change((), judge(at, LIMITS, quiet), at.at)
    blind = snapshot(2, price_updates=unsourced("the log cannot be read"))
    assert change(raised.standing, judge(blind, LIMITS, quiet), blind.at).cleared == ()


def test_a_clock_that_was_put_back_ends_no_alert_before_it_began():
    naked = [Unprotected(5, "binance", "APTUSDT", "active", AT)]
    raised = change((), judge(snapshot(5, naked), LIMITS, HEARD), AT + 5 * MINUTE)
    (cleared,) = change(raised.standing, judge(snapshot(1), LIMITS, HEARD), AT).cleared
    assert cleared.cleared_at > cleared.raised_at


def test_every_kind_has_a_severity():
    assert set(SEVERITIES) == set(AlertKind)
