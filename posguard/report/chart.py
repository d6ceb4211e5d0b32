"""The trend over runs as numbers for an SVG: one bar a run, stacked by severity. Pure; the template draws it.

Nothing but rectangles, so that it needs no script, no inline style and no picture library in the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.model.finding import Severity
from posguard.model.run import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.run import StoredRun

HEIGHT, BAR, GAP, LEFT = 96, 10, 3, 34
_FLOOR = 5  # a run without findings still shows


@dataclass(frozen=True, slots=True)
class Block:
    """One rectangle of a bar. `tone` is the class that colours it."""

    tone: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One run. `label` is what a pointer or a screen reader gets."""

    run: StoredRun
    x: int
    label: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    """The bars, oldest first, on a canvas of width × height units; `top` is the number at the top line."""

    bars: tuple[Bar, ...]
    width: int
    height: int
    left: int
    top: int


def trend(runs: Sequence[StoredRun], *, slots: int = 72) -> Trend:
    """The trend of runs given newest first; the newest stands at the right edge."""
    shown = list(reversed(runs[:slots]))
    top = _round_up(max((_total(run) for run in shown), default=0))
    start = LEFT + (slots - len(shown)) * (BAR + GAP)
    bars = tuple(
        Bar(run, start + place * (BAR + GAP), _label(run), _blocks(run, top))
        for place, run in enumerate(shown)
    )
    return Trend(bars, LEFT + slots * (BAR + GAP), HEIGHT, LEFT, top)


def tone(run: StoredRun) -> str:
    """The colour class of a run as a whole: grey unless it was complete."""
    if run.outcome is RunOutcome.RUNNING:
        return "running"
    if not run.conclusive:
        return "inconclusive"
    if run.counts.get("critical"):
        return "critical"
    return "warning" if run.counts.get("warning") else "clear"


def _blocks(run: StoredRun, top: int) -> tuple[Block, ...]:
    numbers = [(s.value, run.counts.get(s.value, 0)) for s in reversed(Severity)]
    if not sum(number for _, number in numbers):
        return (Block(tone(run), HEIGHT - _FLOOR, _FLOOR),)
    grey = not run.conclusive
    blocks, y = [], float(HEIGHT)
    for severity, number in numbers:
        if number:
            height = round(number / top * (HEIGHT - 8), 2)
            y -= height
            blocks.append(Block("inconclusive" if grey else severity, round(y, 2), height))
    return tuple(blocks)


def _label(run: StoredRun) -> str:
    counts = ", ".join(f"{run.counts.get(s.value, 0)} {s.value}" for s in Severity)
    return f"Run {run.id}, {run.started_at:%Y-%m-%d %H:%M} UTC: {run.outcome}, {counts}"


def _total(run: StoredRun) -> int:
    return sum(run.counts.get(s.value, 0) for s in Severity)


def _round_up(number: int) -> int:
    """The next number that halves well, for an axis: 4, 6, 8, 10, 20, 40, 60, 80, 100, 200 and so on."""
    unit = 1
    while number > 10 * unit:
        unit *= 10
    steps = (4, 6, 8, 10) if unit == 1 else (2, 4, 6, 8, 10)
    return next(step * unit for step in steps if step * unit >= number)
