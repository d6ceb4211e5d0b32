"""The stage: one actor at a time, the same choices give the same trace, a death is final, whoever waits is left aside."""

from __future__ import annotations

import asyncio

import pytest

from posguard.race.actors import Actor, DiedError, toy_step
from posguard.race.schedules import Sample, Script, Tree, read_script
from posguard.race.stage import NobodyWaits, Stage


class Counter:
    """A number that toy actors raise by reading and writing it, each in two steps."""

    def __init__(self):
        self.value = 0
        self.running = 0

    async def raise_by_one(self, actor):
        await toy_step(actor, "read", reads="x")
        seen = self.value
        await toy_step(actor, "write", writes="x")
        self.value = seen + 1


def stage_of(*names, watcher=None):
    actors = [Actor(name) for name in names]
    return actors, Stage(actors, watcher)


async def test_a_lost_update_is_found_and_replayed():
    ends, scripts = set(), {}
    for walk in Tree():
        counter = Counter()
        actors, stage = stage_of("a", "b")
        works = {
            actor.name: (lambda actor=actor, counter=counter: counter.raise_by_one(actor)) for actor in actors
        }
        trace = await stage.run(works, walk)
        assert trace.complete
        ends.add(counter.value)
        scripts[counter.value] = trace.choices
    assert ends == {1, 2}
    counter = Counter()
    actors, stage = stage_of("a", "b")
    works = {actor.name: (lambda actor=actor: counter.raise_by_one(actor)) for actor in actors}
    assert (await stage.run(works, Script(scripts[1]))).choices == scripts[1]
    assert counter.value == 1


async def test_the_same_seed_gives_the_same_trace():
    async def once():
        counter = Counter()
        actors, stage = stage_of("a", "b", "c")

        async def twice(actor):
            await counter.raise_by_one(actor)
            await counter.raise_by_one(actor)

        works = {actor.name: (lambda actor=actor: twice(actor)) for actor in actors}
        return (await stage.run(works, Sample(7))).events

    assert await once() == await once()


async def test_nobody_moves_while_another_does():
    counter = Counter()
    actors, stage = stage_of("a", "b", "c")

    async def work(actor):
        for place in range(4):
            await toy_step(actor, str(place), writes="x")
            counter.running += 1
            assert counter.running == 1
            for _ in range(5):
                await asyncio.sleep(0)
            counter.running -= 1

    works = {actor.name: (lambda actor=actor: work(actor)) for actor in actors}
    assert len((await stage.run(works, Sample(1))).events) == 12
    assert all(actor.error is None for actor in actors)


async def test_tasks_of_one_actor_queue_up_before_their_steps():
    actors, stage = stage_of("a")

    async def work():
        await asyncio.gather(*(toy_step(actors[0], str(place)) for place in range(3)))

    trace = await stage.run({"a": work}, Script(()))
    assert [event.step.label for event in trace.events] == ["0", "1", "2"]


async def test_the_dead_make_no_further_step():
    actors, stage = stage_of("a", "b")
    done = []

    async def work(actor):
        try:
            await toy_step(actor, "first")
            done.append((actor.name, "first"))
            await toy_step(actor, "second")
            done.append((actor.name, "second"))
        except Exception:  # noqa: BLE001
            done.append((actor.name, "handled"))
        finally:
            await toy_step(actor, "clean-up")
            done.append((actor.name, "cleaned up"))

    works = {actor.name: (lambda actor=actor: work(actor)) for actor in actors}
    trace = await stage.run(works, Script(read_script("a,a!")))
    assert [one for one in done if one[0] == "a"] == [("a", "first")]
    assert [one for one in done if one[0] == "b"] == [("b", "first"), ("b", "second"), ("b", "cleaned up")]
    assert [str(choice) for choice in trace.choices] == ["a", "a!", "b", "b", "b"]
    with pytest.raises(DiedError):
        await toy_step(actors[0], "more")


async def test_what_an_actor_raises_is_kept_for_the_judge():
    actors, stage = stage_of("a", "b")

    async def fails(actor):
        await toy_step(actor, "step")
        raise ValueError(actor.name)

    works = {actor.name: (lambda actor=actor: fails(actor)) for actor in actors}
    await stage.run(works, Script(()))
    assert [str(actor.error) for actor in actors] == ["a", "b"]


class ToyLock(NobodyWaits):
    """A lock that the watcher knows of, as the server knows of its own."""

    def __init__(self):
        self.lock = asyncio.Lock()
        self.owner = None
        self.waiting = set()

    async def blockers(self, actor):
        return frozenset({self.owner}) if actor.name in self.waiting else frozenset()

    def may_wait(self, _actor):
        return self.lock.locked()

    async def hold(self, actor):
        async with actor.turn(_step("lock")):
            self.waiting.add(actor.name)
            await self.lock.acquire()
            self.waiting.discard(actor.name)
            self.owner = actor.name

    async def give_back(self, actor):
        async with actor.turn(_step("unlock")):
            self.lock.release()


def _step(label):
    from posguard.race.footprints import ADVISORY, Step, footprint

    return Step(label, footprint(writes=(ADVISORY,)))


async def test_who_waits_for_a_lock_is_left_aside_until_it_is_free():
    values = set()
    waits = 0
    for walk in Tree():
        counter, lock = Counter(), ToyLock()
        actors, stage = stage_of("a", "b", watcher=lock)

        async def work(actor, counter=counter, lock=lock):
            await lock.hold(actor)
            await counter.raise_by_one(actor)
            await lock.give_back(actor)

        works = {actor.name: (lambda actor=actor, work=work: work(actor)) for actor in actors}
        trace = await stage.run(works, walk)
        assert trace.complete
        assert not trace.deadlock
        for event in trace.events:
            waits += event.blocked
            assert not event.blocked or event.choice.actor not in event.freed
        values.add(counter.value)
    assert values == {2}
    assert waits
