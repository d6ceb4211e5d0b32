"""Local time as UTC: the hour that comes twice, the one that never comes, and clocks that were never set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.logs.folds import Folds
from posguard.logs.zones import Clock, Edge, Span, repeated, zone_of

BERLIN = zone_of("Europe/Berlin")


def text(local: str) -> bytes:
    return f"2025-10-26 {local}:00,000".encode()


def span(first: str, last: str, *edges: tuple[int, str, str]) -> Span:
    return Span(text(first), text(last), [Edge(at, text(now), text(was)) for at, now, was in edges])


def folds_of(*stretches: Span) -> list[list[tuple[int, int]]]:
    folds = Folds(BERLIN)
    held = [one for number, stretch in enumerate(stretches) for one in folds.take(number * 100, stretch)]
    return [one.switches for one in (*held, *folds.end())]


@pytest.mark.parametrize(
    ("zone", "day", "window"),
    [
        ("Europe/Berlin", (2025, 10, 26), (b"2025-10-26 02:00:00", b"2025-10-26 03:00:00")),
        ("America/New_York", (2025, 11, 2), (b"2025-11-02 01:00:00", b"2025-11-02 02:00:00")),
        ("Australia/Lord_Howe", (2025, 4, 6), (b"2025-04-06 01:30:00", b"2025-04-06 02:00:00")),
        ("Europe/Berlin", (2025, 3, 30), None),
        ("Europe/Berlin", (2025, 10, 25), None),
        ("UTC", (2025, 10, 26), None),
    ],
)
def test_the_hour_that_comes_twice_is_known(zone, day, window):
    assert repeated(zone_of(zone), datetime(*day, tzinfo=UTC).date()) == window


def test_both_passes_have_their_own_utc():
    clock = Clock("Europe/Berlin")
    assert clock.utc(text("02:30")) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert clock.utc(text("02:30"), 1) == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)
    assert (
        clock.utc(text("03:30")) == clock.utc(text("03:30"), 1) == datetime(2025, 10, 26, 2, 30, tzinfo=UTC)
    )


def test_times_all_over_a_year_go_there_and_back():
    clock, zone = Clock("Europe/Berlin"), BERLIN
    at = datetime(2025, 1, 1, tzinfo=UTC)
    while at.year == 2025:
        local = at.astimezone(zone)
        assert clock.utc(f"{local:%Y-%m-%d %H:%M:%S},123".encode(), local.fold) == at.replace(
            microsecond=123_000
        )
        at += timedelta(minutes=41, seconds=13)
    assert (clock.missing, clock.wrong) == (0, 0)


def test_a_time_that_the_zone_never_showed_is_counted_and_read_as_if_the_clock_had_not_been_changed():
    clock = Clock("Europe/Berlin")
    assert clock.utc(b"2025-03-30 02:30:00,000") == datetime(2025, 3, 30, 1, 30, tzinfo=UTC)
    assert (clock.missing, clock.wrong) == (1, 0)


@pytest.mark.parametrize(
    "broken",
    [
        b"2025-13-01 00:00:00,000",
        b"2025-02-30 00:00:00,000",
        b"2025-02-03 24:00:00,000",
        b"2025-02-03 10:61:00,000",
        b"2099-99-99 99:99:99,999",
        b"2025-02-0\xd0 10:00:00,000",
    ],
)
def test_a_time_of_no_calendar_is_no_time(broken):
    clock = Clock("UTC")
    clock.utc(b"2025-02-03 10:00:00,000")
    assert clock.utc(broken) is None
    assert clock.wrong == 1


def test_a_jump_back_begins_the_second_pass():
    switches = folds_of(
        span("01:50", "02:10", (40, "02:00", "01:50")),
        span("02:20", "02:15", (150, "02:05", "02:55")),
        span("02:20", "03:10", (250, "03:00", "02:50")),
    )
    assert switches == [[], [(150, 1)], [(200, 1), (250, 0)]]


def test_a_jump_between_two_stretches_is_seen_too():
    assert folds_of(span("02:10", "02:50"), span("02:05", "02:55"), span("03:00", "03:30"))[1] == [(100, 1)]


def test_threads_a_little_out_of_order_are_no_jump():
    late = Span(
        text("02:10"), text("02:50"), [Edge(5, b"2025-10-26 02:20:00,100", b"2025-10-26 02:20:01,900")]
    )
    assert folds_of(span("01:59", "01:59"), late, span("03:30", "03:40"))[1] == []


@pytest.mark.parametrize(("stretches", "fold"), [
    ((span("01:59", "01:59"), span("02:01", "02:10"), span("03:30", "03:40")), 0),
    ((span("01:00", "01:01"), span("02:50", "02:59"), span("03:00", "03:40")), 1),
    ((span("02:50", "02:59"), span("03:00", "03:40")), 1),
    ((span("01:59", "01:59"), span("02:01", "02:10")), 0),
])  # fmt: skip
def test_one_pass_alone_goes_to_the_side_it_joins(stretches, fold):
    switches = folds_of(*stretches)
    inside = next(n for n, stretch in enumerate(stretches) if stretch.first[11:13] == b"02")
    assert [one for one in switches[inside] if one[0] == inside * 100] == (
        [(inside * 100, 1)] if fold else []
    )


def test_what_nothing_near_decides_is_said():
    folds = Folds(BERLIN)
    for number, stretch in enumerate(
        (span("01:00", "01:10"), span("02:25", "02:30"), span("03:40", "03:50"))
    ):
        list(folds.take(number * 100, stretch))
    assert folds.guessed == 1
