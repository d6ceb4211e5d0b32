"""What begins a record: the two header formats that the bot's modules log in, as bytes."""

from __future__ import annotations

import re

# `2025-10-22 22:50:45,914 - module - LEVEL - ` and `2025-10-22 22:50:45.914 | LEVEL    | module:function:line - `. What a crash
# leaves before a line (NUL bytes) belongs to no record. A message may begin on the next line.
_MARK = rb"(?:\xef\xbb\xbf)?\x00*"
# The calendar is checked where a time is made of it.
_TIME = rb"20\d\d-.{14}[.,]\d{3}"
_DASHES = rb" - (\S++) - ([A-Z]{3,10}+) - "
_BARS = rb" \| ([A-Z]{3,10}+) *+\| (\S++) - "
# A line that begins so begins a record, whether the rest of its header is one of the two or another module's own.
_BEGINS = _MARK + rb"(" + _TIME + rb")(?:\d{3})? [-|] "
_THEN_BEGINS = rb"(?=" + _TIME + rb"(?: [-|] |\d{3} [-|] ))"
_HEADER = rb"(" + _TIME + rb")(?:\d{3})?+(?:" + _DASHES + rb"|" + _BARS + rb")"
# An emoji, what became of one in another code page or broken, blanks and line ends may stand between the header and the words.
_ORNAMENT = rb"[\xe2\xe3\xef\xf0\xfe\xff\x80-\xbf? \r\n]{0,32}+"

# What an event keeps of a header: time, module (or place) and level.
HEADER_GROUPS = 3
# The first format by itself, whose groups are these three already: most lines are proved by it in one go.
DASHED = rb"(" + _TIME + rb")" + _DASHES + _ORNAMENT
# Either format; level and place of the second are two further groups, see `header_of`.
EITHER = _HEADER + _ORNAMENT
FOLLOWED = rb"(?:\n" + _THEN_BEGINS + rb")?"
# What may stand before a header at the beginning of its line: NUL bytes, and in a file's first line a byte order mark.
MARKS = frozenset(b"\x00\xef")

OPENING = re.compile(_MARK + EITHER)
BEGINNING = re.compile(_BEGINS)
BEGINNINGS = re.compile(rb"(?m:^)" + _BEGINS)
LEVELS = re.compile(
    rb"(?m:^)"
    + _MARK
    + _TIME
    + rb"(?:\d{3})?+(?: - \S++ - ([A-Z]{3,10}+) - | \| ([A-Z]{3,10}+) *+\| \S++ - )"
)
_NEXT = re.compile(rb"[\n\x00]" + _THEN_BEGINS)
_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?" + _THEN_BEGINS)

_EITHER_GROUPS = 5
Groups = tuple[bytes | None, ...]

# The longest header that is looked for, in bytes: what is carried over where a block ends within one.
LONGEST = 600


def header_of(groups: Groups) -> Groups:
    """What a match of `EITHER` caught, with its header as the three groups that an event keeps."""
    time, module, level, other_level, place = groups[:_EITHER_GROUPS]
    return (time, module or place, level or other_level, *groups[_EITHER_GROUPS:])


def first_header(buffer: bytearray, end: int) -> int:
    """Where a file's first record begins in `buffer[:end]`, which is the file's beginning, or -1."""
    return 0 if _FIRST.match(buffer, 0, end) else next_header(buffer, 0, end)


def next_header(buffer: bytearray, start: int, end: int) -> int:
    """Where the next record begins in [start, end), after a line end or NUL bytes, or -1. `start` itself is not tried."""
    found = _NEXT.search(buffer, start, end)
    return -1 if found is None else found.start() + 1


def last_header(buffer: bytearray, end: int) -> int:
    """Where the last record with a line of its own begins before `end`, or -1; the buffer's own beginning does not count."""
    limit = end
    while (at := buffer.rfind(b"\n", 0, limit)) >= 0:
        found = BEGINNING.match(buffer, at + 1, end)
        if found is not None:
            return found.start(1)
        limit = at
    return -1
