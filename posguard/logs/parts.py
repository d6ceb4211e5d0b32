"""A log cut in parts that can be read apart: byte ranges of plain files, whole packed ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from posguard.errors import LogError
from posguard.logs.headers import next_header
from posguard.logs.reader import Block, Reader
from posguard.logs.scan import Batch, Scanner, Want
from posguard.logs.sources import Opener, is_plain, open_log, why

# The size of a part where several processes share the work.
PART = 8 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """The records of a file that begin in [start, stop); `stop` None reads to the end."""

    path: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class PartEnd:
    """What reading a part told besides its records."""

    read: int
    headless: int
    skipped: int
    lines: int
    damage: str


def parts_of(
    files: Sequence[str], processes: int, starts: Mapping[str, int] | None = None, *, local: bool = True
) -> list[Part]:
    """The parts of files, in order. `starts` has the byte from which each file is wanted; a file that is not in it is left out."""
    parts: list[Part] = []
    for path in files:
        if starts is not None and path not in starts:
            continue
        first = starts[path] if starts is not None else 0
        if processes > 1 and local and "://" not in path and is_plain(path):
            size = os.stat(path).st_size  # noqa: PTH116 - a log's path is a text everywhere
            cuts = [first, *range(first + PART, size, PART)]
            ends: list[int | None] = [*cuts[1:], None]
            parts.extend(Part(path, start, stop) for start, stop in zip(cuts, ends, strict=True))
        else:
            parts.append(Part(path, first))
    return parts


def read_part(
    part: Part, want: Want, opener: Opener | None = None, *, spare: bytearray | None = None
) -> Iterator[Batch | PartEnd]:
    """The batches of a part, and at last its end. `spare` is a buffer of two blocks that nobody uses now.

    Raises LogError where the file cannot be opened, or not read to its end.
    """
    scanner = Scanner(want)
    with open_log(part.path, opener) as stream:
        first = _forward(stream, part.start)
        reader = Reader(
            stream, first=first, stop=part.stop, block=want.block, largest=want.largest, spare=spare
        )
        try:
            for block in reader.blocks():
                over = _limit(block, part.stop)
                if block.end:
                    yield scanner.scan(block)
                if over:
                    break
        except OSError as error:
            raise LogError(
                f"{part.path} cannot be read to its end: {why(error)}. What it says is not known.",
                hint="Check the disk or the mount, then run it again.",
            ) from None
        yield PartEnd(
            _share(part, reader.read - (part.start - first)),
            reader.headless,
            reader.skipped,
            reader.lines,
            str(getattr(stream, "damage", "")),
        )


def _share(part: Part, read: int) -> int:
    return read if part.stop is None else min(read, part.stop - part.start)


def _forward(stream: BinaryIO, start: int) -> int:
    """Moves to the byte before `start`, so that the line end there is seen; where the stream then stands."""
    if start == 0:
        return 0
    wanted = start - 1
    if stream.seekable():
        stream.seek(wanted)
        return wanted
    spare = bytearray(1 << 16)
    left = wanted
    while left and (got := stream.readinto(memoryview(spare)[: min(left, len(spare))])):  # type: ignore[attr-defined]
        left -= got
    return wanted - left


def _limit(block: Block, stop: int | None) -> bool:
    """Cuts off what begins at or after `stop`; whether the part is over with this block."""
    if stop is None or block.base + block.end < stop:
        return False
    if block.base >= stop:
        block.end = 0
        return True
    following = next_header(block.buffer, stop - block.base - 1, block.end)
    if following >= 0:
        block.end, block.last, block.cut = following, False, False
        return True
    # A record too long to hold is followed to its end, so that what is skipped of it is counted.
    return not block.cut
