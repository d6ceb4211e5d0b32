"""A file of a declared source as loading reads it: what tells it again, its events, and what the whole of it was."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from posguard.logs.extract import extract
from posguard.logs.headers import first_header
from posguard.logs.load import LogFile
from posguard.logs.sources import Opener, open_log, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from posguard.logs.extract import Damage
    from posguard.logs.patterns import Pattern
    from posguard.model.log_event import LogEvent
    from posguard.settings import LogSource

# So much of a file is looked through for its first record's line.
HEAD = 1 << 16


def look_at(source: LogSource, path: str, opener: Opener | None = None, size: int | None = None) -> LogFile:
    """The file at a path, told again by its first record's line whatever it is called and however it is packed.

    `size` is for a path that `opener` opens. Raises LogError where it cannot be opened.
    """
    try:
        head, filled = _head(path, opener)
        if opener is None and size is None:
            size = Path(path).stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
    start = max(first_header(head, filled), 0)
    end = head.find(b"\n", start, filled)
    line = bytes(head[start : end if end >= 0 else filled]).strip(b"\r\n\x00 ")
    return LogFile(source.name, path, blake2b(line, digest_size=16).digest(), size)


def _head(path: str, opener: Opener | None) -> tuple[bytearray, int]:
    """The first bytes of a log, and how many there are."""
    with open_log(path, opener) as stream:
        head = bytearray(HEAD)
        filled = 0
        with memoryview(head) as view:
            while filled < HEAD and (got := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
                filled += got
    return head, filled


class FileReading:
    """The whole of one file, read anew by each iteration; `damage` tells what of it could not be read as it should."""

    def __init__(
        self,
        source: LogSource,
        path: str,
        *,
        opener: Opener | None = None,
        patterns: Sequence[Pattern] | None = None,
    ) -> None:
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.bytes_read = 0
        self.bytes_skipped = 0
        self.damage: tuple[Damage, ...] = ()
        self._extraction = extract([path], source, opener=opener, patterns=patterns)

    def __iter__(self) -> Iterator[LogEvent]:
        """The events in order; the other fields are set when the last one was given."""
        yield from self._extraction
        counts = self._extraction.counts
        self.first_at, self.last_at = counts.first, counts.last
        self.bytes_read, self.bytes_skipped = counts.bytes, counts.skipped_bytes
        self.damage = tuple(counts.damage)
