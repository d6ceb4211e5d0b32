"""A log in blocks of whole records, in a bounded and reused buffer, whatever the file's size and state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

from posguard.logs.headers import LONGEST, first_header, last_header, next_header

BLOCK = 1 << 20
# A record longer than this is kept by its beginning; the rest of it is skipped and counted.
LARGEST = 8 << 20


@dataclass(slots=True)
class Block:
    """Whole records: `buffer[:end]`, of which the first byte stands at byte `base` of the file.

    `last` is set where the file ends with this block, `cut` where its last record goes on and what follows of it is skipped.
    """

    buffer: bytearray
    end: int
    base: int
    last: bool = False
    cut: bool = False


_BEHIND = 16 << 10


class _Seeking(Enum):
    """Why the reader looks for a header: what it passes over counts differently."""

    NOTHING = auto()
    START = auto()
    MIDDLE = auto()
    GIANT = auto()


class Reader:
    """Reads a stream once. `headless` counts the bytes before the first record, `skipped` those of records too long to hold, `lines`
    the lines in both.

    `first` is the byte of the file that the stream stands at. Over 0 the stream begins in the middle: give it the byte before
    the first one that is wanted, since a header is known by the line end before it; what stands before the first header then
    belongs to whoever reads the part before. Behind `stop` no more is read than the last record needs; the caller ends it there.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        first: int = 0,
        stop: int | None = None,
        block: int = BLOCK,
        largest: int = LARGEST,
        spare: bytearray | None = None,
    ) -> None:
        self.headless = 0
        self.skipped = 0
        self.lines = 0
        self.read = 0
        self._stream = stream
        self._block = block
        self._stop = stop
        self._largest = max(largest, 2 * block)
        # What is asked of the system anew is filled with zeros page by page, which takes as long as reading it.
        self._buffer = bytearray(2 * block) if spare is None else spare
        self._filled = 0
        self._passed = 0
        self._base = first
        self._seeking = _Seeking.MIDDLE if first else _Seeking.START

    def blocks(self) -> Iterator[Block]:
        """The blocks in order. A block's buffer is used again for the next: take what is wanted before going on."""
        while self._fill():
            if self._seeking is not _Seeking.NOTHING and not self._sought(at_end=False):
                continue
            cut = last_header(self._buffer, self._filled)
            if cut > 0:
                yield Block(self._buffer, cut, self._base)
                self._drop(cut)
            elif self._filled == len(self._buffer) and not self._grown():
                yield Block(self._buffer, self._filled, self._base, cut=True)
                # A header may lie across the edge.
                self._drop(self._filled - LONGEST)
                self.skipped -= LONGEST
                self._seeking = _Seeking.GIANT
        if self._seeking is not _Seeking.NOTHING:
            self._sought(at_end=True)
        if self._filled:
            yield Block(self._buffer, self._filled, self._base, last=True)

    def _fill(self) -> bool:
        room = min(self._block, len(self._buffer) - self._filled)
        if self._seeking is _Seeking.MIDDLE:
            # The first header is seldom far, and all that was read behind it has to be moved.
            room = min(room, _BEHIND)
        if self._stop is not None:
            # The last record may go on behind the part's end, seldom far.
            ahead = max(self._stop - self._base - self._filled, 0)
            room = min(room, ahead or max(_BEHIND, self._filled))
        with memoryview(self._buffer) as view:
            got = self._stream.readinto(view[self._filled : self._filled + room]) or 0  # type: ignore[attr-defined]
        self._filled += got
        self.read += got
        return got > 0

    def _grown(self) -> bool:
        if len(self._buffer) >= self._largest:
            return False
        self._buffer = self._buffer + bytes(len(self._buffer))
        return True

    def _sought(self, *, at_end: bool) -> bool:
        """Drops what stands before the next header and counts it; whether there is one, so that the buffer begins with it."""
        if self._seeking is _Seeking.START and self._filled < LONGEST and not at_end:
            return False
        begins = first_header if self._seeking is _Seeking.START and not self._passed else _next_in
        header = begins(self._buffer, self._filled)
        if header >= 0:
            self._pass_over(header)
            self._seeking = _Seeking.NOTHING
        elif at_end:
            self._pass_over(self._filled)
        elif self._filled > LONGEST:
            self._pass_over(self._filled - LONGEST)
        return header >= 0

    def _pass_over(self, size: int) -> None:
        self._passed += size
        if self._seeking is _Seeking.START:
            self.headless += size
        elif self._seeking is _Seeking.GIANT:
            self.skipped += size
        if self._seeking is not _Seeking.MIDDLE:
            self.lines += self._buffer.count(b"\n", 0, size)
        self._drop(size)

    def _drop(self, size: int) -> None:
        left = self._filled - size
        self._buffer[:left] = self._buffer[size : self._filled]
        self._filled = left
        self._base += size


def _next_in(buffer: bytearray, end: int) -> int:
    return next_header(buffer, 0, end)
