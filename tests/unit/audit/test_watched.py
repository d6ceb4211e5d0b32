"""What the monitor saw: charts that break where it did not look, alerts as issues, and its absence as a gap."""

from __future__ import annotations

from datetime import timedelta

from posguard.audit.issues import find_issues
from posguard.audit.watched import Watch, charts, watch_gaps
from posguard.model.audit import Priority
from posguard.model.metrics import Measure
from posguard.model.metrics import Window as Covered
from posguard.model.monitor_alerts import AlertKind, MonitorAlert, Standing
from posguard.model.monitoring import Snapshot, counted, unsourced
from posguard.report.document import Chart, Text
from tests.fixtures.audited import WINDOW, facts

MINUTE = timedelta(minutes=1)


def snapshot(number, unprotected=0, **more):
    readings = {
        Covered.NOW: {
            Measure.POSITIONS_ACTIVE: counted({"binance": 30, "bybit": 4}),
            Measure.POSITIONS_UNPROTECTED: counted({"binance": unprotected}),
        },
        Covered.MINUTE: {
            Measure.POSITIONS_OPENED: counted({"binance": 2}),
            Measure.PRICE_UPDATES: unsourced("no log"),
        },
    }
    at = WINDOW.start + number * MINUTE
    return Snapshot(number, at, at, **({"readings": readings} | more))


def test_charts_show_the_worst_of_each_stretch_and_break_where_nobody_looked():
    taken = [snapshot(n, unprotected=3 if n == 7 else 0) for n in range(1, 101)]
    missed = [Snapshot(n, WINDOW.start + n * MINUTE, missed="the database was away") for n in range(101, 121)]
    watch = Watch((*taken, *missed))
    told = list(charts(facts(watch=watch)))
    drawn = [one for one in told if isinstance(one, Chart)]
    positions = next(one for one in drawn if one.title.endswith("positions"))
    active, unprotected = (one.values for one in positions.series)
    assert set(active) == {34.0, None}
    assert max(value for value in unprotected if value is not None) == 3.0
    # four hours in 48 parts of five minutes; it looked for 100 minutes
    assert sum(value is not None for value in active) in {20, 21}
    sentences = [one.text for one in told if isinstance(one, Text)]
    assert "120 snapshots, 20 of them missed." in sentences
    assert "Seen by the monitor: price updates a minute, on average: no source." in sentences
    (gap,) = watch_gaps(watch, WINDOW)
    assert gap.what == "20 of 120 snapshots of the monitor"


def test_without_a_monitor_it_says_so():
    (said,) = charts(facts())
    assert said.text.endswith("no source.")
    (gap,) = watch_gaps(Watch(), WINDOW)
    assert gap.what == "the monitor"


def test_its_alerts_are_issues_and_what_stands_is_for_now():
    naked = Standing(
        AlertKind.NO_STOP_LOSS, "7", "APTUSDT on binance, row #7, has no stop-loss", "binance", 7
    )
    over = MonitorAlert(naked, WINDOW.start, WINDOW.start + 5 * MINUTE)
    stands = MonitorAlert(naked, WINDOW.start + 9 * MINUTE)
    (issue,) = find_issues(facts(watch=Watch((), (over, stands))))
    assert (issue.count, issue.row_ids, issue.priority) == (2, (7,), Priority.NOW)
    assert issue.evidence[0].text.endswith("; cleared after 5 min")
    assert issue.evidence[1].text.endswith("; not cleared")
    (issue,) = find_issues(facts(watch=Watch((), (over,))))
    assert issue.priority is Priority.TODAY


def test_every_kind_of_alert_has_its_title():
    from posguard.audit.watched import _TITLES

    assert set(_TITLES) == set(AlertKind)
