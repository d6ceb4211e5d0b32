"""Which pass through the repeated hour a stretch of log belongs to, decided when the hour is over. Pure.

Stretches inside the hour wait until the log leaves it: only then is it known whether the clock was seen going back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from posguard.logs.zones import JITTER, Span, instant, plain, repeated

_FAR = timedelta(days=10_000)
# With no jump back in sight, a neighbour farther away than this proves nothing about the pass.
_JOINS = timedelta(minutes=5)

Place = tuple[int, int]


@dataclass(slots=True)
class Held:
    """A stretch and its decisions: from the byte on, lines belong to the first (0) or second (1) pass."""

    number: int
    first: int
    span: Span
    switches: list[tuple[int, int]] = field(default_factory=list)


class Folds:
    """Takes the stretches of a log in order, and gives each back once its passes are decided.

    `guessed` counts repeated hours of which only one pass was seen and nothing near told which.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.guessed = 0
        self._zone = zone
        self._last = b""
        self._held: list[Held] = []
        self._entered: Place | None = None
        self._gap = _FAR
        self._jump: tuple[timedelta, Place] | None = None
        self._number = 0

    def take(self, first: int, span: Span) -> Iterator[Held]:
        """Takes the next stretch, which begins at byte `first` of its file; gives those that are decided, in order."""
        held = Held(self._number, first, span)
        self._number += 1
        self._held.append(held)
        if span.first:
            if span.edges or self._entered is not None or self._within(span.first):
                self._look(held)
            self._last = span.last
        if self._entered is None:
            yield from self._held
            self._held = []

    def end(self) -> Iterator[Held]:
        """Gives what is left when the log ends within the hour."""
        if self._entered is not None:
            self._decide(_FAR, None)
        yield from self._held
        self._held = []

    def _look(self, held: Held) -> None:
        self._step((held.number, held.first), held.span.first, self._last)
        for edge in held.span.edges:
            if edge.before:
                self._step((held.number, edge.offset), edge.at, edge.before)

    def _within(self, text: bytes) -> bool:
        naive = instant(text) if text else None
        window = repeated(self._zone, naive.date()) if naive else None
        return window is not None and window[0] <= plain(text) < window[1]

    def _step(self, place: Place, at: bytes, before: bytes) -> None:
        now, was = self._within(at), self._entered is not None
        if now and not was:
            self._entered, self._jump = place, None
            self._gap = _apart(before, at)
        elif now:
            back = _apart(at, before)
            if timedelta(0) < back < _FAR and back > JITTER and (self._jump is None or back > self._jump[0]):
                self._jump = back, place
        elif was:
            self._decide(_apart(before, at), place)

    def _decide(self, gap: timedelta, left: Place | None) -> None:
        """The pass of what was held: by the jump back; without one, by the side that the hour's lines join on to."""
        assert self._entered is not None
        if self._jump is not None:
            self._switch(self._jump[1], 1)
        else:
            if gap < self._gap:
                self._switch(self._entered, 1)
            self.guessed += min(gap, self._gap) > _JOINS
        if left is not None:
            self._switch(left, 0)
        self._entered = None

    def _switch(self, place: Place, fold: int) -> None:
        start = self._held[0].number
        number, offset = place
        self._held[number - start].switches.append((offset, fold))
        for later in self._held[number - start + 1 :]:
            later.switches.append((later.first, fold))


def _apart(earlier: bytes, later: bytes) -> timedelta:
    low, high = instant(earlier) if earlier else None, instant(later) if later else None
    if low is None or high is None:
        return _FAR
    return high - low if high >= low else -(low - high)
