"""A race as a drawing: each actor a lane, each line of the log a numbered mark, the window shaded, the gap measured. Pure.

The drawing spans the race itself, from its first create to its error or last create, with some room on both sides; what lies
outside is in the table beside it alone. Nothing but rectangles, lines and texts, so that it needs no script and no inline style.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from posguard.model.race import Actor, Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.model.race import Moment, Race

WIDTH, LEFT, RIGHT = 960, 120, 24
_TOP, _LANE, _BOTTOM = 34, 58, 26
_ROOM = 0.18  # of the span, on either side
_LEAST_ROOM = timedelta(milliseconds=20)
_APART = 20  # units that two marks keep between them in one row
_STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000)
_ORDER = (Actor.SIGNAL, Actor.SYNC, Actor.RECOVERY, Actor.CLEANUP, Actor.UNKNOWN)
NAMES = {
    Actor.SIGNAL: "signal",
    Actor.SYNC: "synchroniser",
    Actor.RECOVERY: "recovery",
    Actor.CLEANUP: "clean-up",
    Actor.UNKNOWN: "not named",
}
TONES = {
    Mark.CREATE: "create",
    Mark.LEAVES_INDEX: "leaves",
    Mark.ENTERS_INDEX: "enters",
    Mark.SYNC: "sync",
    Mark.ROLLBACK: "rollback",
    Mark.ERROR: "error",
    Mark.NONE: "plain",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One numbered mark. `tone` is the class that colours it."""

    number: int
    x: float
    y: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One actor's lane; `y` is its middle."""

    name: str
    y: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """One time on the axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """The shaded window between the first create and the last, and how long it is."""

    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table beside the drawing; `seconds` is negative before the race's time."""

    number: int
    at: datetime
    host: datetime
    seconds: str
    actor: str
    tone: str
    mark: str
    text: str
    inferred: str
    drawn: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing on a canvas of width × height units, its table, and the same in words."""

    width: int
    height: int
    left: int
    right: int
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    window: Span | None
    lines: tuple[Line, ...]
    words: str


def draw(race: Race) -> Drawing:
    """The drawing of a race."""
    since, until = _bounds(race)
    scale = (WIDTH - LEFT - RIGHT) / (until - since).total_seconds()

    def x(at: datetime) -> float:
        return round(LEFT + (at - since).total_seconds() * scale, 1)

    numbered = list(enumerate(race.moments, 1))
    seen = [(n, m) for n, m in numbered if since <= m.at <= until]
    actors = [a for a in _ORDER if any(m.actor is a for _, m in seen)]
    lanes = []
    for place, actor in enumerate(actors):
        middle = _TOP + place * _LANE + _LANE / 2
        dots = _dots([(n, m, x(m.at)) for n, m in seen if m.actor is actor], middle)
        lanes.append(Lane(NAMES[actor], middle, dots))
    window = None
    if race.window is not None:
        first, last = x(race.creates[0].at), x(race.creates[-1].at)
        window = Span(first, max(round(last - first, 1), 1.0), spell_gap(race.window))
    return Drawing(
        width=WIDTH,
        height=_TOP + max(len(lanes), 1) * _LANE + _BOTTOM,
        left=LEFT,
        right=WIDTH - RIGHT,
        lanes=tuple(lanes),
        ticks=_ticks(race, since, until, x),
        window=window,
        lines=tuple(_line(n, m, race, drawn=since <= m.at <= until) for n, m in numbered),
        words=in_words(race),
    )


def in_words(race: Race) -> str:
    """The race in a few sentences: what a screen reader gets in place of the drawing."""
    where = f"{race.symbol or 'an unnamed symbol'} on {race.exchange or 'an exchange the log does not name'}"
    how = "ended in a duplicate-key error" if race.surfaced else "left no error"
    text = f"A race over {where} that {how} at {race.at:%Y-%m-%d %H:%M:%S}.{race.at.microsecond // 1000:03d} UTC."
    for create in race.creates:
        row = (
            f"row #{create.position_id}"
            if create.position_id is not None
            else "a row without an id in the log"
        )
        text += f" The {NAMES[create.actor]} lane created {row} at {create.at:%H:%M:%S}.{create.at.microsecond // 1000:03d}."
    if race.window is not None:
        text += f" Between the first and the last lie {spell_gap(race.window)}."
    return f"{text} {race.reason}"


def spell_gap(length: timedelta) -> str:
    """A gap to the millisecond: `3.756 s`, `34 ms`."""
    ms = round(length / timedelta(milliseconds=1))
    return f"{ms / 1000:.3f} s" if abs(ms) >= 1000 else f"{ms} ms"


def _bounds(race: Race) -> tuple[datetime, datetime]:
    first = min([race.at, *(c.at for c in race.creates)])
    last = max([race.at, *(c.at for c in race.creates)])
    if first == last and race.moments:
        first = race.moments[0].at
    room = max((last - first) * _ROOM, _LEAST_ROOM)
    return first - room, last + room


def _dots(marks: list[tuple[int, Moment, float]], middle: float) -> tuple[Dot, ...]:
    """Marks that would cover each other stand in up to three rows."""
    rows = [float("-inf")] * 3
    dots = []
    for number, moment, x in marks:
        row = next((r for r in range(3) if x - rows[r] >= _APART), min(range(3), key=lambda r: rows[r]))
        rows[row] = x
        title = f"{moment.at:%H:%M:%S}.{moment.at.microsecond // 1000:03d} {moment.mark} {moment.text}"
        dots.append(Dot(number, x, middle + (0, -18, 18)[row], TONES[moment.mark], title))
    return tuple(dots)


def _ticks(race: Race, since: datetime, until: datetime, x: Callable[[datetime], float]) -> tuple[Tick, ...]:
    start = race.creates[0].at if race.creates else race.at
    span_ms = (until - since) / timedelta(milliseconds=1)
    step = next((s for s in _STEPS_MS if span_ms / s <= 9), _STEPS_MS[-1])
    ticks = []
    for n in range(-20, 60):
        at = start + n * timedelta(milliseconds=step)
        if since <= at <= until:
            label = f"{n * step} ms" if step < 1000 else f"{n * step // 1000} s"
            ticks.append(Tick(x(at), f"+{label}" if n > 0 else label))
    return tuple(ticks)


def _line(number: int, moment: Moment, race: Race, *, drawn: bool) -> Line:
    return Line(
        number=number,
        at=moment.at,
        host=moment.at.astimezone(ZoneInfo(race.zone)),
        seconds=f"{(moment.at - race.at).total_seconds():+.3f}",
        actor=NAMES[moment.actor],
        tone=TONES[moment.mark],
        mark=moment.mark.value,
        text=moment.text,
        inferred=", ".join(moment.inferred),
        drawn=drawn,
    )
