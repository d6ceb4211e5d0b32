"""What several files or sources hold of one log counts once."""

from datetime import timedelta

import pytest

from posguard.logs.analysis import Gathered
from posguard.logs.investigate import make_case
from posguard.logs.repeats import told_once
from posguard.model.incident import DatabaseFacts
from posguard.model.scope import Scope
from tests.unit.logs.telling import Log, incident_1, incident_2


def copied(events, *, source="bot", path="copy.log", shift=timedelta()):
    return [one._replace(source=source, path=path, at=one.at + shift) for one in events]


def analysis(*parts):
    gathered = Gathered()
    for part in parts:
        gathered.take(part)
    return gathered.conclude(zones={}, total_lines=None, parsed_entries=None)


@pytest.mark.parametrize("source", ["bot", "also-bot", "the-bot"])
def test_an_error_that_two_files_tell_of_is_one_error(source):
    events = incident_1(incident_2()).events
    alone, both = analysis(events), analysis(events, copied(events, source=source))
    numbers = both.statistics
    assert numbers.duplicate_errors == 1
    assert numbers.errors_by_hour == alone.statistics.errors_by_hour
    assert numbers.position_creates == alone.statistics.position_creates == 4
    assert numbers.position_updates == alone.statistics.position_updates == 2
    assert [(r.at, r.symbol, r.window, r.scenario) for r in both.races] == [
        (r.at, r.symbol, r.window, r.scenario) for r in alone.races
    ]
    assert len(both.events) == len(alone.events)


def test_the_same_error_a_second_time_is_another_error():
    events = incident_1().events
    later = copied(events, shift=timedelta(seconds=70))
    assert analysis(events, later).statistics.duplicate_errors == 2


def test_files_that_overlap_in_part_give_each_record_once():
    events = incident_1().events
    for cut in range(1, len(events)):
        found = analysis(events[: cut + 2], copied(events[cut:]))
        assert found.statistics.duplicate_errors == 1
        assert found.statistics.position_creates == 2
        assert len(found.events) == len(events)


def test_a_file_that_tells_a_stretch_twice_tells_it_once():
    events = incident_1(incident_2()).events
    again = [one._replace(offset=one.offset + 100_000) for one in events]
    # as where a log was put together from two that overlap
    alone, both = analysis(events), analysis([*events, *again])
    assert both.events == alone.events
    assert both.statistics.duplicate_errors == 1
    assert [(r.at, r.window, r.confidence) for r in both.races] == [
        (r.at, r.window, r.confidence) for r in alone.races
    ]


def test_equal_records_of_one_moment_are_counted_in_each_file():
    log = Log()
    for _ in range(3):
        log.say(5, "created", "Created position", module="one", position_id=1)
    log.say(5, "created", "Created position", module="two", position_id=1)
    fewer = copied(log.events[1:])
    assert list(told_once([*log.events, *fewer])) == log.events
    assert [one.path for one in told_once([*fewer, *log.events])] == ["copy.log"] * 3 + [""]
    # the source that is first by name, whichever was read first
    named = copied(log.events, source="a")
    assert list(told_once([*log.events, *named])) == list(told_once([*named, *log.events])) == named


def test_a_line_that_two_files_hold_was_written_once_for_an_investigation():
    log = incident_2()
    log.say(-900, "wave", "Wave detected! Processing 3 signals")
    log.say(-950, "process_started", "Process started, pid=41")
    facts = DatabaseFacts(log.start, (), None, None, (), ())
    case = make_case(
        [*log.events, *copied(log.events, source="b")],
        facts,
        Scope("", "KASUSDT"),
        log.start,
        timedelta(minutes=2),
    )
    assert (len(case.waves), len(case.processes), len(case.creates)) == (1, 1, 2)
