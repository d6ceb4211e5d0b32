"""The JSON of `posguard logs analyze` and `posguard logs investigate`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.logs.analysis import Analysis
    from posguard.logs.correlate import PositionEvent
    from posguard.model.log_statistics import Latency, Statistics
    from posguard.model.race import Create, Moment, Race


class LatencyShape(Shape):
    """How long something took, in milliseconds."""

    count: int = Field(description="how often it was measured")
    p50: float = Field(description="half of them took no longer")
    p95: float = Field(description="95 % took no longer")
    p99: float = Field(description="99 % took no longer")
    max: float = Field(description="the longest")

    @classmethod
    def of(cls, latency: Latency) -> LatencyShape:
        """The shape of a latency."""
        return cls(count=latency.count, p50=latency.p50, p95=latency.p95, p99=latency.p99, max=latency.worst)


class LogStatistics(Shape):
    """The numbers of an analysis. Errors are duplicate-key errors, each counted once however many records it left."""

    duplicate_errors: int = Field(description="duplicate-key errors")
    position_creates: int = Field(
        description="inserts of rows, each counted once however many lines tell of it"
    )
    position_updates: int = Field(description="lines that update or activate a row")
    total_lines: int | None = Field(description="lines read; null with --no-levels")
    parsed_entries: int | None = Field(description="records with a header; null with --no-levels")
    unique_symbols: int = Field(description="symbols named")
    errors_by_symbol: dict[str, int] = Field(description="errors by symbol, most first")
    errors_by_exchange: dict[str, int] = Field(description="errors by exchange, most first")
    errors_by_hour: dict[str, int] = Field(description="errors by hour in UTC, in order of time")
    errors_per_hour: float | None = Field(description="over the time the log covers; null: it covers none")
    errors_per_day_projected: float | None = Field(description="the same for 24 hours")
    errors_per_day_interval: tuple[float, float] | None = Field(
        description="the 95 % interval of that (Poisson, exact)"
    )
    levels: dict[str, int] = Field(description="records by level; with --no-levels the events")
    latency: dict[str, LatencyShape] = Field(description="by what was measured")
    events_by_kind: dict[str, int] = Field(description="events by kind, most first")
    events_by_category: dict[str, int] = Field(description="events by category, most first")

    @classmethod
    def of(cls, numbers: Statistics) -> LogStatistics:
        """The shape of statistics."""
        return cls(
            duplicate_errors=numbers.duplicate_errors,
            position_creates=numbers.position_creates,
            position_updates=numbers.position_updates,
            total_lines=numbers.total_lines,
            parsed_entries=numbers.parsed_entries,
            unique_symbols=numbers.unique_symbols,
            errors_by_symbol=dict(numbers.errors_by_symbol),
            errors_by_exchange=dict(numbers.errors_by_exchange),
            errors_by_hour={f"{at:%Y-%m-%d %H:00}": n for at, n in numbers.errors_by_hour.items()},
            errors_per_hour=numbers.errors_per_hour,
            errors_per_day_projected=numbers.errors_per_day,
            errors_per_day_interval=numbers.errors_per_day_interval,
            levels=dict(numbers.levels),
            latency={name: LatencyShape.of(one) for name, one in numbers.latency.items()},
            events_by_kind=dict(numbers.kinds),
            events_by_category=dict(numbers.categories),
        )


class TimelineLine(Shape):
    """One line of the time before a race."""

    timestamp: datetime = Field(description="UTC")
    seconds_before: float = Field(description="seconds before the error, or before the last create")
    actor: str = Field(description="signal, sync, recovery, cleanup or unknown")
    mark: str = Field(
        description="CREATE, UPDATE leaving the index, UPDATE into the index, SYNC, ROLLBACK, DUPLICATE or empty"
    )
    event: str = Field(description="what the line says")
    position_id: int | None = Field(description="the row it names")
    inferred: tuple[str, ...] = Field(description="fields that come from neighbouring lines")

    @classmethod
    def of(cls, moment: Moment, race: Race) -> TimelineLine:
        """The shape of a moment."""
        return cls(
            timestamp=moment.at,
            seconds_before=round((race.at - moment.at).total_seconds(), 3),
            actor=moment.actor,
            mark=moment.mark,
            event=moment.text,
            position_id=moment.position_id,
            inferred=moment.inferred,
        )


class CreateShape(Shape):
    """One insert of a row."""

    timestamp: datetime = Field(description="UTC: when the log says that the row is there")
    actor: str = Field(description="signal, sync, recovery, cleanup or unknown")
    position_id: int | None = Field(description="the row; null where no line names it")
    inferred: tuple[str, ...] = Field(description="fields that come from neighbouring lines")

    @classmethod
    def of(cls, create: Create) -> CreateShape:
        """The shape of a create."""
        return cls(
            timestamp=create.at,
            actor=create.actor,
            position_id=create.position_id,
            inferred=create.inferred,
        )


class RaceShape(Shape):
    """A race: an error with what led to it, or two creates that left no error."""

    timestamp: datetime = Field(description="UTC: the error, or the last create where there was none")
    host_time: datetime = Field(description="the same on the host's clock, with its offset")
    zone: str = Field(description="the host's zone")
    symbol: str | None = Field(description="canonical; null where the log does not say")
    exchange: str | None = Field(description="null where the log does not say")
    scenario: str = Field(description="A, B, C, D or unknown")
    confidence: str = Field(description="high, medium or low")
    reason: str = Field(description="why")
    window_seconds: float | None = Field(
        description="between the first create and the last; null: fewer than two"
    )
    concurrent: bool = Field(description="two creates less than five seconds apart")
    creates: tuple[CreateShape, ...] = Field(description="the inserts, in order of time")
    records: int = Field(description="how many records the error left; 0 where there was none")
    context_before: tuple[str, ...] = Field(description="the ten lines before the error, as they stand")
    context_after: tuple[str, ...] = Field(description="the ten lines after it")
    context_timeline: tuple[TimelineLine, ...] = Field(description="the ten seconds before, line by line")

    @classmethod
    def of(cls, race: Race, before: Sequence[str] = (), after: Sequence[str] = ()) -> RaceShape:
        """The shape of a race."""
        return cls(
            timestamp=race.at,
            host_time=race.at.astimezone(ZoneInfo(race.zone)),
            zone=race.zone,
            symbol=race.symbol or None,
            exchange=race.exchange,
            scenario=race.scenario,
            confidence=race.confidence,
            reason=race.reason,
            window_seconds=race.window.total_seconds() if race.window is not None else None,
            concurrent=race.concurrent,
            creates=tuple(CreateShape.of(create) for create in race.creates),
            records=len(race.errors),
            context_before=tuple(before),
            context_after=tuple(after),
            context_timeline=tuple(TimelineLine.of(moment, race) for moment in race.moments),
        )


class PositionEventShape(Shape):
    """One record about a position, with what its neighbours add."""

    timestamp: datetime = Field(description="UTC")
    kind: str = Field(description="created, updated, sync_added, rollback …")
    position_id: int | None = Field(description="the row")
    symbol: str | None = Field(description="canonical")
    exchange: str | None = Field(description="binance or bybit")
    status: str | None = Field(description="the status it sets")
    source: str = Field(description="the declared source")
    offset: int = Field(description="the record's place in its file, uncompressed, in bytes")
    inferred: tuple[str, ...] = Field(description="fields that come from neighbouring lines")

    @classmethod
    def of(cls, event: PositionEvent) -> PositionEventShape:
        """The shape of a position event."""
        return cls(
            timestamp=event.at,
            kind=event.kind,
            position_id=event.position_id,
            symbol=event.symbol,
            exchange=event.exchange,
            status=event.status,
            source=event.source,
            offset=event.offset,
            inferred=event.inferred,
        )


class HoleShape(Shape):
    """A time of which a log says nothing."""

    source: str = Field(description="the declared source")
    since: datetime = Field(description="UTC: the last event before it")
    until: datetime = Field(description="UTC: the first event after it")
    seconds: float = Field(description="how long")


class LogAnalysis(Shape):
    """`posguard logs analyze --json`."""

    analysis_timestamp: datetime = Field(description="when it was made, UTC")
    statistics: LogStatistics = Field(description="the numbers")
    duplicate_errors: tuple[RaceShape, ...] = Field(description="the errors, in order of time")
    silent_races: tuple[RaceShape, ...] = Field(description="double creates that left no error")
    undecided_creates: tuple[RaceShape, ...] = Field(
        description="creates of one symbol near each other, of which the log does not say whether they are on one exchange"
    )
    position_events: tuple[PositionEventShape, ...] = Field(description="what happened to positions")
    log_gaps: tuple[HoleShape, ...] = Field(description="times of which a log says nothing")
    damage: tuple[str, ...] = Field(description="what of the files could not be read, and why")
    inconclusive: tuple[str, ...] = Field(
        description="why there may be more races than were found; where it is not empty, the exit code is 3"
    )

    @classmethod
    def of(
        cls,
        analysis: Analysis,
        *,
        at: datetime,
        damage: Sequence[str],
        contexts: Mapping[int, tuple[Sequence[str], Sequence[str]]],
        unknown: Sequence[str],
    ) -> LogAnalysis:
        """The shape of an analysis; `contexts` holds the lines around the nth error."""
        return cls(
            analysis_timestamp=at,
            statistics=LogStatistics.of(analysis.statistics),
            duplicate_errors=tuple(
                RaceShape.of(race, *contexts.get(n, ((), ()))) for n, race in enumerate(analysis.surfaced)
            ),
            silent_races=tuple(RaceShape.of(race) for race in analysis.silent),
            undecided_creates=tuple(RaceShape.of(race) for race in analysis.undecided),
            position_events=tuple(PositionEventShape.of(event) for event in analysis.events),
            log_gaps=tuple(
                HoleShape(source=h.source, since=h.since, until=h.until, seconds=h.length.total_seconds())
                for h in analysis.statistics.holes
            ),
            damage=tuple(damage),
            inconclusive=tuple(unknown),
        )
