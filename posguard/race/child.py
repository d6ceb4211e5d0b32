"""A core in a process of its own, with a hash seed of its own: opens the signals that come in, one JSON line each.

The parent speaks to it through `Child`; `python -m posguard.race.child` is the other end. It ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from posguard.model.position import Side
from posguard.race.signal import Ended, Opened, Signal, Timings

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT = 1 << 20


class ChildError(Exception):
    """The other process is gone; what it was doing is unknown."""


class Child:
    """The parent's end. The first line that goes over holds the world's addresses, so that no secret is in an argument."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, hash_seed: int, world: Mapping[str, Any]) -> Self:
        """A process that is ready to open. Raises ChildError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "posguard.race.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            start_new_session=True,
            limit=_LIMIT,
        )
        child = cls(process)
        try:
            await child._ask({"world": dict(world)})
        except BaseException:
            await child.close()
            raise
        return child

    async def open(self, signal: Signal) -> Opened:
        """Opens over there. Raises ChildError where the process is gone."""
        sent = {**asdict(signal), "side": signal.side.value}
        said = await self._ask({"signal": {name: str(value) for name, value in sent.items()}})
        return Opened(Ended(said["ended"]), said["row_id"], said["error"], Timings(**said["timings"]))

    async def close(self) -> None:
        """Ends the process, by force where it does not end with its input."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening

    async def _ask(self, message: Mapping[str, Any]) -> Any:
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        if self._listening.done() or self._process.stdin is None:
            raise ChildError("the other process has ended")
        self._process.stdin.write(json.dumps({"n": number, **message}).encode() + b"\n")
        return await answer

    async def _listen(self) -> None:
        try:
            while self._process.stdout is not None and (line := await self._process.stdout.readline()):
                answer = json.loads(line)
                waiting = self._waiting.pop(answer["n"])
                if not waiting.done():  # who asked may have been cancelled
                    waiting.set_result(answer["said"])
        finally:
            for left in self._waiting.values():
                if not left.done():
                    left.set_exception(ChildError("the other process has ended"))


async def serve() -> None:
    """Reads lines until the input ends; answers each when it is done."""
    reader = asyncio.StreamReader(limit=_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    first = json.loads(await reader.readline())
    from posguard.race.world import child_core  # noqa: PLC0415 - the world imports this module

    async with child_core(first["world"]) as core:
        _say(first["n"], None)
        async with asyncio.TaskGroup() as working:
            while line := await reader.readline():
                working.create_task(_open(core, json.loads(line)))


async def _open(core: Any, message: Mapping[str, Any]) -> None:
    said = message["signal"]
    prices = {name: Decimal(said[name]) for name in ("quantity", "entry_price", "stop_price")}
    signal = Signal(said["key"], said["symbol"], side=Side(said["side"]), exchange=said["exchange"], **prices)
    try:
        opened = await core.open(signal)
    except Exception as error:  # noqa: BLE001 - the parent judges it
        opened = Opened(Ended.RAISED, None, type(error).__name__)
    _say(message["n"], asdict(opened))


def _say(number: int, said: Any) -> None:
    sys.stdout.write(json.dumps({"n": number, "said": said}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
