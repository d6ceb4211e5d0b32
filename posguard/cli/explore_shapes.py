"""The JSON of `posguard explore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.race.explore import Failure, Tally
    from posguard.race.explore_actors import Cast
    from posguard.race.explore_world import Outcome
    from posguard.race.schedules import Event


class ExploredStep(Shape):
    """One step of a schedule."""

    actor: str = Field(description="sig1, sync1, …")
    step: str = Field(description="the statement or request")
    dies: bool = Field(description="the actor died in front of it")
    waits: bool = Field(description="it had to wait for another actor's lock")
    frees: list[str] = Field(description="the actors whose waiting it ended")

    @classmethod
    def of(cls, events: Iterable[Event]) -> list[Self]:
        """The shapes of a trace."""
        return [
            cls(
                actor=event.choice.actor,
                step=event.step.label,
                dies=event.choice.dies,
                waits=event.blocked,
                frees=list(event.freed),
            )
            for event in events
        ]


class ExploredFailure(Shape):
    """A schedule in which invariants broke, as short as it could be made."""

    replay: str = Field(description="the command that runs it again")
    broken: list[str] = Field(description="the invariants; docs/race.md tells each")
    told: str = Field(description="rows, venue and callers at the end")
    again: bool = Field(description="it broke the same invariants when it was run once more")
    steps: list[ExploredStep] = Field(description="what happened, in order")

    @classmethod
    def of(cls, failure: Failure, command: str) -> Self:
        """The shape of a failure."""
        return cls(
            replay=command,
            broken=sorted(failure.broken),
            told=failure.told,
            again=failure.again,
            steps=ExploredStep.of(failure.events),
        )


class ExploredCast(Shape):
    """What came of one set of actors."""

    actors: list[str] = Field(description="who acted")
    price_falls: bool = Field(description="the price fell through the stop once an entry was filled")
    schedules: int = Field(description="schedules that were run, of equal ones one")
    every_one: bool = Field(description="no schedule was left out")
    drawn: int = Field(description="schedules drawn by seed")
    deaths: int = Field(description="schedules in which an actor died at a step")
    every_death: bool = Field(description="of these none was left out")
    bad: int = Field(description="of all these, broke an invariant")
    breaches: dict[str, int] = Field(description="bad schedules by the invariant they broke")
    seconds: float = Field(description="how long it took")
    failures: list[ExploredFailure] = Field(description="one for each set of broken invariants, five at most")

    @classmethod
    def of(cls, tally: Tally, failures: list[ExploredFailure]) -> Self:
        """The shape of a tally."""
        return cls(
            actors=[part.value for part in tally.cast.parts],
            price_falls=tally.cast.slump,
            schedules=tally.schedules,
            every_one=tally.every,
            drawn=tally.drawn,
            deaths=tally.deaths,
            every_death=tally.every_death,
            bad=tally.bad,
            breaches={breach.value: count for breach, count in sorted(tally.breaches.items())},
            seconds=round(tally.seconds, 3),
            failures=failures,
        )


class Exploration(Shape):
    """`posguard explore --json`."""

    core: str = Field(description="defective, corrected or module:object")
    seed: int = Field(description="repeats what was drawn")
    exchange: str = Field(description="the simulated exchange")
    http: bool = Field(description="ccxt over HTTP; false: the simulator's book in this process")
    held: bool = Field(description="whether every invariant held in every schedule")
    casts: list[ExploredCast] = Field(description="each set of actors")


class Replay(Shape):
    """`posguard explore --replay --json`."""

    core: str = Field(description="defective, corrected or module:object")
    actors: list[str] = Field(description="who acted")
    schedule: str = Field(description="the schedule as it was run, to its end")
    held: bool = Field(description="whether every invariant held")
    broken: list[str] = Field(description="the invariants that broke")
    told: str = Field(description="rows, venue and callers at the end; empty where all held")
    followed: bool = Field(description="false: a choice of the script could not be made and was left out")
    steps: list[ExploredStep] = Field(description="what happened, in order")

    @classmethod
    def of(cls, core: str, cast: Cast, outcome: Outcome, *, followed: bool) -> Self:
        """The shape of a replayed schedule."""
        from posguard.race.schedules import write_script

        return cls(
            core=core,
            actors=[part.value for part in cast.parts],
            schedule=write_script(outcome.trace.choices),
            held=not outcome.broken,
            broken=sorted(outcome.broken),
            told=outcome.told,
            followed=followed,
            steps=ExploredStep.of(outcome.trace.events),
        )
