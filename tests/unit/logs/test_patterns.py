"""The shipped patterns, each with its own example, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from posguard.logs.finder import SET, Finder
from posguard.logs.patterns import load_patterns
from posguard.logs.reader import Block
from posguard.logs.scan import Scanner, Want
from posguard.logs.zones import zone_of
from posguard.model.log_event import LogKind

PATTERNS = load_patterns()
FINDER = Finder(PATTERNS)


def scan(text: str, finder: Finder = FINDER):
    data = bytearray(text.encode())
    return Scanner(Want(finder, zone_of("UTC"))).scan(Block(data, len(data), 0)).events


@pytest.mark.parametrize(
    "header",
    ["2025-10-22 22:50:45,914 - core.x - {} - ", "2025-10-22 22:50:45.914 | {:<8} | core.x:run:3 - "],
)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_each_example_is_known_by_its_own_pattern(pattern, header):
    level = pattern.level.decode() or "INFO"
    (event,) = scan(header.format(level) + pattern.example + "\n" + header.format("INFO") + "a line after\n")
    found = PATTERNS[event[2]]
    values = {name: event[4][event[3] + index - 1] for name, index in found.regex.groupindex.items()}
    assert found.name == pattern.name
    assert {name: value.decode() for name, value in values.items() if value is not None} == pattern.says


def test_every_kind_is_one_that_the_analysis_knows():
    assert {pattern.kind for pattern in PATTERNS} == set(LogKind)


def test_the_shipped_literals_fit_one_vectorised_set():
    assert len(FINDER.lanes) <= SET
