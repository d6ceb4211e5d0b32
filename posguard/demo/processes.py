"""Processes that the demo starts: each in a group of its own, recorded, so that none outlives it, or at least not its next start."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from posguard.errors import PosguardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_CHILD_SUBREAPER = 36
RECORD = "processes.json"


class ProcessEndedError(PosguardError):
    """A process that the demo needs ended by itself."""


class Processes:
    """Started processes and their logs in `folder`/logs. `stop()` ends every group: asked first, then killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs.mkdir(parents=True, exist_ok=True)
        if sys.platform == "linux":
            # Grandchildren of a group that is killed come to us, and are reaped, instead of staying behind as zombies.
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Path:
        """Starts a process in a new session, writing to its log; returns the log's path."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as out:
            self._running[name] = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._write()
        return log

    def check(self) -> None:
        """Raises ProcessEndedError, with the end of its log, where one has ended by itself."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                raise ProcessEndedError(
                    f"The demo's {name} ended with code {code}: {last_words(self._logs / f'{name}.log')}",
                    hint=f"Its log is {self._logs / f'{name}.log'}; run `make demo` again.",
                )

    def stop(self, *, patience: float = 8.0) -> None:
        """Ends every group within about `patience` seconds and reaps what is left of them. Safe to call twice."""
        groups = {process.pid: process for process in self._running.values()}
        for group in groups:
            _signal(group, signal.SIGTERM)
        deadline = time.monotonic() + patience
        nudged = False
        while any(_members(group) for group in groups) and time.monotonic() < deadline:
            _reap(groups)
            if not nudged and time.monotonic() > deadline - patience / 2:
                nudged = True  # the scheduler waits for its workers until it is asked a second time
                for group in groups:
                    _signal(group, signal.SIGTERM)
            time.sleep(0.05)
        for group in groups:
            _signal(group, signal.SIGKILL)
        for process in groups.values():
            process.wait()
        _reap(groups)
        self._running.clear()
        (self._folder / RECORD).unlink(missing_ok=True)

    def _write(self) -> None:
        rows = [{"name": n, "pid": p.pid, "started": _created(p.pid)} for n, p in self._running.items()]
        part = self._folder / f"{RECORD}.part"
        part.write_text(json.dumps(rows))
        part.replace(self._folder / RECORD)


def sweep(folder: Path) -> list[str]:
    """Ends what a killed demo left running (recorded groups whose leader started when the record says); returns their names."""
    try:
        rows: list[dict[str, Any]] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return []
    swept = []
    for row in rows:
        members = _members(row["pid"])
        if members and _is_ours(row, members):
            _signal(row["pid"], signal.SIGKILL)
            swept.append(str(row["name"]))
    (folder / RECORD).unlink(missing_ok=True)
    return swept


def last_words(log: Path, lines: int = 3) -> str:
    """The last lines of a log that say something, joined."""
    try:
        said = [line.strip()[:300] for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "(no log)"
    return " | ".join(said[-lines:])


def _is_ours(row: dict[str, Any], members: list[int]) -> bool:
    """Whether a recorded group is still the one we started, and not a stranger's that got its number."""
    if any(_created(pid) < row["started"] - 1 for pid in members):
        return False
    if row["pid"] in members:
        return bool(abs(_created(row["pid"]) - row["started"]) < 1)
    return all(_speaks_of_us(pid) for pid in members)


def _speaks_of_us(pid: int) -> bool:
    with suppress(psutil.Error):
        words = " ".join(psutil.Process(pid).cmdline())
        return "airflow" in words or "posguard" in words
    return False


def _members(group: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _created(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _reap(groups: Mapping[int, subprocess.Popen[bytes]]) -> None:
    """Collects ended orphans that came to us; the leaders' own exit codes stay with their Popen."""
    for process in groups.values():
        process.poll()
    for child in psutil.Process().children():
        with suppress(psutil.Error, ChildProcessError):
            if child.pid not in groups and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
