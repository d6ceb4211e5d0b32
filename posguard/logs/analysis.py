"""One analysis of the bot's logs: the events gathered once, then races and numbers from them. Pure but for reading the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.logs.correlate import PositionEvent, correlate, tells_of_position
from posguard.logs.creates import creates
from posguard.logs.races import duplicate_errors, races_and_undecided
from posguard.logs.statistics import HOLE, UPDATES, Tally, statistics
from posguard.model.log_event import LogEvent
from posguard.model.log_statistics import Statistics
from posguard.model.race import Race
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an analysis found. `undecided` are creates that race only if they are on one exchange, which the log does not say;
    `events` are those about positions, completed from their neighbours.
    """

    statistics: Statistics
    races: tuple[Race, ...]
    undecided: tuple[Race, ...]
    events: tuple[PositionEvent, ...]

    @property
    def surfaced(self) -> tuple[Race, ...]:
        """The races that ended in a duplicate-key error, one for each error."""
        return tuple(race for race in self.races if race.surfaced)

    @property
    def silent(self) -> tuple[Race, ...]:
        """The double creates that left no error."""
        return tuple(race for race in self.races if not race.surfaced)


@dataclass(slots=True)
class Gathered:
    """The events of all sources while they are read: counted one and all, and kept where they are about positions."""

    hole: timedelta = HOLE
    tally: Tally = field(init=False)
    kept: list[LogEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tally = Tally(self.hole)

    def take(self, events: Iterable[LogEvent]) -> None:
        """Takes the events of one source, or a further part of them, in the order of their lines."""
        count, keep = self.tally.take, self.kept.append
        for event in events:
            count(event)
            if tells_of_position(event):
                keep(event)

    def conclude(
        self,
        *,
        zones: Mapping[str, str],
        scope: Scope = EVERYTHING,
        total_lines: int | None,
        parsed_entries: int | None,
        levels: Mapping[str, int] | None = None,
    ) -> Analysis:
        """The analysis of what was gathered; `scope` leaves out errors, creates, races and events of other symbols and exchanges.

        What a record does not say and its neighbours cannot lend is left in: an error of an unknown symbol may be the one
        that is looked for.
        """
        told = correlate(self.kept)
        made = creates(told)
        errors = duplicate_errors(told)
        races, undecided = races_and_undecided(told, made, zones, errors)
        errors = [e for e in errors if _covers(scope, e.symbol, e.exchange)]
        events = told if scope.whole else tuple(e for e in told if _covers(scope, e.symbol, e.exchange))
        numbers = statistics(
            self.tally,
            errors,
            events,
            creates=sum(_covers(scope, c.symbol or None, c.exchange) for c in made),
            updates=sum(e.kind in UPDATES for e in told),
            total_lines=total_lines,
            parsed_entries=parsed_entries,
            levels=levels,
        )
        return Analysis(
            numbers,
            tuple(r for r in races if _covers(scope, r.symbol or None, r.exchange)),
            tuple(r for r in undecided if _covers(scope, r.symbol, r.exchange)),
            events,
        )


def _covers(scope: Scope, symbol: str | None, exchange: str | None) -> bool:
    if scope.exchange and exchange is not None and exchange != scope.exchange:
        return False
    return not scope.symbol or symbol is None or symbol == scope.symbol
