"""The demo bot's log tells what its database tells: both incidents and no other race, every line known."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from posguard.demo.botlog import ZONE, log_source, log_text
from posguard.demo.incidents import race_time, twin_time
from posguard.demo.world import make_world
from posguard.logs.analysis import Gathered
from posguard.logs.extract import extract
from posguard.model.race import Scenario

MILLISECOND = timedelta(milliseconds=1)


def analysed(world):
    data = log_text(world).encode()
    source = log_source(Path("demo"))
    read = extract(("mem://bot.log",), source, opener=lambda _: BytesIO(data), lines=True, levels=True)
    gathered = Gathered()
    gathered.take(read)
    counts = read.counts
    found = gathered.conclude(
        zones={source.name: source.zone}, total_lines=counts.lines, parsed_entries=counts.records
    )
    return found, counts


@pytest.mark.parametrize(
    ("now", "seed"),
    [
        (datetime(2026, 11, 21, 14, tzinfo=UTC), 7),
        (datetime(2026, 3, 29, 1, 30, 12, 345_678, tzinfo=UTC), 7),
        (datetime(2027, 1, 1, 3, 59, 59, 999_999, tzinfo=UTC), 8),
    ],
)
def test_both_incidents_and_no_other_race(now, seed):
    world = make_world(now, seed)
    found, counts = analysed(world)
    assert counts.damage == []
    assert found.undecided == ()
    twin, race = found.races
    assert (race.symbol, race.exchange, race.scenario, race.row_ids) == (
        "APTUSDT",
        "binance",
        Scenario.B,
        (2548,),
    )
    assert (twin.symbol, twin.exchange, twin.scenario, twin.row_ids) == (
        "KASUSDT",
        "bybit",
        Scenario.UNKNOWN,
        (275, 276),
    )
    assert abs(race.window - timedelta(milliseconds=3756)) <= MILLISECOND
    assert abs(twin.window - timedelta(milliseconds=34, microseconds=600)) <= MILLISECOND
    assert abs(race.creates[0].at - race_time(now)) <= MILLISECOND
    assert abs(twin.creates[0].at - twin_time(now)) <= MILLISECOND
    assert race.zone == ZONE
    assert len(race.errors) == 3


def test_every_row_of_the_database_is_created_in_the_log():
    world = make_world(datetime(2026, 11, 21, 14, tzinfo=UTC))
    found, _ = analysed(world)
    told = {e.position_id for e in found.events if e.kind == "created"}
    created = {e.position_id for e in world.rows.events if e.event_type == "position_created"}
    added = {e.position_id for e in world.rows.events if e.event_type == "missing_position_added"}
    assert told == created - added - {2549}
    assert sum(e.kind == "sync_added" for e in found.events) == len(added | {2549})
