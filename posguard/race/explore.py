"""Explores a core: every schedule of a cast, or a sample; each again with a death at every step; what failed, made short."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from posguard.race.explore_actors import APPLYING, LARGER, PAIRS, Cast, Part, tables_of
from posguard.race.explore_world import Lane, Play, own_lanes
from posguard.race.schedules import Choice, Sample, Script, Tree, cost, normal_form, shorter, write_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from posguard.race.explore_world import Lanes, Outcome
    from posguard.race.judge import Breach
    from posguard.race.schedules import Event

# Beyond the limit so many more are drawn from all there are, as a share of the limit.
_SAMPLE_SHARE = 4
_MOST_TRIES = 120
_DEATHS = 0.04
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Aim:
    """What to explore. lanes run side by side.

    limit: schedules of a cast of two. deaths: of these schedules with a death, which are more by far. samples: schedules of
    each larger cast.
    """

    core: str
    casts: tuple[Cast, ...]
    limit: int = 20_000
    deaths: int = 2_000
    samples: int = 1_000
    seed: int = 0
    crash: bool = False
    exchange: str = "binance"
    http: bool = False
    lanes: int = 2


def usual_casts() -> tuple[Cast, ...]:
    """Every pair, with a steady and with a falling price where somebody buys, the larger casts, and those with a plan."""
    every = (*PAIRS, *LARGER, *APPLYING)
    return tuple(
        Cast(parts, slump) for parts in every for slump in (False, True) if not slump or Part.SIGNAL in parts
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule in which invariants broke. script replays it; again: it did so when it was run once more."""

    cast: Cast
    script: str
    broken: frozenset[Breach]
    told: str
    events: tuple[Event, ...]
    again: bool


@dataclass(slots=True)
class Tally:
    """What came of one cast. schedules: classes of equal ones; drawn: sampled ones; deaths: schedules with a death.

    every, every_death: no schedule was left out, none with a death.
    """

    cast: Cast
    schedules: int = 0
    broken_off: int = 0
    drawn: int = 0
    deaths: int = 0
    bad: int = 0
    every: bool = False
    every_death: bool = False
    seconds: float = 0.0
    breaches: Counter[Breach] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    forms: set[int] = field(default_factory=set)

    @property
    def run(self) -> int:
        """Schedules that were run to their end and judged."""
        return self.schedules + self.drawn + self.deaths


async def explore(
    aim: Aim, tell: Callable[[Tally], None] = lambda _: None, *, on: Lanes | None = None
) -> list[Tally]:
    """Explores each cast in turn: on lanes that are there, or on a server of its own, which is gone at the end.

    Raises UsageError before it starts.
    """
    tables_of(aim.core)
    tallies = []
    async with own_lanes() if on is None else nullcontext(on) as made:
        for cast in aim.casts:
            play = Play(aim.core, cast, aim.exchange, aim.http)
            async with AsyncExitStack() as stack:
                lanes = [
                    await stack.enter_async_context(Lane(play, await made.database(tables_of(aim.core))))
                    for _ in range(aim.lanes)
                ]
                tallies.append(await _Exploration(aim, cast, lanes, tell).run())
    return tallies


async def replay(aim: Aim, cast: Cast, choices: Sequence[Choice]) -> tuple[Outcome, bool]:
    """Runs one schedule; and whether it could be followed as it is written."""
    async with own_lanes() as made:
        play = Play(aim.core, cast, aim.exchange, aim.http)
        async with Lane(play, await made.database(tables_of(aim.core))) as lane:
            script = Script(choices)
            outcome = await lane.run(script)
            return outcome, script.followed


class _Exploration:
    """One cast's."""

    def __init__(self, aim: Aim, cast: Cast, lanes: Sequence[Lane], tell: Callable[[Tally], None]) -> None:
        self._aim = aim
        self._lanes = lanes
        self._tell = tell
        self._tally = Tally(cast)
        self._deaths: dict[object, tuple[Choice, ...]] = {}

    async def run(self) -> Tally:
        began = time.monotonic()
        tally, aim = self._tally, self._aim
        if tally.cast.walked:
            await self._walk()
            if not tally.every:
                await self._draw(max(aim.limit // _SAMPLE_SHARE, 1), deaths=0.0)
        else:
            await self._draw(aim.samples, deaths=_DEATHS if aim.crash else 0.0)
        if self._deaths:
            await self._die()
        tally.seconds = time.monotonic() - began
        self._tell(tally)
        return tally

    async def _walk(self) -> None:
        """Every schedule, each class of equal ones once, up to the limit."""
        tree, lane, tally = Tree(), self._lanes[0], self._tally
        for walk in tree:
            outcome = await lane.run(walk)
            if not outcome.trace.complete:
                tally.broken_off += 1
                continue
            tally.schedules += 1
            await self._take(lane, outcome)
            if self._aim.crash:
                self._note_deaths(outcome.trace.events)
            if tally.schedules >= self._aim.limit:
                break
        tally.every = tree.finished or tally.schedules < self._aim.limit

    async def _draw(self, count: int, *, deaths: float) -> None:
        """A sample by seed."""
        first = random.Random(f"{self._aim.seed}:{self._tally.cast.title}").getrandbits(40)  # noqa: S311 - repeatable

        async def one(lane: Lane, seed: int) -> None:
            outcome = await lane.run(Sample(seed, deaths=deaths))
            died = any(choice.dies for choice in outcome.trace.choices)
            self._tally.deaths += died
            self._tally.drawn += not died
            await self._take(lane, outcome)

        await self._spread(range(first, first + count), one)

    async def _die(self) -> None:
        """Each schedule again with a death in front of each of its steps; what is the same up to there is run once."""

        async def one(lane: Lane, choices: tuple[Choice, ...]) -> None:
            outcome = await lane.run(Script(choices))
            self._tally.deaths += 1
            await self._take(lane, outcome)

        all_of_them, most = list(self._deaths.values()), self._aim.deaths
        self._tally.every_death = self._tally.every and len(all_of_them) <= most
        if len(all_of_them) > most:
            chance = random.Random(f"{self._aim.seed}:{self._tally.cast.title}:deaths")  # noqa: S311 - repeatable
            all_of_them = chance.sample(all_of_them, most)
        await self._spread(all_of_them, one)

    def _note_deaths(self, events: Sequence[Event]) -> None:
        choices = [event.choice for event in events]
        for place, choice in enumerate(choices):
            rest = tuple(one for one in choices[place + 1 :] if one.actor != choice.actor)
            key = (choice.actor, normal_form(events[:place]))
            self._deaths.setdefault(key, (*choices[:place], replace(choice, dies=True), *rest))

    async def _spread(self, jobs: Iterable[object], work: Callable[..., object]) -> None:
        """Gives the jobs to the lanes."""
        left: Iterator[object] = iter(jobs)

        async def worker(lane: Lane) -> None:
            for job in left:
                await work(lane, job)  # type: ignore[misc]

        workers = [asyncio.ensure_future(worker(lane)) for lane in self._lanes]
        try:
            await asyncio.gather(*workers)
        finally:
            for one in workers:
                one.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _take(self, lane: Lane, outcome: Outcome) -> None:
        tally = self._tally
        tally.forms.add(hash(normal_form(outcome.trace.events)))
        if outcome.broken:
            tally.bad += 1
            tally.breaches.update(outcome.broken)
            seen = {failure.broken for failure in tally.failures}
            if outcome.broken not in seen and len(seen) < _MOST_FAILURES:
                tally.failures.append(await shrunk(lane, outcome))
        if tally.run % 20 == 0:
            self._tell(tally)


async def shrunk(lane: Lane, outcome: Outcome) -> Failure:
    """The simplest schedule found that breaks the same invariants, run once more to see that it does."""
    best, tries, better = outcome.trace.choices, 0, True
    while better and tries < _MOST_TRIES:
        better = False
        for choices in shorter(best):
            if cost(choices) >= cost(best) or tries >= _MOST_TRIES:
                continue
            tries += 1
            if (await lane.run(Script(choices))).broken == outcome.broken:
                best, better = choices, True
                break
    last = await lane.run(Script(best))
    return Failure(
        lane.play.cast,
        write_script(best),
        last.broken or outcome.broken,
        last.told or outcome.told,
        tuple(last.trace.events),
        last.broken == outcome.broken,
    )
