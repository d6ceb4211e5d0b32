"""What a file of patterns would do, before it is used: its own examples, and what it hits in a log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posguard.logs.finder import Finder
from posguard.logs.patterns import Pattern
from posguard.logs.reader import Block
from posguard.logs.scan import Scanner, Want
from posguard.logs.zones import zone_of

if TYPE_CHECKING:
    from posguard.model.log_event import LogEvent

# So many hits of a pattern are shown.
SHOWN = 3
_HEADER = "2025-01-01 00:00:00,000 - module - {} - "


@dataclass(slots=True)
class Tried:
    """One pattern of the file: what is wrong with its example ("" where nothing is, or it has none), and its hits in the logs."""

    pattern: Pattern
    wrong: str = ""
    hits: int = 0
    shown: list[LogEvent] = field(default_factory=list)


def try_examples(own: Sequence[Pattern], all_patterns: Sequence[Pattern]) -> list[Tried]:
    """Each pattern of a file with what becomes of its example among all patterns."""
    finder = Finder(all_patterns)
    return [Tried(pattern, _wrong(pattern, finder)) for pattern in own]


def count_hits(tried: Sequence[Tried], events: Iterable[LogEvent]) -> None:
    """Counts what the patterns hit and keeps the first few of each."""
    known = {one.pattern.name: one for one in tried}
    for event in events:
        if one := known.get(event.pattern):
            one.hits += 1
            if len(one.shown) < SHOWN:
                one.shown.append(event)


def _wrong(pattern: Pattern, finder: Finder) -> str:
    if not pattern.example:
        return ""
    level = pattern.level.decode() or "INFO"
    text = _HEADER.format(level) + pattern.example + "\n" + _HEADER.format("INFO") + "the next record\n"
    data = bytearray(text.encode())
    found = Scanner(Want(finder, zone_of("UTC"))).scan(Block(data, len(data), 0)).events
    if not found:
        return "its example is not hit: the literal has to stand in it, and the expression to match from its first word on"
    _, _, number, first, groups, _ = found[0]
    hit = finder.patterns[number]
    if hit.name != pattern.name:
        return f"its example is hit by the pattern {hit.name}, which stands before it"
    said = {
        name: value.decode("utf-8", "replace")
        for name, index in hit.regex.groupindex.items()
        if (value := groups[first + index - 1]) is not None
    }
    if pattern.says and said != pattern.says:
        return f"its example says {said}, not {pattern.says}"
    return ""
