"""What begins a record: the two header formats that the bot's modules log in, as bytes."""

from __future__ import annotations

import re

# `2025-10-22 22:50:45,914 - module - LEVEL - ` and `2025-10-22 22:50:45.914 | LEVEL    | module:function:line - `. What a crash
# leaves before a line (NUL bytes) belongs to no record. A message may begin on the next line.
_TIME = rb"\x00*(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3})(?:\d{3})?"
_DASHES = rb" - ([^ \r\n]{1,200}) - ([A-Z]{3,10}) -(?: |(?=\r?\n))"
_BARS = rb" \| ([A-Z]{3,10}) *\| ([^ \r\n]{1,300}) -(?: |(?=\r?\n))"
# An emoji, what became of one in another code page, blanks and line ends may stand between the header and the words.
_ORNAMENT = rb"[\xe2\xe3\xef\xf0\x80-\xbf? \r\n]{0,32}"
_HEADER = rb"(?:\xef\xbb\xbf)?" + _TIME + rb"(?:" + _DASHES + rb"|" + _BARS + rb")"

HEADER = re.compile(_HEADER)
OPENING = re.compile(_HEADER + _ORNAMENT)
HEADERS = re.compile(rb"(?m:^)" + _HEADER)
LEVELS = re.compile(
    rb"\n\x00*\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3}(?:\d{3})?(?: - [^ \r\n]{1,200} - ([A-Z]{3,10}) -(?: |(?=\r?\n))| \| ([A-Z]{3,10}) *\| [^ \r\n]{1,300} -(?: |(?=\r?\n)))"
)
LINE_OF_HEADER = re.compile(rb"\n(?=" + _TIME + rb"(?:" + _DASHES + rb"|" + _BARS + rb"))")

# The longest header that is looked for, in bytes: what is carried over where a block ends within one.
LONGEST = 600


def next_header(buffer: bytearray, start: int, end: int) -> int:
    """Where the next line with a header begins in [start, end), or -1. `start` itself is not tried."""
    found = LINE_OF_HEADER.search(buffer, start, end)
    return -1 if found is None else found.start() + 1


def last_header(buffer: bytearray, end: int) -> int:
    """Where the last line with a whole header begins before `end`, or -1; the buffer's own beginning does not count."""
    limit = end
    while (at := buffer.rfind(b"\n", 0, limit)) >= 0:
        if HEADER.match(buffer, at + 1, end) is not None:
            return at + 1
        limit = at
    return -1
