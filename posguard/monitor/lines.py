"""The snapshots of a run as JSONL: one line each, on the disk before the next is taken, in order, none twice.

The database holds the same and is asked where they differ: a line that a crash tore is taken away at the next start, and what
the file lacks is written from the database.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from posguard.errors import RefusedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Lines:
    """The file of one run, held by one process at a time. `last` is the number of its last line."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises SettingsError where it cannot, RefusedError where another process holds it."""
        self.path = path
        self.last = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be written: {error.strerror}. Nothing was done.",
                hint="Name another folder with --out.",
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RefusedError(
                f"Another monitor writes {path}. Nothing was done.", hint="One database has one monitor."
            ) from None
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def repair(self, stored: Sequence[Mapping[str, Any]]) -> int:
        """Makes the file say what is stored, all of a run from 1 on; returns how many bytes of it were taken away."""
        self._file.seek(0)
        data = self._file.read()
        good = 0
        self.last = 0
        for line in data.splitlines(keepends=True):
            if self.last >= len(stored) or _parsed(line) != stored[self.last]:
                break
            good += len(line)
            self.last += 1
        if good < len(data):
            self._file.truncate(good)
        self._write(stored[self.last :])
        return len(data) - good

    def read(self) -> list[Any]:
        """The lines as they are."""
        self._file.seek(0)
        return [found for line in self._file.read().splitlines(keepends=True) if (found := _parsed(line))]

    def append(self, snapshot: Mapping[str, Any]) -> None:
        """Writes one line, and returns when it is on the disk. Nothing where the file has it already."""
        if snapshot["number"] > self.last:
            self._write([snapshot])

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def _write(self, snapshots: Sequence[Mapping[str, Any]]) -> None:
        if not snapshots:
            self._sync()
            return
        begins = self._file.seek(0, os.SEEK_END)
        try:
            left = b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in snapshots)
            while left:
                left = left[self._file.write(left) :]
            self._sync()
        except OSError:
            # a full disk leaves half a line: it goes, so that the next one begins where it should
            self._file.truncate(begins)
            raise
        self.last = snapshots[-1]["number"]

    def _sync(self) -> None:
        os.fsync(self._file.fileno())


def _parsed(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:
        return None
