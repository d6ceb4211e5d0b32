"""The JSON of the commands that race cores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from posguard.race.metrics import Spread
    from posguard.race.plan import Plan
    from posguard.race.run import Tally


class RacePlan(Shape):
    """What was asked for."""

    scenario: str = Field(description="A, B, C, D, stress or processes")
    actors: str = Field(description="who acts at the same time")
    core: str = Field(description="defective, corrected or module:object")
    runs: int = Field(description="how many races of one symbol each")
    threads: int = Field(description="how many symbols race at once")
    duration: float | None = Field(
        description="seconds after which no further batch begins; null: no end but runs"
    )
    seed: int = Field(description="repeats the draws; the machine's own timing stays")
    window: float = Field(description="seconds that stand for the bot's 3 s of settlement")
    exchange: str = Field(description="the simulated exchange")
    http: bool = Field(description="ccxt over HTTP; false: the simulator's book in this process")
    database: str = Field(description="the database's name, or embedded")

    @classmethod
    def of(cls, plan: Plan, database: str) -> Self:
        """The shape of a plan."""
        return cls(
            scenario=plan.scenario,
            actors=plan.actors,
            core=plan.core,
            runs=plan.runs,
            threads=plan.threads,
            duration=plan.duration,
            seed=plan.seed,
            window=plan.window,
            exchange=plan.exchange,
            http=plan.over_http,
            database=database,
        )


class RaceSpread(Shape):
    """The spread of a time, in milliseconds."""

    count: int = Field(description="how many were measured")
    min: float = Field(description="the least")
    mean: float = Field(description="their mean")
    p50: float = Field(description="P50, nearest rank")
    p95: float = Field(description="P95")
    p99: float = Field(description="P99")
    max: float = Field(description="the greatest")

    @classmethod
    def of(cls, spread: Spread | None) -> Self | None:
        """The shape of a spread."""
        if spread is None:
            return None
        return cls(**{name: round(getattr(spread, name), 3) for name in cls.model_fields})


class RaceTimes(Shape):
    """The steps of an open; null: this core does not tell."""

    lock: RaceSpread | None = Field(description="waiting for the advisory lock")
    check: RaceSpread | None = Field(description="the existence check")
    insert: RaceSpread | None = Field(description="the insert")
    total: RaceSpread | None = Field(description="the whole open")
    window: RaceSpread | None = Field(
        description="from the entry to the stop-loss, the row outside the index"
    )


class RaceTally(Shape):
    """What came of it. A run is one symbol's race; a bad one broke an invariant."""

    runs: int = Field(description="races that were run")
    bad: int = Field(description="of these, broke an invariant on the database or on the venue's book")
    attempts: int = Field(description="signals that were sent into the core")
    seconds: float = Field(description="how long it took")
    success: int = Field(description="signals that ended active")
    failure: int = Field(description="signals that did not, those refused for an open row apart")
    ended: dict[str, int] = Field(description="signals by what became of them")
    breaches: dict[str, int] = Field(
        description="bad runs by the invariant they broke; docs/race.md tells each"
    )
    duplicates: int = Field(description="rows born while another row of their key was open")
    unique_violations: int = Field(description="errors of the unique index")
    closed_by_rollback: int = Field(description="runs in which a real position was closed")
    unprotected: int = Field(description="runs that left a position without a stop")
    lost: int = Field(description="runs that left a position which no open row owns")
    double_orders: int = Field(description="runs in which more was bought than was due")
    attention: int = Field(description="rows flagged for a person")
    failed_passes: dict[str, int] = Field(
        description="passes of synchroniser or clean-up that raised, by error"
    )
    one_row_index: bool = Field(description="whether the unique index over all open statuses stood")
    timings: RaceTimes = Field(description="how long the steps of an open took")
    first_bad: str = Field(description="the first bad run in a sentence; empty where there is none")

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """The shape of a tally."""
        from posguard.race.judge import Breach
        from posguard.race.signal import Ended

        neither = tally.ended[Ended.ACTIVE] + tally.ended[Ended.EXISTING]
        return cls(
            runs=tally.runs,
            bad=tally.bad,
            attempts=tally.attempts,
            seconds=round(tally.seconds, 3),
            success=tally.ended[Ended.ACTIVE],
            failure=tally.attempts - neither,
            ended={ended.value: tally.ended[ended] for ended in Ended},
            breaches={breach.value: tally.breaches[breach] for breach in Breach},
            duplicates=tally.duplicates,
            unique_violations=tally.unique_violations,
            closed_by_rollback=tally.breaches[Breach.CLOSED],
            unprotected=tally.breaches[Breach.NAKED],
            lost=tally.breaches[Breach.LOST],
            double_orders=tally.breaches[Breach.DOUBLE_ORDER],
            attention=tally.attention,
            failed_passes=dict(tally.failed_passes),
            one_row_index=tally.index_stands,
            timings=RaceTimes(**{name: RaceSpread.of(one) for name, one in tally.spreads().items()}),
            first_bad=tally.first_bad,
        )


class Reproduction(Shape):
    """`posguard reproduce --json`."""

    dry_run: bool = Field(description="whether only the plan is shown and nothing was written")
    plan: RacePlan = Field(description="what was asked for")
    held: bool | None = Field(description="whether every invariant held in every run; null in a dry run")
    result: RaceTally | None = Field(description="what came of it; null in a dry run")
