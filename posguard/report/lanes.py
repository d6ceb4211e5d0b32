"""A race as a drawing: each actor a lane, each line of the log a numbered mark, the window shaded, the gap measured. Pure.

The drawing spans the race itself, from its first create to its error or last create, with some room on both sides; what lies
outside is in the table beside it alone. A narrow drawing tells the same on a phone. Nothing but rectangles, lines and texts, so that it needs no script and no inline style.
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

WIDTH, NARROW, LEFT, RIGHT = 960, 400, 106, 24
_TOP, _LANE, _BOTTOM = 34, 58, 26
_ROW = 18  # between the rows of marks in one lane
_ROWS = 3  # that a lane has room for as it is
_TICK = 80  # units that a tick's label wants at least
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
# What each tone means, in the order of the legend.
LEGEND = {
    "create": "row created",
    "leaves": "leaves the index",
    "enters": "into the index",
    "sync": "synchroniser's pass",
    "rollback": "rollback",
    "error": "duplicate-key error",
    "plain": "other line",
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
    legend: tuple[tuple[str, str], ...]
    words: str


def draw(race: Race, *, width: int = WIDTH) -> Drawing:
    """The drawing of a race, `width` units wide: WIDTH, or NARROW for a phone."""
    since, until = _bounds(race)
    scale = (width - LEFT - RIGHT) / (until - since).total_seconds()

    def x(at: datetime) -> float:
        return round(LEFT + (at - since).total_seconds() * scale, 1)

    numbered = list(enumerate(race.moments, 1))
    seen = [(n, m) for n, m in numbered if since <= m.at <= until]
    lanes, bottom = [], float(_TOP)
    for actor in (a for a in _ORDER if any(m.actor is a for _, m in seen)):
        marks = [(n, m, x(m.at)) for n, m in seen if m.actor is actor]
        rows = _rows([place for *_, place in marks])
        height = _LANE + _ROW * max(0, max(rows) + 1 - _ROWS)
        middle = bottom + height / 2
        bottom += height
        lanes.append(Lane(NAMES[actor], middle, _dots(marks, rows, middle)))
    window = None
    if race.window is not None:
        first, last = x(race.creates[0].at), x(race.creates[-1].at)
        window = Span(first, max(round(last - first, 1), 1.0), spell_gap(race.window))
    tones = {TONES[m.mark] for _, m in seen}
    return Drawing(
        width=width,
        height=round(max(bottom, _TOP + _LANE) + _BOTTOM),
        left=LEFT,
        right=width - RIGHT,
        lanes=tuple(lanes),
        ticks=_ticks(race, since, until, x),
        window=window,
        lines=tuple(_line(n, m, race, drawn=since <= m.at <= until) for n, m in numbered),
        legend=tuple((tone, text) for tone, text in LEGEND.items() if tone in tones),
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


def _rows(places: list[float]) -> list[int]:
    """The row of each mark, so that none covers another; the middle one is 0."""
    ends: list[float] = []
    rows = []
    for place in places:
        row = next((r for r, end in enumerate(ends) if place - end >= _APART), len(ends))
        ends[row : row + 1] = [place]
        rows.append(row)
    return rows


def _dots(marks: list[tuple[int, Moment, float]], rows: list[int], middle: float) -> tuple[Dot, ...]:
    """The marks of a lane; rows stand in turn above and below its middle."""
    dots = []
    for (number, moment, x), row in zip(marks, rows, strict=True):
        shift = (row + 1) // 2 * _ROW * (-1 if row % 2 else 1)
        title = f"{moment.at:%H:%M:%S}.{moment.at.microsecond // 1000:03d} {moment.mark} {moment.text}"
        dots.append(Dot(number, x, middle + shift, TONES[moment.mark], title))
    return tuple(dots)


def _ticks(race: Race, since: datetime, until: datetime, x: Callable[[datetime], float]) -> tuple[Tick, ...]:
    start = race.creates[0].at if race.creates else race.at
    span_ms = (until - since) / timedelta(milliseconds=1)
    most = (x(until) - x(since)) / _TICK
    step = next((s for s in _STEPS_MS if span_ms / s <= most), _STEPS_MS[-1])
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
