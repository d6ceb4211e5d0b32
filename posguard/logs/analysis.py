"""One analysis of the bot's logs: the events gathered once, then races and numbers from them. Pure but for reading the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.logs.correlate import Correlator, PositionEvent, correlate, tells_of_position
from posguard.logs.creates import creates
from posguard.logs.races import DuplicateError, duplicate_errors, races_and_undecided
from posguard.logs.statistics import HOLE, UPDATES, Pairs, Tally, statistics
from posguard.logs.windows import calm_cut
from posguard.model.log_event import LogEvent
from posguard.model.log_statistics import Statistics
from posguard.model.race import Race
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

EVERYTHING = Scope()
# So many events about positions are judged together, or more up to the next calm.
STRETCH = 20_000
_MOST = 10


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
class _Found:
    """What was found in the stretches judged so far, within a scope.

    What a record does not say and its neighbours cannot lend is left in: an error of an unknown symbol may be the one that is
    looked for.
    """

    zones: Mapping[str, str]
    scope: Scope
    races: list[Race] = field(default_factory=list)
    undecided: list[Race] = field(default_factory=list)
    errors: list[DuplicateError] = field(default_factory=list)
    pairs: Pairs = field(default_factory=Pairs)
    creates: int = 0
    updates: int = 0

    def judge(self, told: tuple[PositionEvent, ...]) -> tuple[PositionEvent, ...]:
        """Looks for races in a stretch; the events of it that are within the scope."""
        scope = self.scope
        made = creates(told)
        errors = duplicate_errors(told)
        races, undecided = races_and_undecided(told, made, self.zones, errors)
        self.races += (r for r in races if _covers(scope, r.symbol or None, r.exchange))
        self.undecided += (r for r in undecided if _covers(scope, r.symbol, r.exchange))
        self.errors += (e for e in errors if _covers(scope, e.symbol, e.exchange))
        self.creates += sum(_covers(scope, c.symbol or None, c.exchange) for c in made)
        self.updates += sum(e.kind in UPDATES for e in told)
        events = told if scope.whole else tuple(e for e in told if _covers(scope, e.symbol, e.exchange))
        self.pairs.take(events)
        return events

    def analysis(
        self,
        tally: Tally,
        events: tuple[PositionEvent, ...],
        *,
        total_lines: int | None,
        parsed_entries: int | None,
        levels: Mapping[str, int] | None,
    ) -> Analysis:
        """All of it, with the numbers."""
        numbers = statistics(
            tally,
            self.errors,
            self.pairs,
            creates=self.creates,
            updates=self.updates,
            total_lines=total_lines,
            parsed_entries=parsed_entries,
            levels=levels,
        )
        return Analysis(numbers, tuple(self.races), tuple(self.undecided), events)


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
        """The analysis of what was gathered; `scope` leaves out errors, creates, races and events of other symbols and exchanges."""
        found = _Found(zones, scope)
        events = found.judge(correlate(self.kept))
        return found.analysis(
            self.tally, events, total_lines=total_lines, parsed_entries=parsed_entries, levels=levels
        )


class Stepwise:
    """The events of one source while they are read, judged as they come, so that memory holds a stretch of them.

    What it concludes is what `Gathered` does, but for the events, which `each` hears stretch by stretch. A stretch ends where the
    log is calm; after ten times its size it ends in the longest pause, where a race is torn apart that lies on both sides. Ids and
    exchanges are known from all that was read by then: the stretch, all before it, and another stretch behind it. `went_back` says that the log goes back in
    time to what is judged already: then what is concluded proves nothing, and all has to be gathered at once.
    """

    def __init__(
        self,
        zones: Mapping[str, str],
        scope: Scope = EVERYTHING,
        *,
        each: Callable[[tuple[PositionEvent, ...]], object] = lambda _: None,
        stretch: int | None = None,
    ) -> None:
        self.tally = Tally()
        self.went_back = False
        # The records of the errors found, which the lines around them are asked for.
        self.kept: list[LogEvent] = []
        self.stretches = 0
        self._found = _Found(zones, scope)
        self._correlator = Correlator()
        self._each = each
        self._stretch = self._full = STRETCH if stretch is None else stretch
        self._waiting: list[LogEvent] = []
        self._judged_up_to: datetime | None = None

    def take(self, events: Iterable[LogEvent]) -> None:
        """Takes the next events, in the order of their lines."""
        count, wait, hear = self.tally.take, self._waiting.append, self._correlator.hear
        since = self._judged_up_to
        for event in events:
            count(event)
            if tells_of_position(event):
                wait(event)
                hear(event)
                if since is not None and event.at <= since:
                    self.went_back = True
        if len(self._waiting) >= self._full + self._stretch:
            forced = self._full >= _MOST * self._stretch
            self._judge(calm_cut(self._waiting[: self._full], forced=forced))
            self._full = max(len(self._waiting), self._stretch)

    def conclude(
        self, *, total_lines: int | None, parsed_entries: int | None, levels: Mapping[str, int] | None = None
    ) -> Analysis:
        """The analysis of what was taken, without the events."""
        self._judge(len(self._waiting))
        return self._found.analysis(
            self.tally, (), total_lines=total_lines, parsed_entries=parsed_entries, levels=levels
        )

    def _judge(self, size: int) -> None:
        if not size:
            return
        stretch = self._waiting[:size]
        del self._waiting[:size]
        before = len(self._found.races)
        self._each(self._found.judge(self._correlator.told(stretch)))
        self._judged_up_to = max(event.at for event in stretch)
        self.stretches += 1
        errors = {(r.source, r.errors[0]) for r in self._found.races[before:] if r.errors}
        self.kept += (event for event in stretch if (event.source, event.offset) in errors)


def _covers(scope: Scope, symbol: str | None, exchange: str | None) -> bool:
    if scope.exchange and exchange is not None and exchange != scope.exchange:
        return False
    return not scope.symbol or symbol is None or symbol == scope.symbol
