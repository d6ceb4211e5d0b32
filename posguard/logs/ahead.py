"""A stream that is read ahead by a thread of its own: what unpacks a log does not wait for what reads it, nor the other way."""

from __future__ import annotations

import io
import threading
from queue import SimpleQueue
from typing import BinaryIO

BLOCK = 1 << 20
# One is being filled, one is full, one is being taken from.
_BUFFERS = 3

Filled = tuple[bytearray, int] | Exception


class Ahead(io.RawIOBase):
    """The stream `stream`, read ahead by up to three blocks. What reading it raises is raised when its place is reached."""

    def __init__(self, stream: BinaryIO, block: int = BLOCK) -> None:
        super().__init__()
        self._stream = stream
        self._free: SimpleQueue[bytearray | None] = SimpleQueue()
        self._full: SimpleQueue[Filled] = SimpleQueue()
        self._buffer, self._at, self._end = bytearray(), 0, 0
        self._over = self._given_up = False
        self._error: Exception | None = None
        for _ in range(_BUFFERS):
            self._free.put(bytearray(block))
        # It holds nothing that would be lost: an interpreter that ends need not wait for it.
        self._thread = threading.Thread(target=self._fill, name="posguard-log-ahead", daemon=True)
        self._thread.start()

    @property
    def damage(self) -> str:
        """Where the stream beneath broke off; known at its end."""
        return str(getattr(self._stream, "damage", ""))

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        """Fills `target`, less at the end; then 0."""
        filled, wanted = 0, len(target)
        while filled < wanted and not (self._at == self._end and self._over):
            if self._at == self._end:
                self._next()
                continue
            taken = min(wanted - filled, self._end - self._at)
            with memoryview(self._buffer) as view:
                target[filled : filled + taken] = view[self._at : self._at + taken]
            self._at += taken
            filled += taken
        if not filled and self._error is not None:
            error, self._error = self._error, None
            raise error
        return filled

    def close(self) -> None:
        """Ends the thread, and closes the stream beneath."""
        if not self.closed:
            self._given_up = True
            self._free.put(None)
            self._thread.join()
            self._stream.close()
        super().close()

    def _next(self) -> None:
        if self._buffer:
            self._free.put(self._buffer)
        given = self._full.get()
        if isinstance(given, Exception):
            self._over, self._at = True, self._end
            self._error = given
            return
        self._buffer, self._end = given
        self._at, self._over = 0, self._end == 0

    def _fill(self) -> None:
        try:
            while (buffer := self._free.get()) is not None and not self._given_up:
                got = self._stream.readinto(buffer) or 0  # type: ignore[attr-defined]
                self._full.put((buffer, got))
                if not got:
                    return
        except Exception as error:  # noqa: BLE001 - raised where it is read
            self._full.put(error)
