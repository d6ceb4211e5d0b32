"""A chart over time as numbers for an SVG: stacked bars, or lines that break where nobody knows the value. Pure; the template draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.report.document import Chart

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 150, 52, 8, 22
_PART = 0.62  # of a bar's room that the bar takes
_LABELS = 13  # at most along the axis


@dataclass(frozen=True, slots=True)
class Box:
    """One part of a bar."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Stroke:
    """One unbroken piece of a line, as the points of a polyline."""

    points: str
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A label with its place on an axis."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing on a canvas of width × height units. `empty` means that no value is known; `words` say the same to a screen reader."""

    width: int
    height: int
    left: int
    base: int
    boxes: tuple[Box, ...]
    strokes: tuple[Stroke, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    empty: bool
    words: str


def plot(chart: Chart) -> Plot:
    """The drawing of a chart. Negative values are drawn below the line of zero."""
    low, high = _range(chart)
    room = HEIGHT - TOP - BOTTOM
    scale = room / (high - low)

    def y(value: float) -> float:
        return round(TOP + (high - value) * scale, 2)

    step = (WIDTH - LEFT) / max(len(chart.labels), 1)
    every = -(-len(chart.labels) // _LABELS) or 1
    across = tuple(
        Mark(round(LEFT + (n + 0.5) * step, 1), label)
        for n, label in enumerate(chart.labels)
        if n % every == 0
    )
    return Plot(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        base=round(y(0)),
        boxes=() if chart.lines else _boxes(chart, step, y(0), scale),
        strokes=_strokes(chart, step, [[None if v is None else y(v) for v in s.values] for s in chart.series])
        if chart.lines
        else (),
        across=across,
        up=tuple(Mark(y(value), f"{value:g}") for value in sorted({low, 0.0, (low + high) / 2, high})),
        empty=all(value is None for one in chart.series for value in one.values),
        words=_words(chart),
    )


def _range(chart: Chart) -> tuple[float, float]:
    places = range(len(chart.labels))
    if chart.lines:
        known = [v for one in chart.series for v in one.values if v is not None]
        low, high = min([0.0, *known]), max([0.0, *known])
    else:
        low = min([0.0, *(sum(min(s.values[n] or 0.0, 0.0) for s in chart.series) for n in places)])
        high = max([0.0, *(sum(max(s.values[n] or 0.0, 0.0) for s in chart.series) for n in places)])
    return (-_round_up(-low) if low < 0 else 0.0), (_round_up(high) if high > 0 or low == 0 else 0.0)


def _round_up(value: float) -> float:
    """The next number that halves well: 1, 2, 4, 6, 8, 10, 20, 40 and so on, tenths where everything is below one."""
    unit = 1.0
    while value > 10 * unit:
        unit *= 10
    while value and value <= unit / 10:
        unit /= 10
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value - 1e-12)


def _boxes(chart: Chart, step: float, zero: float, scale: float) -> tuple[Box, ...]:
    width = round(step * _PART, 2)
    boxes = []
    for place, label in enumerate(chart.labels):
        above = below = zero
        x = round(LEFT + place * step + (step - width) / 2, 2)
        for one in chart.series:
            value = one.values[place]
            if not value:
                continue
            height = round(abs(value) * scale, 2)
            top = above - height if value > 0 else below
            above, below = (top, below) if value > 0 else (above, below + height)
            boxes.append(Box(x, round(top, 2), width, height, one.tone, f"{label}: {value:g} {one.name}"))
    return tuple(boxes)


def _strokes(chart: Chart, step: float, heights: Sequence[Sequence[float | None]]) -> tuple[Stroke, ...]:
    strokes = []
    for one, values in zip(chart.series, heights, strict=True):
        piece: list[str] = []
        for place, height in enumerate((*values, None)):
            if height is not None:
                piece.append(f"{round(LEFT + (place + 0.5) * step, 1)},{height}")
            elif piece:
                # a value whose neighbours are unknown still shows
                points = piece if len(piece) > 1 else [piece[0], piece[0]]
                strokes.append(Stroke(" ".join(points), one.tone, one.name))
                piece = []
    return tuple(strokes)


def _words(chart: Chart) -> str:
    said = []
    for one in chart.series:
        known = [v for v in one.values if v is not None]
        if known:
            said.append(f"{one.name} between {min(known):g} and {max(known):g}")
        else:
            said.append(f"{one.name} not known")
    return f"{chart.title}: {', '.join(said)}."
