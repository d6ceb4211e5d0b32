"""The lines around a place in a log, by byte; and where the last so many lines of a log begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from posguard.logs.sources import Opener, is_plain, open_log

# The lines around an event are looked for this far from it.
_REACH = 256 << 10
_RECORD = 1 << 20
_PIECE = 1 << 20
_BYTE_ORDER = b"\xef\xbb\xbf"


def lines_around(
    path: str, offset: int, size: int, *, before: int, after: int, opener: Opener | None = None
) -> list[str]:
    """`before` lines, the lines in [offset, offset + size), and `after` lines, decoded; fewer where the file is shorter.

    Of a record over 1 MB the beginning is given. A packed file is unpacked from its start. Raises LogError.
    """
    start = max(offset - _REACH, 0)
    size = min(size, _RECORD)
    text = _slice(path, start, offset - start + size + _REACH, opener)
    at, end = offset - start, offset - start + size
    earlier = text[:at].removeprefix(_BYTE_ORDER).splitlines()
    if start and earlier:
        earlier = earlier[1:]
    later = text[end:].splitlines()
    if len(text) > end and not text.endswith(b"\n"):
        later = later[:-1] or later
    own = text[at:end].splitlines()
    chosen = [*(earlier[-before:] if before else []), *own, *later[:after]]
    return [line.decode("utf-8", "replace").replace("\x00", "") for line in chosen]


def _slice(path: str, start: int, length: int, opener: Opener | None) -> bytes:
    with open_log(path, opener) as stream:
        if stream.seekable():
            stream.seek(start)
            return _read(stream, length)
        left = start
        while left:
            piece = _read(stream, min(left, _PIECE))
            if not piece:
                return b""
            left -= len(piece)
        return _read(stream, length)


def _read(stream: BinaryIO, length: int) -> bytes:
    got = bytearray()
    while len(got) < length and (piece := stream.read(length - len(got))):
        got += piece
    return bytes(got)


def offset_of_last_lines(files: Sequence[str], wanted: int, opener: Opener | None = None) -> dict[str, int]:
    """From which byte each file belongs to the last `wanted` lines of the whole set; files before them are left out."""
    starts: dict[str, int] = {}
    left = wanted
    for path in reversed(files):
        if left <= 0:
            break
        start, counted = _tail(path, left, opener)
        starts[path] = start
        left -= counted
    return starts


def _tail(path: str, wanted: int, opener: Opener | None) -> tuple[int, int]:
    """Where the last `wanted` lines of a file begin, and how many there are."""
    if opener is None and is_plain(path):
        return _tail_backwards(path, wanted)
    ends: deque[int] = deque(maxlen=wanted + 1)
    at = total = 0
    last = b""
    with open_log(path, opener) as stream:
        for piece in iter(lambda: stream.read(_PIECE), b""):
            ends.extend(at + n + 1 for n in _line_ends(piece))
            total += piece.count(b"\n")
            at, last = at + len(piece), piece[-1:]
    if last and last != b"\n":
        ends.append(at)
        total += 1
    return (ends[0], wanted) if total > wanted else (0, total)


def _line_ends(piece: bytes) -> Iterator[int]:
    at = piece.find(b"\n")
    while at >= 0:
        yield at
        at = piece.find(b"\n", at + 1)


def _tail_backwards(path: str, wanted: int) -> tuple[int, int]:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a log's path is a text everywhere
        at = file.seek(0, 2)
        seen = 0
        first = True
        while at:
            size = min(_PIECE, at)
            at -= size
            file.seek(at)
            piece = _read(file, size)
            if first and not piece.endswith(b"\n"):
                seen += 1
            here = len(piece) - 1 if first and piece.endswith(b"\n") else len(piece)
            if first and piece.endswith(b"\n"):
                seen += 1
            first = False
            while (here := piece.rfind(b"\n", 0, here)) >= 0:
                if seen == wanted:
                    return at + here + 1, wanted
                seen += 1
        return 0, seen
