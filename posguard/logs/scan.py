"""The hot part: what one block of a log holds, as flat values. Pure; nothing is decoded and no object is made per line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from zoneinfo import ZoneInfo

from posguard.logs import zones
from posguard.logs.finder import Finder, Match, Quick
from posguard.logs.headers import (
    BEGINNING,
    BEGINNINGS,
    HEADER_GROUPS,
    LEVELS,
    MARKS,
    OPENING,
    Groups,
    header_of,
    last_header,
    next_header,
)
from posguard.logs.patterns import Pattern
from posguard.logs.reader import BLOCK, LARGEST, Block

# How far into a record its message is looked at, in bytes.
MESSAGE = 32 << 10
BODY = 64 << 10
# How far before a hit its line may begin.
_LINE = 4096
_DIGEST = 16
_BEFORE_EMPTY = frozenset(b"- \r\n")

# In turn: offset, size, pattern, where in the groups its values begin, the groups (the header's, the message, ... values), digest.
Raw = tuple[int, int, int, int, Groups, bytes | None]
_MESSAGE_AT = HEADER_GROUPS
_BLANK, _LINE_END = b" \n"
# The size of a time, and what follows it in the first header format.
_TIME, _DASH = 23, b" - "
_NOTHING = (-1, -1)
_RUN = 512
_DAY = 10
_DAYS = 5000
# No pattern is better than this one: a record outside the wanted time is nobody's.
_OUTSIDE = 0
# What may stand before a message's first word: the header's end, an emoji or its remains, a line end.
_MAY_PRECEDE = bytes(byte >= 0x80 or byte in b"- ?\r\n" for byte in range(256))


@dataclass(slots=True)
class Batch:
    """What one block held. `torn` is the size of a last record whose message breaks off; `nul` counts NUL bytes."""

    events: list[Raw]
    span: zones.Span
    start: int
    lines: int = 0
    records: int = 0
    nul: int = 0
    torn: int = 0
    levels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Want:
    """What is looked for: the patterns, the zone, local times [since, until) as text, and what is counted on the way."""

    finder: Finder
    zone: ZoneInfo
    since: bytes = b""
    until: bytes = b"\xff"
    lines: bool = False
    levels: bool = False
    digests: bool = False
    block: int = BLOCK
    largest: int = LARGEST


class _Record:
    """The record that the present hit lies in: where it begins, its header, where its message and its first line end, where it ends."""

    __slots__ = ("best", "end", "header", "line_end", "message", "start", "tried")

    def __init__(self) -> None:
        self.start = self.end = self.message = self.line_end = -1
        self.header: re.Match[bytes] | None = None
        self.best = -1
        self.tried: set[int] = set()

    def settle(self, last: tuple[int, int], end: int) -> None:
        """Hears of the last line that the short way settled: where it begins, its pattern, and where it ends. Its header is read
        again where another hit in it asks.
        """
        if end > self.end:
            self.start, self.best = last
            self.end, self.header = end, None


class Scanner:
    """Finds the events of blocks. One per process and file."""

    def __init__(self, want: Want) -> None:
        self.want = want
        self._finder = want.finder
        self._patterns = want.finder.patterns
        # Days of one offset: a block within one needs no closer look at its times.
        self._quiet: set[bytes] = set()
        self._plain = not want.since and want.until == b"\xff" and not want.digests
        self._quick: list[Quick | None] = [None] * len(want.finder.lanes)

    def scan(self, block: Block) -> Batch:
        """What the block holds."""
        buffer, end = block.buffer, block.end
        batch = Batch([], self._span(block), block.base)
        self._hits(block, batch.events)
        if block.last and not buffer.endswith(b"\n", 0, end):
            self._tear(block, batch)
        want = self.want
        if want.lines:
            batch.lines = buffer.count(b"\n", 0, end)
        if want.levels:
            self._levels(block, batch)
        # What a crash leaves are long runs; looking for single bytes costs a tenth of the time, so it goes with counting lines.
        if b"\0" in (buffer if want.lines else buffer[:end:_RUN]):
            batch.nul = buffer.count(b"\0", 0, end)
        return batch

    def _hits(self, block: Block, events: list[Raw]) -> None:
        """Each hit's way: the short one where an expression proves the whole line, the careful one otherwise.

        The level of an error comes before its message, which may be better known: it waits for the next hit. What follows runs
        for every hit of a log, so it calls nothing that it need not; the record hears of a line that the short way settled when a
        hit goes the careful one.
        """
        buffer, end, base = block.buffer, block.end, block.base
        quick, rfind, before, near = self._quick, buffer.rfind, _MAY_PRECEDE, end - MESSAGE
        keep = events.append if self._plain else partial(self._wanted, block, events)
        waiting, settled, over, record = _NOTHING, _NOTHING, 0, _Record()
        for lane, at, _ in self._finder.find(buffer, end):
            dashed, leads, one_line, only, places, either = quick[lane] or self._asked(lane)
            if at >= over and dashed is not None:
                byte = buffer[at - 1]
                if leads and not before[buffer[at - 2] if byte == _BLANK else byte]:
                    continue
                line = rfind(b"\n", at - _LINE if at > _LINE else 0, at) + 1
                found = dashed(buffer, line, line + MESSAGE if line < near else end)
                if found is not None:
                    groups = found.groups()
                else:
                    found, groups = _otherwise(either, buffer, line, end)
                if found is None:
                    if self._is_quoted(buffer, line):
                        continue
                elif line or at <= _LINE:
                    stop = found.end()
                    if buffer[stop - 1] == _LINE_END and (one_line or b"\n" not in groups[_MESSAGE_AT]):
                        if 0 <= waiting[1] < line:
                            self._carefully(block, record, *waiting, events)
                        number, first = only or places[groups.index(b"")]
                        out = keep((base + line, stop - line, number, first, groups, None))
                        waiting, over, settled = _NOTHING, stop, (line, _OUTSIDE if out else number)
                        continue
            record.settle(settled, over)
            waiting = self._aside(block, record, waiting, (lane, at), events)
            over = max(over, record.end)
        if waiting[1] >= 0:
            record.settle(settled, over)
            self._carefully(block, record, *waiting, events)

    def _asked(self, lane: int) -> Quick:
        """The short way of a lane that has a hit for the first time."""
        known = self._quick[lane] = self._finder.quick(lane)
        return known

    @staticmethod
    def _is_quoted(buffer: bytearray, line: int) -> bool:
        """Whether text on a line that proves nothing is no message: not after a mark or an empty header either."""
        return buffer[line] not in MARKS and (line < 2 or buffer[line - 2] not in _BEFORE_EMPTY)

    def _wanted(self, block: Block, events: list[Raw], raw: Raw) -> bool:
        """Keeps a proved line where its time is wanted, with its digest where that is; whether it is outside."""
        offset, size, number, first, groups, _ = raw
        if self._outside(groups[0]):
            return True
        start = offset - block.base
        digest = digest_of(block.buffer, start, start + size) if self.want.digests else None
        events.append((offset, size, number, first, groups, digest))
        return False

    def _outside(self, time: bytes | None) -> bool:
        return not self.want.since <= (time or b"") < self.want.until

    def _aside(
        self, block: Block, record: _Record, waiting: tuple[int, int], hit: tuple[int, int], events: list[Raw]
    ) -> tuple[int, int]:
        """A hit that the short way does not settle. What waited goes first; a level waits in its place."""
        if waiting[1] >= 0:
            self._carefully(block, record, *waiting, events)
        if hit[1] >= record.end and self._finder.lanes[hit[0]].level >= 0:
            return hit
        self._carefully(block, record, *hit, events)
        return _NOTHING

    def _carefully(self, block: Block, record: _Record, lane: int, at: int, events: list[Raw]) -> None:
        """A hit of any kind: in a record already begun, below its header, of a level, of a pattern over several lines."""
        if (at >= record.end or record.header is None) and not self._enter(block, record, lane, at):
            return
        if lane in record.tried:
            return
        record.tried.add(lane)
        meant = self._finder.lanes[lane]
        choice = meant.candidates
        if at < record.message:
            assert record.header is not None
            of_level = meant.level >= 0 and (record.header[3] or record.header[4]) == meant.literal
            choice = (meant.level,) if of_level else ()
        for number in choice:
            if 0 <= record.best <= number:
                return
            found = self._match(block.buffer, record, self._patterns[number], at)
            if found is not None:
                self._keep(block, record, number, found, events)
                return

    def _enter(self, block: Block, record: _Record, lane: int, at: int) -> bool:
        """Finds the record that a hit lies in; False where it is quoted text."""
        buffer, end = block.buffer, block.end
        line, best = record.start, record.best
        if at >= record.end:
            line, best = line_of(buffer, at), -1
            if line < 0 or OPENING.match(buffer, line, end) is None:
                within = line >= 2 and buffer[line - 2] in _BEFORE_EMPTY
                if not within and not self._finder.lanes[lane].body:
                    return False
                if line >= 0 and BEGINNING.match(buffer, line, end):
                    return False
                line = max(last_header(buffer, at if line < 0 else line), 0)
        header = OPENING.match(buffer, line, end)
        if header is None:
            return False
        record.start, record.header, record.message, record.best = header.start(1), header, header.end(), best
        following = next_header(buffer, header.end(header.lastindex or 1), end)
        record.end = end if following < 0 else following
        stop = min(record.end, record.message + MESSAGE)
        line_end = buffer.find(b"\n", record.message, stop)
        record.line_end = stop if line_end < 0 else line_end
        record.tried.clear()
        return True

    @staticmethod
    def _match(buffer: bytearray, record: _Record, pattern: Pattern, at: int) -> re.Match[bytes] | None:
        limit = min(record.end, record.message + BODY) if pattern.spans else record.line_end
        found = pattern.regex.match(buffer, record.message, limit)
        if found is not None or pattern.body is None:
            return found
        line = line_of(buffer, at)
        said = pattern.body.match(buffer, line, at) if line > record.start else None
        if said is None or said.end() != at:
            return None
        return pattern.regex.match(buffer, at, min(record.end, at + BODY))

    def _keep(
        self, block: Block, record: _Record, number: int, found: re.Match[bytes], events: list[Raw]
    ) -> None:
        buffer, want = block.buffer, self.want
        assert record.header is not None
        head = header_of(record.header.groups())
        if self._outside(head[0]):
            return
        message = bytes(buffer[record.message : record.line_end])
        digest = digest_of(buffer, record.start, record.end) if want.digests else None
        groups = (*head, message, *found.groups())
        raw = (block.base + record.start, record.end - record.start, number, _MESSAGE_AT + 1, groups, digest)
        if record.best >= 0:
            events[-1] = raw
        else:
            events.append(raw)
        record.best = number

    def _tear(self, block: Block, batch: Batch) -> None:
        """The last record breaks off. An event of it counts where its own line is whole, since a torn number is another number."""
        last = max(last_header(block.buffer, block.end), 0)
        if block.buffer.find(b"\n", last, block.end) >= 0 and BEGINNING.match(block.buffer, last):
            whole = block.buffer.rfind(b"\n", 0, block.end) + 1
            batch.torn = block.end - whole
            return
        batch.torn = block.end - last
        while batch.events and batch.events[-1][0] >= block.base + last:
            batch.events.pop()

    def _levels(self, block: Block, batch: Batch) -> None:
        found = Counter(a or b for a, b in LEVELS.findall(block.buffer, 0, block.end))
        batch.levels = {level.decode(): count for level, count in found.items()}
        batch.records = sum(found.values())

    def _span(self, block: Block) -> zones.Span:
        buffer, end = block.buffer, block.end
        first = BEGINNING.match(buffer, 0, end)
        if first is None:
            return zones.Span(b"", b"")
        last = BEGINNING.match(buffer, max(last_header(buffer, end), 0), end)
        span = zones.Span(first[1], (last or first)[1])
        day = span.first[:_DAY]
        if day == span.last[:_DAY] and day in self._quiet:
            return span
        if found := zones.windows(self.want.zone, span.first, span.last):
            span.edges = _edges(block, found)
        elif (
            day == span.last[:_DAY] and len(self._quiet) < _DAYS and not zones.any_window(self.want.zone, day)
        ):
            self._quiet.add(day)
        return span


def _otherwise(
    either: Match | None, buffer: bytearray, line: int, end: int
) -> tuple[re.Match[bytes] | None, Groups]:
    """What a line proves that is not in the first header format."""
    if either is None or buffer.startswith(_DASH, line + _TIME):
        return None, ()
    found = either(buffer, line, min(line + MESSAGE, end))
    return (found, header_of(found.groups())) if found is not None else (None, ())


def _edges(block: Block, found: list[tuple[bytes, bytes]]) -> list[zones.Edge]:
    edges: list[zones.Edge] = []
    before = b""
    for header in BEGINNINGS.finditer(block.buffer, 0, block.end):
        text = header[1]
        now = zones.plain(text)
        inside = any(start <= now < stop for start, stop in found)
        was = bool(before) and any(start <= zones.plain(before) < stop for start, stop in found)
        if inside != was or (inside and was and now < zones.plain(before)):
            edges.append(zones.Edge(block.base + header.start(1), text, before))
        before = text
    return edges


def line_of(buffer: bytearray, at: int) -> int:
    """Where the line of a byte begins; -1 where that is too far away."""
    found = buffer.rfind(b"\n", max(at - _LINE, 0), at)
    return -1 if found < 0 and at > _LINE else found + 1


def digest_of(buffer: bytearray, start: int, end: int) -> bytes:
    """A record's content as 16 bytes: the same with either line end, and without line ends or NUL bytes around it."""
    text = bytes(buffer[start:end]).replace(b"\r\n", b"\n").strip(b"\r\n\x00 ")
    return blake2b(text, digest_size=_DIGEST).digest()
