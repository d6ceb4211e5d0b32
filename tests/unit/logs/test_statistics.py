from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from posguard.logs.intervals import percentile, poisson_interval
from posguard.logs.races import duplicate_errors
from posguard.logs.statistics import UPDATES, Tally, statistics
from tests.unit.logs.telling import START, Log, incident_1


def _numbers(log, **counted):
    tally = Tally()
    for event in log.events:
        tally.take(event)
    told = log.correlated()
    updates = sum(event.kind in UPDATES for event in told)
    counted = {
        "creates": len(log.creates()),
        "updates": updates,
        "total_lines": 100,
        "parsed_entries": 90,
    } | counted
    return statistics(tally, duplicate_errors(told), told, **counted)


# Garwood's bounds at 95 %, as tables of the exact interval print them.
@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (2, 0.242, 7.225), (10, 4.795, 18.390), (100, 81.364, 121.627)],
)
def test_the_interval_of_a_count_is_the_exact_one(count, low, high):
    assert poisson_interval(count) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_the_interval_of_large_counts_joins_the_exact_one():
    exact, near = poisson_interval(1000), poisson_interval(1001)
    assert near[0] - exact[0] == pytest.approx(1, abs=0.15)
    assert near[1] - exact[1] == pytest.approx(1, abs=0.15)


def test_percentiles_lie_between_their_neighbours():
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert percentile([7.0], 0.99) == 7.0


def test_the_incident_in_numbers():
    numbers = _numbers(incident_1())
    assert numbers.duplicate_errors == 1
    assert (numbers.position_creates, numbers.position_updates) == (2, 2)
    assert numbers.errors_by_symbol == {"APTUSDT": 1}
    assert numbers.errors_by_exchange == {"binance": 1}
    assert numbers.errors_by_hour == {datetime(2025, 10, 22, 21, tzinfo=UTC): 1}
    assert numbers.latency["entry"].p50 == 1100


def test_a_days_projection_counts_the_time_that_was_watched():
    log = Log()
    for minute in (*range(0, 61, 10), *range(180, 241, 10)):  # two hours are missing between
        log.say(minute * 60_000, "price_update")
    log.say(240 * 60_000, "duplicate_error", "duplicate key value", symbol="APTUSDT")
    numbers = _numbers(log)
    assert numbers.covered == timedelta(hours=2)
    (hole,) = numbers.holes
    assert (hole.since, hole.length) == (START + timedelta(hours=1), timedelta(hours=2))
    assert numbers.errors_per_hour == pytest.approx(0.5)
    assert numbers.errors_per_day == pytest.approx(12)
    low, high = numbers.errors_per_day_interval
    assert (low, high) == (pytest.approx(12 * 0.0253, abs=0.01), pytest.approx(12 * 5.572, abs=0.01))


def test_two_sources_at_once_are_watched_once():
    tally = Tally()
    for source in ("one", "two"):
        log = Log(source)
        for minute in range(0, 61, 10):
            log.say(minute * 60_000, "price_update")
        for event in log.events:
            tally.take(event)
    assert tally.covered == timedelta(hours=1)


def test_no_time_means_no_rate():
    numbers = _numbers(Log().say(0, "duplicate_error", "duplicate key value", symbol="APTUSDT"))
    assert numbers.errors_per_hour is None
    assert numbers.errors_per_day_interval is None


def test_latencies_that_lines_say_go_before_those_between_lines():
    log = incident_1()
    for value in (10.0, 20.0, 30.0):
        log.say(9000, "latency", latency_ms=value, fields={"what": "entry"}, price=Decimal(1))
    assert _numbers(log).latency["entry"].p50 == 20
