"""Which files a log is, in the order they were written, and each of them as a stream of plain UTF-8 bytes.

What identifies a record is its declared source: the file it lies in today may be renamed, packed or cut tomorrow.
"""

from __future__ import annotations

import codecs
import glob
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, cast

from posguard.errors import LogError
from posguard.logs.packed import GZIP, ZSTD, gzip_stream, zstd_stream

Opener = Callable[[str], BinaryIO]

_PACKED = re.compile(r"\.(?:gz|zst|zstd)$")
_NUMBER = re.compile(r"\.(\d{1,5})(?=$|\.[A-Za-z]+$)")
_DATE = re.compile(r"[._-]?(\d{4}-?\d\d-?\d\d(?:[T_-]?\d\d(?:[-:]?\d\d){0,2})?)")
_HEAD = 4
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def files_of(paths: Iterable[str]) -> tuple[str, ...]:
    """The local files that files, folders and globs name, each once, rotated sets in the order they were written.

    `bot.log.2.gz` goes before `bot.log.1`, and that before `bot.log`; dated ones go by date. A packed file whose plain one still
    stands beside it is left out. An address with a scheme (`s3://…`) is passed on. Raises LogError where nothing is there.
    """
    found: dict[str, None] = {}
    for path in paths:
        for name in _named(path):
            found.setdefault(name)
    return tuple(
        sorted((n for n in found if _PACKED.sub("", n) == n or _PACKED.sub("", n) not in found), key=age_key)
    )


def _named(path: str) -> list[str]:
    if "://" in path:
        return [path]
    try:
        names = _there(Path(path).expanduser())
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None
    if not names:
        raise LogError(
            f"There is no log at {path}. Nothing was read.", hint="Check the path, or POSGUARD_LOG_SOURCES."
        )
    return names


def _there(place: Path) -> list[str]:
    if place.is_dir():
        return [str(one) for one in place.iterdir() if one.is_file() and ".log" in one.name]
    if place.exists():
        return [str(place)]
    return [name for name in glob.glob(str(place), recursive=True) if Path(name).is_file()]  # noqa: PTH207 - an absolute glob


def age_key(path: str) -> tuple[str, int, str, int, str]:
    """Sorts the files of one rotated set from the oldest to the one being written, and sets by name."""
    folder, _, name = path.rpartition("/")
    name = _PACKED.sub("", name)
    number = _NUMBER.search(name)
    dated = _DATE.search(name)
    stem = name
    if dated:
        stem = stem.replace(dated.group(0), "", 1)
    if number and not dated:
        stem = name[: number.start()] + name[number.end() :]
    digits = re.sub(r"\D", "", dated.group(1)) if dated else ""
    rank = 0 if dated else 1 if number else 2
    return f"{folder}/{stem}", rank, digits, -int(number.group(1)) if number and not dated else 0, path


def open_log(path: str, opener: Opener | None = None) -> BinaryIO:
    """The log at `path` as a stream of plain bytes: unpacked as its first bytes say, UTF-16 made UTF-8.

    `opener` opens what is no local file. The stream has `readinto` and `damage`, a line that says where a packed file broke off
    ("" where it did not). Raises LogError where it cannot be opened.
    """
    try:
        raw = cast("BinaryIO", open(path, "rb", buffering=0)) if opener is None else opener(path)  # noqa: SIM115, PTH123 - the caller closes it
        head = raw.read(_HEAD)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    return opened(raw, head)


def opened(raw: BinaryIO, head: bytes) -> BinaryIO:
    """`raw`, whose first bytes were read as `head`, as a stream of plain bytes."""
    if raw.seekable() and hasattr(raw, "readinto"):
        raw.seek(0)
        stream = raw
    else:
        stream = cast("BinaryIO", _Behind(head, raw))
    if head.startswith((GZIP, ZSTD)):
        text = gzip_stream(stream) if head.startswith(GZIP) else zstd_stream(stream)
        stream, head = cast("BinaryIO", text), text.head(_HEAD)
    encoding = utf16(head)
    return cast("BinaryIO", Recoded(stream, encoding)) if encoding else stream


def is_plain(path: str) -> bool:
    """Whether the file is neither packed nor UTF-16, so that it can be read from any byte. Raises LogError where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a log's path is a text everywhere
            head = file.read(_HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    return not (head.startswith((GZIP, ZSTD)) or utf16(head))


def utf16(head: bytes) -> str:
    """The UTF-16 that the first four bytes show, or ""."""
    for mark, name in _UTF16.items():
        if head.startswith(mark):
            return name
    if len(head) == 4 and head[1] == head[3] == 0 and head[:1].isdigit():
        return "utf-16-le"
    return "utf-16-be" if len(head) == 4 and head[0] == head[2] == 0 and head[1:2].isdigit() else ""


def why(error: Exception) -> str:
    """What the system says of an error, without the path."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def unreadable(path: str, error: Exception) -> LogError:
    """The error of a log that cannot be read."""
    return LogError(
        f"{path} cannot be read: {why(error)}. Nothing was read from it.",
        hint="Check the path and its rights.",
    )


class Recoded(io.RawIOBase):
    """A UTF-16 stream as UTF-8; what is broken in it reads as U+FFFD."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._left = b""
        self._over = False

    @property
    def damage(self) -> str:
        """Where the stream beneath broke off."""
        return str(getattr(self._stream, "damage", ""))

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fills `target`; 0 at the end."""
        while not self._left and not self._over:
            chunk = self._stream.read(1 << 16)
            self._over = not chunk
            self._left = self._decoder.decode(chunk or b"", final=self._over).encode("utf-8", "replace")
        taken = min(len(target), len(self._left))
        target[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        return taken

    def close(self) -> None:
        """Closes the stream beneath too."""
        self._stream.close()
        super().close()


class _Behind(io.RawIOBase):
    """A stream that cannot go back or only reads, with the first bytes that were read from it put before it."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fills `target`; 0 at the end."""
        data = self._head or self._stream.read(len(target))
        taken = min(len(target), len(data))
        target[:taken] = data[:taken]
        self._head = data[taken:]
        return taken

    def close(self) -> None:
        """Closes the stream beneath too."""
        self._stream.close()
        super().close()
