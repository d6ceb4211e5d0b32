"""What a monitor's run looks like, and which options do not go together."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from posguard.cli.app import run
from posguard.cli.monitor_screen import PlainScreen, screen, slow_text, snapshot_line, spell
from posguard.errors import ExitCode
from posguard.model.metrics import GAUGES, METRICS, Measure, Window
from posguard.model.monitor_alerts import AlertKind, Changes, MonitorAlert, Standing
from posguard.model.monitoring import MonitorRun, Reading, Snapshot, Spread, counted, unsourced

AT = datetime(2025, 10, 22, 12, tzinfo=UTC)
RUN = MonitorRun(3, AT, AT + timedelta(hours=8), 60)
ALERT = MonitorAlert(Standing(AlertKind.NO_STOP_LOSS, "5", "Position #5 records\x1b no stop-loss"), AT)


def snapshot():
    now = {measure: counted({"binance": 3, "bybit": 2}) for measure in GAUGES}
    minute = {
        Measure.POSITIONS_OPENED: counted({"bybit": 1}),
        Measure.PRICE_UPDATES: unsourced("no log"),
        Measure.LATENCY_ENTRY: Reading(Spread(2, 100.4, 200.0, 210.0)),
    }
    return Snapshot(1, RUN.due(1), AT, {Window.NOW: now, Window.MINUTE: minute})


def test_a_reading_in_a_few_words():
    assert spell(counted({"bybit": 2, "binance": 3})) == "5 (binance 3, bybit 2)"
    assert spell(counted({})) == "0"
    assert spell(unsourced("no log")) == "no source"
    assert spell(Reading(Spread(2, 100.4, 200.0, 210.0))) == "100/200/210"
    assert spell(Reading(Spread(0))) == "–"


def test_a_snapshot_on_one_line():
    line = snapshot_line(RUN, snapshot(), 1)
    assert "1/480" in line
    assert "active 5 (binance 3, bybit 2)" in line
    assert "prices no source" in line
    assert line.endswith("alerts 1")
    missed = snapshot_line(RUN, Snapshot(2, RUN.due(2), missed="the database\x07 was gone"), 1)
    assert missed.endswith("2/480  MISSED: the database  was gone")


def test_plain_lines_tell_of_alerts_without_steering_the_terminal():
    out = io.StringIO()
    plain = PlainScreen(out)
    plain.began(RUN, again=True, slow=("an_index",))
    plain.took(RUN, snapshot(), Changes((ALERT,), (ALERT,), ()), (ALERT,))
    plain.took(RUN, snapshot(), Changes((), (), (ALERT,)), ())
    told = out.getvalue()
    assert "Run 3 goes on: 480 snapshots" in told
    assert slow_text(("an_index",)) in told
    assert "CRITICAL: Position #5 records  no stop-loss" in told
    assert "over (critical): Position #5" in told
    assert "\x1b" not in told


def test_the_live_screen_has_every_metric_and_what_stands():
    from rich.console import Console

    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(screen(RUN, snapshot(), [ALERT]))
    text = console.export_text()
    for metric in METRICS:
        assert metric.title in text
    assert "Snapshot 1 of 480" in text
    assert "7 h 59 min left" in text
    assert text.index("critical: Position #5") < text.index("positions active"), "a low terminal cuts the end"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--duration", "0"], "--duration takes more"),
        (["--interval", "0"], "--interval takes 1"),
        (["--duration", "0.01", "--interval", "60"], "longer than --duration"),
        (["--test", "--demo"], "--test goes with"),
        (["--tz", "UTC"], "--tz goes with --log"),
        (["--log", "x.log"], "The zone of x.log is not known"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(["monitor", *words]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
