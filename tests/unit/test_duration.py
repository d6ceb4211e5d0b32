from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.model.duration import parse_duration, spell_duration, type_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("8h", 28800),
        ("60s", 60),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172800),
        ("45", 45),
        (" 1.5h ", 5400),
        ("1h 30m", 5400),
    ],
)
def test_durations_as_people_type_them(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0s", "45s", "1m", "1m30s", "15m", "1h", "1h30m", "2d", "1d1h1m1s"])
def test_a_duration_is_typed_as_it_is_read(text):
    assert type_duration(parse_duration(text)) == text


def test_a_bare_number_counts_in_the_unit_of_its_place():
    assert parse_duration("8", bare="h") == timedelta(hours=8)


@pytest.mark.parametrize("text", ["", "h", "8x", "1h-30m", "-5m", "eight hours", "1h30"])
def test_rubbish_is_refused_and_named(text):
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (5400, "1 h 30 min"), (187201, "2 d 4 h"), (61, "1 min 1 s")],
)
def test_durations_are_spelled_with_two_units(seconds, text):
    assert spell_duration(timedelta(seconds=seconds)) == text
