"""What a log holds, in numbers: errors by symbol, exchange and hour, how many a day that means, latencies, and holes in the log. Pure.

Errors are duplicate-key errors. Rates count the time that the log covers: what lies in a hole was not watched, so it makes no rate
smaller. A rate without a covered time is None, never 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from posguard.logs.intervals import percentile, poisson_interval
from posguard.model.log_event import LogEvent, LogKind
from posguard.model.log_statistics import Hole, Latency, Statistics
from posguard.model.symbol import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.logs.correlate import PositionEvent
    from posguard.logs.races import DuplicateError

HOLE = timedelta(minutes=30)
UPDATES = frozenset({LogKind.UPDATED, LogKind.ACTIVATED})
_HOURS_A_DAY = 24
_PAIR_WAITS = timedelta(seconds=60)  # for the line that ends what another began
_PAIRS = (
    # name, begins with, ends with
    ("open", LogKind.OPENING, LogKind.ACTIVATED),
    ("entry", LogKind.OPENING, LogKind.ENTRY_PLACED),
    ("stop_loss", LogKind.STOP_PLACING, LogKind.STOP_PLACED),
)
_OF_KIND: Mapping[str, Sequence[tuple[str, LogKind, LogKind]]] = {
    kind: [pair for pair in _PAIRS if kind in pair] for _, *kinds in _PAIRS for kind in kinds
}


@dataclass(slots=True)
class Tally:
    """What is counted while the events pass by, of every kind and one by one, in the order of their sources' lines."""

    hole: timedelta = HOLE
    by_kind: Counter[str] = field(default_factory=Counter)
    by_category: Counter[str] = field(default_factory=Counter)
    by_level: Counter[str] = field(default_factory=Counter)
    symbols: set[str] = field(default_factory=set)
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    holes: list[Hole] = field(default_factory=list)
    spans: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def take(self, event: LogEvent) -> None:
        """Counts one event."""
        self.by_kind[event.kind] += 1
        self.by_category[event.category] += 1
        self.by_level[event.level] += 1
        if event.symbol:
            self.symbols.add(_canonical(event.symbol))
        if event.latency_ms is not None:
            self.latencies[event.fields.get("what") or event.pattern].append(event.latency_ms)
        span = self.spans.get(event.source)
        if span is None:
            self.spans[event.source] = (event.at, event.at)
        elif event.at < span[0]:
            self.spans[event.source] = (event.at, span[1])
        elif event.at > span[1]:
            if event.at - span[1] > self.hole:
                self.holes.append(Hole(event.source, span[1], event.at))
            self.spans[event.source] = (span[0], event.at)

    @property
    def covered(self) -> timedelta:
        """The time that at least one source watches, holes left out."""
        pieces = sorted(piece for source in self.spans for piece in self._pieces(source))
        total, reached = timedelta(), None
        for since, until in pieces:
            start = since if reached is None else max(since, reached)
            total += max(until - start, timedelta())
            reached = until if reached is None else max(reached, until)
        return total

    def _pieces(self, source: str) -> Iterable[tuple[datetime, datetime]]:
        since, until = self.spans[source]
        for hole in self.holes:
            if hole.source == source:
                yield since, hole.since
                since = hole.until
        yield since, until


def statistics(
    tally: Tally,
    errors: Sequence[DuplicateError],
    events: Sequence[PositionEvent] | Pairs,
    *,
    creates: int,
    updates: int,
    total_lines: int | None,
    parsed_entries: int | None,
    levels: Mapping[str, int] | None = None,
) -> Statistics:
    """The numbers of an analysis; of the events it is enough what their pairs took. `levels` are those of all lines where they were counted, else those of the events."""
    hours = tally.covered / timedelta(hours=1)
    low, high = poisson_interval(len(errors))
    a_day = _HOURS_A_DAY / hours if hours else None
    spans = tally.spans.values()
    return Statistics(
        duplicate_errors=len(errors),
        position_creates=creates,
        position_updates=updates,
        total_lines=total_lines,
        parsed_entries=parsed_entries,
        unique_symbols=len(tally.symbols),
        errors_by_symbol=_most(Counter(e.symbol or "unknown" for e in errors)),
        errors_by_exchange=_most(Counter(e.exchange or "unknown" for e in errors)),
        errors_by_hour=dict(sorted(Counter(_hour(e.at) for e in errors).items())),
        errors_per_hour=len(errors) / hours if hours else None,
        errors_per_day=len(errors) * a_day if a_day else None,
        errors_per_day_interval=(low * a_day, high * a_day) if a_day else None,
        levels=_most(Counter(levels) if levels else tally.by_level),
        latency=_latencies(tally.latencies, events),
        categories=_most(tally.by_category),
        kinds=_most(tally.by_kind),
        holes=tuple(tally.holes),
        first=min((first for first, _ in spans), default=None),
        last=max((last for _, last in spans), default=None),
        covered=tally.covered,
    )


_canonical = lru_cache(maxsize=4096)(canonical_symbol)


def _most(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _latencies(
    said: Mapping[str, list[float]], events: Sequence[PositionEvent] | Pairs
) -> dict[str, Latency]:
    measured = {name: list(values) for name, values in said.items()}
    pairs = events
    if not isinstance(pairs, Pairs):
        pairs = Pairs()
        pairs.take(events)  # type: ignore[arg-type]  # no pairs, so events
    for name, values in pairs.took.items():
        measured.setdefault(name, values)
    return {name: _latency(sorted(values)) for name, values in sorted(measured.items()) if values}


def _latency(ordered: list[float]) -> Latency:
    p50, p95, p99 = (percentile(ordered, share) for share in (0.50, 0.95, 0.99))
    return Latency(len(ordered), p50, p95, p99, ordered[-1])


class Pairs:
    """Milliseconds from each line that begins something to the line that ends it: of the same symbol or, where the end names
    none, of the only one under way.
    """

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {name: [] for name, _, _ in _PAIRS}
        self._begun: dict[str, dict[tuple[str, str], datetime]] = {name: {} for name, _, _ in _PAIRS}

    def take(self, events: Iterable[PositionEvent]) -> None:
        """Takes events in order of time, or a further part of them."""
        for event in events:
            for name, begins, ends in _OF_KIND.get(event.kind, ()):
                if event.kind == begins:
                    if event.symbol:
                        self._begun[name][event.source, event.symbol] = event.at
                elif event.kind == ends:
                    self._ended(name, event)

    def _ended(self, name: str, event: PositionEvent) -> None:
        begun = {key: at for key, at in self._begun[name].items() if event.at - at <= _PAIR_WAITS}
        self._begun[name] = begun
        mine = [key for key in begun if key[0] == event.source and event.symbol in {None, key[1]}]
        if len(mine) == 1:
            self.took[name].append((event.at - begun.pop(mine[0])) / timedelta(milliseconds=1))
