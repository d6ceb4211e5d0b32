"""The hot part: what one block of a log holds, as flat values. Pure; nothing is decoded and no object is made per line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from zoneinfo import ZoneInfo

from posguard.logs import zones
from posguard.logs.headers import HEADER, HEADERS, LEVELS, OPENING, last_header, next_header
from posguard.logs.patterns import Finder, Pattern
from posguard.logs.reader import Block

# How far into a record its message is looked at, in bytes.
MESSAGE = 32 << 10
BODY = 64 << 10
# How far before a hit its line may begin.
_LINE = 4096
_DIGEST = 16
_BEFORE_EMPTY = frozenset(b"- \r\n")

# In turn: offset, size, pattern, what the header says, message, values, digest.
Raw = tuple[int, int, int, tuple[bytes | None, ...], bytes, tuple[bytes | None, ...], bytes | None]


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


class _Record:
    """The record that the present hit lies in: where it begins, its header, where its message begins, and where it ends."""

    __slots__ = ("base", "best", "buffer", "end", "header", "message", "start", "tried")

    def __init__(self, block: Block) -> None:
        self.buffer, self.base = block.buffer, block.base
        self.start = self.end = self.message = -1
        self.header: re.Match[bytes] | None = None
        self.best = -1
        self.tried: set[int] = set()


class Scanner:
    """Finds the events of blocks. One per process and file."""

    def __init__(self, want: Want) -> None:
        self.want = want
        self._finder = want.finder
        self._patterns = want.finder.patterns
        self._bodies = tuple(
            any(self._patterns[n].body for n in candidates) for candidates in want.finder.candidates
        )

    def scan(self, block: Block) -> Batch:
        """What the block holds."""
        buffer, end = block.buffer, block.end
        batch = Batch([], self._span(block), block.base)
        self._hits(block, batch)
        if block.last and not buffer.endswith(b"\n", 0, end):
            self._tear(block, batch)
        want = self.want
        if want.lines:
            batch.lines = buffer.count(b"\n", 0, end)
        if want.levels:
            self._levels(block, batch)
        if buffer.find(b"\0", 0, end) >= 0:
            batch.nul = buffer.count(b"\0", 0, end)
        return batch

    def _hits(self, block: Block, batch: Batch) -> None:
        buffer, end = block.buffer, block.end
        record = _Record(block)
        choice: tuple[int, ...]
        events = batch.events
        opening, levels, candidates = OPENING.match, self._finder.levels, self._finder.candidates
        for literal, at, _ in self._finder.find(buffer, end):
            if at >= record.end:
                line = buffer.rfind(b"\n", max(at - _LINE, 0), at) + 1
                header = opening(buffer, line, end)
                if header is None:
                    if not self._looks_within(buffer, line, literal):
                        continue
                    line = max(last_header(buffer, line), 0)
                    if (header := opening(buffer, line, end)) is None:
                        continue
                record.start, record.header, record.message = line, header, header.end()
                following = next_header(buffer, header.end(header.lastindex or 1), end)
                record.end = end if following < 0 else following
                record.best = -1
                record.tried.clear()
            elif literal in record.tried:
                continue
            record.tried.add(literal)
            if at < record.message:
                choice = (
                    (levels[literal],) if levels[literal] >= 0 and self._of_level(record, literal) else ()
                )
            else:
                choice = candidates[literal]
            self._take(record, choice, at, events)

    def _looks_within(self, buffer: bytearray, line: int, literal: int) -> bool:
        """Whether a hit on a line without header may count: after an empty message, or where an exception says it."""
        return self._bodies[literal] or (line >= 2 and buffer[line - 2] in _BEFORE_EMPTY)

    def _of_level(self, record: _Record, literal: int) -> bool:
        header = record.header
        return header is not None and (header[3] or header[4]) == self._finder.literals[literal]

    def _take(self, record: _Record, choice: tuple[int, ...], at: int, events: list[Raw]) -> None:
        buffer = record.buffer
        for number in choice:
            if 0 <= record.best <= number:
                return
            pattern = self._patterns[number]
            limit = min(record.end, record.message + (BODY if pattern.spans else MESSAGE))
            found = pattern.regex.match(buffer, record.message, limit)
            if found is None and pattern.body is not None:
                found = self._in_body(record, pattern, at)
            if found is not None:
                self._keep(record, number, found, events)
                return

    def _in_body(self, record: _Record, pattern: Pattern, at: int) -> re.Match[bytes] | None:
        buffer = record.buffer
        line = buffer.rfind(b"\n", max(at - _LINE, record.start), at) + 1
        if line <= record.start or pattern.body is None:
            return None
        said = pattern.body.match(buffer, line, at)
        return (
            pattern.regex.match(buffer, at, min(record.end, at + BODY)) if said and said.end() == at else None
        )

    def _keep(self, record: _Record, number: int, found: re.Match[bytes], events: list[Raw]) -> None:
        buffer = record.buffer
        assert record.header is not None
        head = record.header.groups()
        time = head[0]
        if not self.want.since <= time < self.want.until:
            return
        line_end = buffer.find(b"\n", record.message, min(record.end, record.message + MESSAGE))
        message = bytes(
            buffer[record.message : line_end if line_end >= 0 else min(record.end, record.message + MESSAGE)]
        )
        digest = digest_of(buffer, record.start, record.end) if self.want.digests else None
        size = record.end - record.start
        raw = (record.base + record.start, size, number, head, message, found.groups(), digest)
        if record.best >= 0:
            events[-1] = raw
        else:
            events.append(raw)
        record.best = number

    def _tear(self, block: Block, batch: Batch) -> None:
        """The last record breaks off. An event of it counts where its own line is whole, since a torn number is another number."""
        last = max(last_header(block.buffer, block.end), 0)
        if block.buffer.find(b"\n", last, block.end) >= 0 and HEADER.match(block.buffer, last):
            whole = block.buffer.rfind(b"\n", 0, block.end) + 1
            batch.torn = block.end - whole
            return
        batch.torn = block.end - last
        while batch.events and batch.events[-1][0] >= block.base + last:
            batch.events.pop()

    def _levels(self, block: Block, batch: Batch) -> None:
        found = Counter(a or b for a, b in LEVELS.findall(block.buffer, 0, block.end))
        if first := HEADER.match(block.buffer, 0, block.end):
            found[first[3] or first[4]] += 1
        batch.levels = {level.decode(): count for level, count in found.items()}
        batch.records = sum(found.values())

    def _span(self, block: Block) -> zones.Span:
        buffer, end = block.buffer, block.end
        first = HEADER.match(buffer, 0, end)
        if first is None:
            return zones.Span(b"", b"")
        last = HEADER.match(buffer, max(last_header(buffer, end), 0), end)
        span = zones.Span(first[1], (last or first)[1])
        if found := zones.windows(self.want.zone, span.first, span.last):
            span.edges = _edges(block, found)
        return span


def _edges(block: Block, found: list[tuple[bytes, bytes]]) -> list[zones.Edge]:
    edges: list[zones.Edge] = []
    before = b""
    for header in HEADERS.finditer(block.buffer, 0, block.end):
        text = header[1]
        now = zones.plain(text)
        inside = any(start <= now < stop for start, stop in found)
        was = bool(before) and any(start <= zones.plain(before) < stop for start, stop in found)
        if inside != was or (inside and was and now < zones.plain(before)):
            edges.append(zones.Edge(block.base + header.start(1), text, before))
        before = text
    return edges


def digest_of(buffer: bytearray, start: int, end: int) -> bytes:
    """A record's content as 16 bytes: the same with either line end, and without line ends or NUL bytes around it."""
    text = bytes(buffer[start:end]).replace(b"\r\n", b"\n").strip(b"\r\n\x00 ")
    return blake2b(text, digest_size=_DIGEST).digest()
