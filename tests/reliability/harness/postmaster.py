"""A PostgreSQL server of its own, fsync on, whose postmaster can be killed outright and started again over what is left."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

import psutil

from posguard.postgres.embedded import EmbeddedServer


class Postmaster:
    """A server on a port that stays the same over every crash."""

    def __init__(self, folder: Path, server: EmbeddedServer) -> None:
        self._folder = folder
        self.server = server
        self.crashes = 0

    @classmethod
    def start(cls) -> Self:
        """An empty server."""
        folder = Path(mkdtemp(prefix="posguard-crash-"))
        return cls(folder, EmbeddedServer.start(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def crash(self) -> None:
        """SIGKILL to the postmaster; returns when it and its last child are gone."""
        pid = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        family = [postmaster, *postmaster.children(recursive=True)]
        os.kill(pid, signal.SIGKILL)
        # Backends end by themselves when they notice; one in the middle of a statement may be slow to.
        _, left = psutil.wait_procs(family, timeout=20)
        assert not left, left
        self.crashes += 1

    def restart(self) -> None:
        """The server again, after it has replayed its log."""
        (self.server.data / "postmaster.pid").unlink(missing_ok=True)
        self.server._launch()
