"""Packed logs as streams: gzip with several members, zstd with several frames, and what is left of a broken file.

What stands before the damage is given out; `damage` then says where it broke off.
"""

from __future__ import annotations

import io
import zlib
from typing import Any, BinaryIO

from posguard.errors import LogError


def _fast_zlib() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415 - a machine may lack its wheel
    except ModuleNotFoundError:
        return zlib  # slower and as right
    return isal_zlib


_ZLIB = _fast_zlib()
_BROKEN: tuple[type[Exception], ...] = (zlib.error, _ZLIB.error, ValueError)

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 18
# What one call gives out at most: fewer calls are cheaper, until what they give out has to be asked of the system page by page.
_AT_ONCE = 256 << 10
# A piece of zstd can stand for a great deal of text; small pieces bound what one call gives out.
_ZSTD_PIECE = 1 << 12
_GZIP_WINDOW = 31


class Unpacked(io.RawIOBase):
    """A packed stream, plain. Reading never raises for broken data: it ends, and `damage` says where."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.damage = ""
        self._stream = stream
        self._left = memoryview(b"")
        self._given = 0
        self._over = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fills `target`, less at the end or at the damage; then 0."""
        filled, wanted = 0, len(target)
        while filled < wanted and (self._left or not self._over):
            if not self._left:
                self._left = memoryview(self._more(min(wanted - filled, _AT_ONCE)))
            taken = min(wanted - filled, len(self._left))
            target[filled : filled + taken] = self._left[:taken]
            self._left = self._left[taken:]
            filled += taken
            self._given += taken
        return filled

    def head(self, size: int) -> bytes:
        """The first bytes, which are read once more afterwards."""
        while len(self._left) < size and not self._over:
            self._left = memoryview(bytes(self._left) + self._more(_PIECE))
        return bytes(self._left[:size])

    def close(self) -> None:
        """Closes the stream beneath too."""
        self._stream.close()
        super().close()

    def _more(self, wanted: int) -> bytes:
        raise NotImplementedError

    def _broke(self, what: str) -> bytes:
        self._over = True
        self.damage = f"{what} after {self._given} bytes of text"
        return b""


class _Gzip(Unpacked):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._member: Any = None
        self._packed = b""

    def _more(self, wanted: int) -> bytes:
        if not self._packed:
            self._packed = self._stream.read(_PIECE) or b""
        if not self._packed:
            if self._member is not None:
                return self._broke("the gzip file ends early")
            self._over = True
            return b""
        if self._member is None:
            self._packed = self._packed.lstrip(b"\x00")  # tapes and some tools pad with zeros between members
            if not self._packed:
                return b""
            self._member = _ZLIB.decompressobj(wbits=_GZIP_WINDOW)
        try:
            text: bytes = self._member.decompress(self._packed, wanted)
        except _BROKEN:
            return self._broke("the gzip file is broken")
        if self._member.eof:
            self._packed = self._member.unused_data
            self._member = None
        else:
            self._packed = self._member.unconsumed_tail
        return text


class _Zstd(Unpacked):
    def __init__(self, stream: BinaryIO, library: Any) -> None:
        super().__init__(stream)
        self._library = library
        self._frame: Any = None
        self._packed = b""

    def _more(self, wanted: int) -> bytes:  # noqa: ARG002 - the library's frames give out what they hold
        if not self._packed:
            self._packed = self._stream.read(_ZSTD_PIECE) or b""
        if not self._packed:
            if self._frame is not None:
                return self._broke("the zstd file ends early")
            self._over = True
            return b""
        if self._frame is None:
            self._frame = self._library.ZstdDecompressor().decompressobj()
        try:
            text: bytes = self._frame.decompress(self._packed)
        except self._library.ZstdError:
            return self._broke("the zstd file is broken")
        self._packed = b""
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = None
        return text


def gzip_stream(stream: BinaryIO) -> Unpacked:
    """A gzip stream, plain."""
    return _Gzip(stream)


def zstd_stream(stream: BinaryIO) -> Unpacked:
    """A zstd stream, plain. Raises LogError where zstandard is not installed."""
    try:
        import zstandard  # noqa: PLC0415 - asked for by zst files alone, and a machine may lack its wheel
    except ModuleNotFoundError:
        raise LogError(
            "zstd files need the package zstandard, which is not installed. Nothing was read.",
            hint="pip install zstandard",
        ) from None
    return _Zstd(stream, zstandard)
