"""A chart over time as numbers: what stands where, what is unknown, and the same in words."""

from __future__ import annotations

import pytest

from posguard.report.document import Chart, Series
from posguard.report.series import HEIGHT, LEFT, WIDTH, plot

LABELS = ("10:00", "11:00", "12:00", "13:00")


def bars(*series):
    return Chart("made up", LABELS, tuple(Series(f"s{n}", "info", values) for n, values in enumerate(series)))


def test_bars_stand_on_each_other_and_are_as_high_as_their_values():
    drawn = plot(bars((1.0, 2.0, 0.0, None), (1.0, 4.0, 0.0, None)))
    first = [box for box in drawn.boxes if box.x == drawn.boxes[0].x]
    assert len(drawn.boxes) == 4
    assert first[0].height == pytest.approx(first[1].height)
    assert first[1].y == pytest.approx(first[0].y - first[1].height)
    assert first[0].y + first[0].height == pytest.approx(drawn.base, abs=0.6)
    for box in drawn.boxes:
        assert box.x >= LEFT
        assert box.x + box.width <= WIDTH
        assert 0 <= box.y <= box.y + box.height <= HEIGHT


def test_a_loss_hangs_below_the_line_of_zero():
    gain, loss = plot(bars((3.0, -3.0, None, None))).boxes
    assert gain.y + gain.height == pytest.approx(loss.y)
    assert gain.height == pytest.approx(loss.height)


def test_a_line_breaks_where_nobody_knows_and_a_lonely_value_still_shows():
    chart = Chart("made up", LABELS, (Series("open", "info", (1.0, 2.0, None, 5.0)),), lines=True)
    drawn = plot(chart)
    assert [len(stroke.points.split()) for stroke in drawn.strokes] == [2, 2]
    assert not drawn.boxes
    assert drawn.words == "made up: open between 1 and 5."


def test_nothing_known_is_empty_and_says_so():
    drawn = plot(bars((None,) * 4))
    assert drawn.empty
    assert drawn.words == "made up: s0 not known."
    assert not plot(bars((0.0,) * 4)).empty


def test_a_year_of_hours_keeps_its_labels_apart():
    chart = Chart("long", tuple(str(n) for n in range(744)), (Series("x", "info", (1.0,) * 744),))
    assert len(plot(chart).across) <= 13
