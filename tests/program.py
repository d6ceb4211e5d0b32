"""The real program in a process of its own, in an environment that holds nothing of posguard's but what a test gives it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("posguard")


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def fails_with(self, code: int, *words: str) -> None:
        """One line on stderr that holds `words`, no traceback, this exit code."""
        assert self.code == code, (self.code, self.err)
        assert len(self.err.splitlines()) == 1, self.err
        assert "Traceback" not in self.err + self.out
        for word in words:
            assert word in self.err, (word, self.err)


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything that configures posguard, plus `variables`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("POSGUARD_", "BINANCE_", "BYBIT_", "AIRFLOW"))
    }
    return kept | {"NO_COLOR": "1"} | variables


def posguard(*words: str, folder: Path, timeout: float = 90, **variables: str) -> Ended:
    """Runs `posguard *words` in `folder` with `variables` added to a clean environment."""
    done = subprocess.run(
        [PROGRAM, *words],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


async def posguard_beside(*words: str, folder: Path, **variables: str) -> Ended:
    """The same in a thread, so that a simulator in the test's own loop can answer meanwhile."""
    return await asyncio.to_thread(posguard, *words, folder=folder, **variables)
