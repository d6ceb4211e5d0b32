"""What makes a record the same record, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from posguard.logs.identity import (
    TOGETHER,
    Edge,
    EdgeSight,
    content_hash,
    edge_of,
    identified,
    records_at_edge,
)
from posguard.model.log_event import Category, LogEvent

AT = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
A, B = b"a" * 16, b"b" * 16


def event(seconds=0.0, message="Position saved", offset=0, level="INFO", module="core"):
    return LogEvent(
        at=AT + timedelta(seconds=seconds),
        kind="saved",
        category=Category.POSITIONS,
        level=level,
        module=module,
        message=message,
        source="bot",
        offset=offset,
        size=1,
        pattern="saved",
    )


def ordinals(*events):
    placed = [(n, one) for n, one in enumerate(events)]
    made = [event(one.at.timestamp() - AT.timestamp(), one.message, n) for n, one in placed]
    return [identity.ordinal for identity, _ in identified(made)]


def test_the_content_is_level_module_and_the_first_line_without_its_end():
    same = content_hash(event())
    assert content_hash(event(message="Position saved\r\nDETAIL: x")) == same
    assert content_hash(event(message="\n  \nPosition saved \nmore")) == same
    assert content_hash(event(seconds=9, offset=7)) == same
    others = [event(level="ERROR"), event(module="sync"), event(message="Position saved!"), event(message="")]
    assert len({same, *map(content_hash, others)}) == 5


def test_equal_records_of_one_time_are_numbered_and_others_are_not():
    assert ordinals(event(), event(), event(0.001), event(), event(message="other")) == [0, 1, 0, 2, 0]


def test_a_stretch_that_stands_twice_in_a_file_is_the_same_stretch():
    far = TOGETHER.total_seconds() + 1
    assert ordinals(event(), event(), event(far), event(), event()) == [0, 1, 0, 0, 1]
    near = TOGETHER.total_seconds() - 1
    assert ordinals(event(), event(near), event()) == [0, 0, 1]


def test_what_two_patterns_know_of_one_record_is_one_record():
    assert len(list(identified([event(offset=5), event(offset=5), event(offset=9)]))) == 2


@pytest.mark.parametrize(
    ("sights", "count"),
    [
        ([(A, Edge.LAST, 1), (B, Edge.FIRST, 2)], 3),
        ([(A, Edge.LAST, 1), (B, Edge.LAST, 2)], 2),
        ([(A, Edge.FIRST, 2), (B, Edge.FIRST, 1)], 2),
        ([(A, Edge.LAST, 1), (B, Edge.BOTH, 1), (A, Edge.FIRST, 1)], 3),
        ([(B, Edge.BOTH, 2), (B, Edge.BOTH, 1)], 2),
        ([], 0),
    ],
)
def test_parts_of_one_time_are_added_and_sights_of_one_part_are_not(sights, count):
    assert records_at_edge(EdgeSight(*one) for one in sights) == count


def test_a_time_is_at_an_edge_of_its_file_or_inside():
    later = AT + timedelta(seconds=1)
    assert edge_of(AT, AT, later) is Edge.FIRST
    assert edge_of(later, AT, later) is Edge.LAST
    assert edge_of(AT, AT, AT) is Edge.BOTH
    assert edge_of(AT + timedelta(milliseconds=1), AT, later) is None
