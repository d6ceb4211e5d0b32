"""A race as a drawing: what stands where, and the same in words."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from posguard.report.lanes import NARROW, WIDTH, draw, in_words, spell_gap
from tests.unit.logs.telling import Log, incident_1, incident_2


def test_each_actor_has_a_lane_and_the_window_is_as_wide_as_its_gap():
    (race,) = incident_1().races()
    shown = draw(race)
    assert [lane.name for lane in shown.lanes] == ["signal", "synchroniser"]
    assert shown.window.label == "3.756 s"
    first, second = shown.ticks[0], shown.ticks[1]
    assert (first.label, second.label) == ("0 s", "+1 s")
    assert shown.window.x == first.x
    assert shown.window.width == pytest.approx(3.756 * (second.x - first.x), rel=0.01)


@pytest.mark.parametrize("width", [WIDTH, NARROW])
def test_marks_carry_the_numbers_of_the_lines_and_none_covers_another(width):
    crowd = incident_1()
    for number in range(7):
        crowd.say(
            4931, "stop_failed", f"stop {number} failed", module="core.stop_loss_manager", symbol="APTUSDT"
        )
    for race in (*incident_1().races(), *incident_2().races(), *crowd.races()):
        shown = draw(race, width=width)
        dots = [dot for lane in shown.lanes for dot in lane.dots]
        assert sorted(dot.number for dot in dots) == [line.number for line in shown.lines if line.drawn]
        assert all(0 < dot.x < width and 22 <= dot.y <= shown.height - 22 for dot in dots)
        assert {dot.tone for dot in dots} == {tone for tone, _ in shown.legend}
        for one in dots:
            for other in dots:
                apart = abs(one.x - other.x) + abs(one.y - other.y)
                assert one is other or apart >= 17, (one, other)


def test_a_narrow_drawing_has_fewer_times_and_the_same_gap():
    (race,) = incident_1().races()
    wide, narrow = draw(race), draw(race, width=NARROW)
    assert narrow.window.label == wide.window.label
    assert [lane.name for lane in narrow.lanes] == [lane.name for lane in wide.lanes]
    assert 2 <= len(narrow.ticks) < len(wide.ticks)
    assert narrow.right < NARROW


def test_a_window_of_milliseconds_fills_the_drawing_and_what_was_earlier_is_in_the_table():
    (race,) = incident_2().races()
    shown = draw(race)
    assert shown.window.label == "34 ms"
    assert shown.window.width > WIDTH / 3
    assert [line.drawn for line in shown.lines] == [False, True, True, True, True]


def test_utc_and_the_hosts_time_stand_beside_each_other():
    (race,) = incident_1().races()
    line = draw(race).lines[2]
    assert line.at == datetime(2025, 10, 22, 21, 50, 40, 983_000, tzinfo=UTC)
    assert line.host.utcoffset() == timedelta(hours=2)
    assert line.host.tzinfo == ZoneInfo("Europe/Berlin")
    assert (line.seconds, line.mark) == ("-4.931", "CREATE")


def test_in_words_it_says_who_when_and_how_far_apart():
    (race,) = incident_1().races()
    words = in_words(race)
    for part in (
        "APTUSDT on binance",
        "duplicate-key error",
        "row #2548 at 21:50:40.983",
        "synchroniser",
        "3.756 s",
    ):
        assert part in words


def test_an_error_without_a_create_is_drawn_without_a_window():
    log = Log().say(0, "duplicate_error", "duplicate key value", symbol="APTUSDT", exchange="binance")
    (race,) = log.races()
    shown = draw(race)
    assert shown.window is None
    assert [dot.tone for lane in shown.lanes for dot in lane.dots] == ["error"]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(34, "34 ms"), (999, "999 ms"), (1000, "1.000 s"), (3756, "3.756 s"), (0, "0 ms")],
)
def test_a_gap_is_spelled_to_the_millisecond(milliseconds, text):
    assert spell_gap(timedelta(milliseconds=milliseconds)) == text
