"""The bot as a process of its own, to be killed or stopped: a starter that has loaded everything forks one for each job.

`python -m tests.reliability.harness.bot` reads jobs from its input, one JSON line each, and writes what happens to its output.
`Starter` is the other end. A job: addresses, settings, what to do, and the checkpoint at which the process ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

import psutil

_LIMIT = 1 << 20


class Starter:
    """The parent's end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._events: dict[int, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self._numbers = 0
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls) -> Self:
        """A starter that has loaded everything."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.reliability.harness.bot",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            start_new_session=True,
            limit=_LIMIT,
        )
        return cls(process)

    async def bot(self, **job: Any) -> Bot:
        """A new process at work on a job."""
        self._numbers += 1
        number = self._numbers
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"n": number, **job}).encode() + b"\n")
        events = self._events[number]
        born = await events.get()
        return Bot(born["pid"], events)

    async def close(self) -> None:
        """Ends the starter; its bots have to be over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), 60)
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        self._process._transport.close()  # type: ignore[attr-defined]  # asyncio leaves it to the garbage

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            self._events[event.pop("n")].put_nowait(event)


class Bot:
    """One process. What it says comes as events: ready, at (the checkpoint it ends itself at), done."""

    def __init__(self, pid: int, events: asyncio.Queue[dict[str, Any]]) -> None:
        self.pid = pid
        self.events = events
        self.seen: list[dict[str, Any]] = []

    async def until(self, word: str) -> dict[str, Any]:
        """The next event of that name."""
        return await self.until_either(word)

    async def until_either(self, *words: str) -> dict[str, Any]:
        """The next event of one of these names."""
        while True:
            event = await asyncio.wait_for(self.events.get(), 60)
            self.seen.append(event)
            if any(word in event for word in words):
                return event
            assert "failed" not in event, event

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wake(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    async def gone(self) -> None:
        """Returns when the process is no more."""
        await _once(lambda: not psutil.pid_exists(self.pid))

    async def stopped(self) -> None:
        """Returns when the process stands still."""
        await _once(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)


async def _once(true: Callable[[], bool]) -> None:
    """Another process's state can only be asked for, again and again."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.005)


# -- the process


def serve() -> None:
    """Forks one process for each job until the input ends."""
    import posguard.race.venue  # noqa: F401 - loaded once, for all
    import tests.fixtures.core  # noqa: F401

    with contextlib.suppress(ImportError):
        import ccxt.async_support  # noqa: F401
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        job = json.loads(line)
        if os.fork() == 0:
            _say(job, pid=os.getpid())  # by the child itself: whatever it says later comes later
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            code = 1
            try:
                asyncio.run(_work(job))
                code = 0
            except BaseException as error:  # noqa: BLE001 - the parent judges it
                _say(job, failed=f"{type(error).__name__}: {error}")
            finally:
                os._exit(code)


def _say(job: dict[str, Any], **event: Any) -> None:
    os.write(1, (json.dumps({"n": job["n"], **event}) + "\n").encode())


async def _work(job: dict[str, Any]) -> None:
    from pydantic import SecretStr

    from posguard.postgres.pool import Database
    from posguard.trading import TradingCore
    from tests.fixtures.core import trader
    from tests.reliability.harness.scene import brisk

    if job.get("core") == "defective":
        await _work_badly(job)
        return
    met = 0

    async def checkpoint(name: str) -> None:
        nonlocal met
        met += 1
        if met == job.get("at"):
            _say(job, at=name)
            os.kill(os.getpid(), getattr(signal, job["by"]))

    settings = brisk(**{name: timedelta(seconds=value) for name, value in job.get("settings", {}).items()})
    async with (
        await Database.open(SecretStr(job["dsn"]), application="bot", size=4) as database,
        trader("binance", job["url"], seconds=job.get("timeout", 2.0)) as gateway,
    ):
        core = TradingCore(database, [gateway], settings, owner=f"bot-{job['n']}", checkpoint=checkpoint)
        await gateway.market(job["symbols"][0])
        _say(job, ready=True)
        ended = await asyncio.gather(*(_act(core, job, symbol) for symbol in job["symbols"]))
        await core.finish()
    _say(job, done=ended, checkpoints=met)


async def _work_badly(job: dict[str, Any]) -> None:
    """The bot's old core at the same work."""
    import asyncpg

    from tests.fixtures.core import trader
    from tests.reliability.harness.old import old_core, signal_of

    async with (
        asyncpg.create_pool(job["dsn"], min_size=1, max_size=4) as pool,
        trader("binance", job["url"], gated=False) as gateway,
    ):
        core = old_core(pool, gateway)
        await gateway.market(job["symbols"][0])
        _say(job, ready=True)
        await asyncio.gather(*(core.open(signal_of(symbol)) for symbol in job["symbols"]))
    _say(job, done=True)


async def _act(core: Any, job: dict[str, Any], symbol: str) -> str:
    from tests.reliability.harness.scene import request

    number = job.get("positions", {}).get(symbol)
    match job["do"]:
        case "open":
            return str((await core.open(request(symbol, f"{job['key']}-{symbol}"))).result)
        case "close":
            return str((await core.close(number, "a test")).result)
        case "rollback":
            return str((await core.rollback(number, "a test")).result)
        case "move_stop":
            return str((await core.move_stop(number, Decimal("0.97"))).result)
        case "recover":
            return repr(await core.recover())
        case "synchronise":
            return repr(await core.synchronise())
        case other:
            raise ValueError(other)


if __name__ == "__main__":
    serve()
