"""Runs actors step by step, one at a time, as a chooser says. The same choices give the same trace.

An actor whose step waits for another one's lock is found by asking the server who blocks whom, never by a time; the others
go on. What a commit sets free runs to its next step before anybody else moves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from posguard.errors import PosguardBugError
from posguard.race.footprints import ADVISORY, LOCKS, Footprint, Step
from posguard.race.schedules import Choice, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from posguard.race.actors import Actor
    from posguard.race.schedules import Chooser

_GLANCE = (
    0.002  # seconds after which the server is asked whether a step waits; the answer does not depend on it
)
_ENOUGH = 30.0  # seconds after which a step that nobody blocks is a bug of the core or of the stage
_FREES = frozenset({LOCKS, ADVISORY})
MOST_STEPS = 2000


class Watcher(Protocol):
    """Knows who waits for whom, and how an actor's connections end."""

    async def blockers(self, actor: Actor) -> frozenset[str]:
        """The names of the actors that hold what this actor's step waits for; empty where it waits for none."""
        ...

    async def cut(self, actor: Actor) -> None:
        """Ends a dead actor's connections, and comes back when its locks are gone."""
        ...

    def may_wait(self, actor: Actor) -> bool:
        """Whether another actor holds anything that this actor's step could wait for."""
        ...


class NobodyWaits:
    """For actors without a database."""

    async def blockers(self, actor: Actor) -> frozenset[str]:  # noqa: ARG002
        """Nobody."""
        return frozenset()

    async def cut(self, actor: Actor) -> None:
        """Nothing is held."""

    def may_wait(self, actor: Actor) -> bool:  # noqa: ARG002
        """Never."""
        return False


@dataclass(slots=True)
class Trace:
    """What happened. complete: every actor came to its end, or died. deadlock: all that were left waited for each other."""

    events: list[Event]
    complete: bool = True
    deadlock: bool = False

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The schedule, to be run again."""
        return tuple(event.choice for event in self.events)


class Stage:
    """One run of some actors."""

    def __init__(self, actors: Sequence[Actor], watcher: Watcher | None = None) -> None:
        self._actors = {actor.name: actor for actor in actors}
        self._watcher = watcher or NobodyWaits()
        self._waiting: dict[str, Step] = {}

    async def run(
        self, works: Mapping[str, Callable[[], Coroutine[Any, Any, Any]]], chooser: Chooser
    ) -> Trace:
        """Runs every work to its end, as the chooser says; afterwards nothing of it runs any more."""
        trace = Trace([])
        for name, actor in self._actors.items():
            await actor.begin(works[name]())
        try:
            while ready := await self._ready(trace):
                choice = chooser.choose(ready)
                if choice is None:
                    trace.complete = False
                    break
                event = await self._carry_out(choice, ready[choice.actor])
                trace.events.append(event)
                chooser.happened(event)
                if len(trace.events) > MOST_STEPS:
                    raise PosguardBugError(f"A schedule did not end within {MOST_STEPS} steps.")
        finally:
            await self._end()
        return trace

    async def _ready(self, trace: Trace) -> dict[str, Step]:
        while True:
            ready = {
                name: self._announced(actor.pending)
                for name, actor in self._actors.items()
                if actor.pending is not None
            }
            if ready or not self._waiting:
                return ready
            # Everyone left waits for another: the server ends one of them.
            trace.deadlock = True
            await asyncio.wait(
                [self._actors[name].stopped for name in self._waiting], return_when=asyncio.FIRST_COMPLETED
            )
            await self._freed()

    def _announced(self, step: Step) -> Step:
        """A step that gives locks back carries the steps that wait for them."""
        if not self._waiting or not step.touches.writes & _FREES:
            return step
        return replace(step, touches=_joined(step.touches, self._waiting.values()))

    async def _carry_out(self, choice: Choice, step: Step) -> Event:
        actor = self._actors[choice.actor]
        if choice.dies:
            await actor.die()
            await self._watcher.cut(actor)
            waiting = list(self._waiting.values())
            freed = await self._freed()
            return Event(choice, step, _joined(_death(step), waiting), freed)
        stopped = actor.release()
        blocked = await self._until_still(actor, stopped)
        if blocked:
            self._waiting[actor.name] = step
            return Event(choice, step, step.touches, blocked=True)
        return Event(choice, step, step.touches, await self._freed())

    async def _until_still(self, actor: Actor, stopped: asyncio.Future[None]) -> bool:
        """Comes back when the actor stands before a step or is done; True: its step waits for another actor."""
        if stopped.done():
            return False
        if not self._watcher.may_wait(actor):
            await stopped
            return False
        waited, pause = 0.0, _GLANCE
        while waited < _ENOUGH:
            await asyncio.wait({stopped}, timeout=pause)
            if stopped.done():
                return False
            if await self._watcher.blockers(actor):
                return True
            waited += pause
        raise PosguardBugError(f"{actor.name} neither ends its step nor waits for another.")

    async def _freed(self) -> tuple[str, ...]:
        """Those who waited and do no longer, each at its next step."""
        freed = []
        for name in list(self._waiting):
            actor = self._actors[name]
            if not await self._until_still(actor, actor.stopped):
                del self._waiting[name]
                freed.append(name)
        return tuple(freed)

    async def _end(self) -> None:
        """Whoever still lives dies, those that hold locks first."""
        for actor in self._actors.values():
            if actor.pending is not None:
                await actor.die()
                await self._watcher.cut(actor) if self._waiting else None
        for name in list(self._waiting):
            actor = self._actors[name]
            actor.dead = True
            await asyncio.wait_for(asyncio.shield(actor.stopped), _ENOUGH)
        self._waiting.clear()


def _death(step: Step) -> Footprint:
    """What a death touches: the locks it gives back."""
    return replace(step.touches, reads=frozenset(), writes=_FREES)


def _joined(touches: Footprint, steps: Any) -> Footprint:
    for step in steps:
        touches = touches.joined(step.touches)
    return touches
