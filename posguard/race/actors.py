"""An actor of the explorer: a coroutine that stands still in front of each of its steps until the stage lets it go on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from posguard.race.footprints import Step, footprint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


class DiedError(BaseException):
    """The actor is dead. No handler of ordinary errors sees it, and no step is made after it."""


class Actor:
    """One actor on a stage. `pending` is the step that it stands before, None while it runs, waits for a lock, or is done."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = ActorClock()
        self.pending: Step | None = None
        self.dead = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.connections: list[Any] = []
        self.current: Any = None  # the connection that the step under way runs on
        self._task: asyncio.Task[Any] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._go: asyncio.Future[None] | None = None
        self._one = asyncio.Lock()

    @property
    def done(self) -> bool:
        """Whether its work is over."""
        return self._task is not None and self._task.done()

    @property
    def running(self) -> bool:
        """Whether it is between two steps, or its step is under way."""
        return not self.done and self.pending is None

    @asynccontextmanager
    async def turn(self, step: Step, connection: Any = None) -> AsyncIterator[None]:
        """Stops in front of the step until it may be made. Steps of one actor's own tasks queue up."""
        async with self._one:
            if self.dead:
                raise DiedError
            if self._task is None:
                yield
                return
            self._go = asyncio.get_running_loop().create_future()
            self.pending, self.current = step, connection
            self._stop()
            try:
                await self._go
            finally:
                self.pending = None
            yield

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[None]:
        """Lets the actor run to its first step."""
        self._stopped = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._live(work))
        self._task.add_done_callback(lambda _task: self._stop())
        return self._stopped

    def release(self) -> asyncio.Future[None]:
        """Lets the actor make its step; the future is done when it stops again."""
        return self._resume(None)

    def die(self) -> asyncio.Future[None]:
        """Ends the actor in front of its step; the future is done when nothing of it runs any more."""
        self.dead = True
        return self._resume(DiedError())

    def forget(self) -> None:
        """Makes the actor one that can begin anew."""
        self.pending = self.result = self.error = self.current = None
        self._task = self._stopped = self._go = None
        self.dead = False
        self.clock = ActorClock()
        self._one = asyncio.Lock()

    def _resume(self, error: BaseException | None) -> asyncio.Future[None]:
        self._stopped = asyncio.get_running_loop().create_future()
        if self._go is not None and not self._go.done():
            if error is None:
                self._go.set_result(None)
            else:
                self._go.set_exception(error)
        return self._stopped

    @property
    def stopped(self) -> asyncio.Future[None]:
        """Done when the actor stands before a step, or is done."""
        assert self._stopped is not None
        return self._stopped

    def _stop(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def _live(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.result = await work
        except DiedError:
            pass
        except BaseExceptionGroup as group:  # of the actor's own tasks
            self.error = group.split(DiedError)[1]
        except Exception as error:  # noqa: BLE001 - what comes out of an actor is judged, not raised
            self.error = error


class ActorClock:
    """An actor's own time: sleeping costs none, and others' sleep does not make it late. Satisfies the core's Clock."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        """Seconds since the actor began, as it counts them."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Time passes for this actor alone. Not a step: any other actor may make any number of steps meanwhile."""
        self._now += max(seconds, 0.0)
        await asyncio.sleep(0)

    def jump(self, seconds: float) -> None:
        """Time passed while the actor stood still."""
        self._now += seconds


async def toy_step(actor: Actor, label: str, *, reads: str = "", writes: str = "") -> None:
    """A step that touches what is named, one letter each, and nothing else: for proofs of the stage."""
    async with actor.turn(Step(label, footprint(reads=tuple(reads), writes=tuple(writes)))):
        pass
