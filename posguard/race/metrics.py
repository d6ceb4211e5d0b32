"""How long the steps of an open took: spreads of what was measured, None where nothing was."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from posguard.race.signal import Timings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MEASURED = tuple(field.name for field in fields(Timings))


@dataclass(frozen=True, slots=True)
class Spread:
    """Count, and in milliseconds least, mean, P50, P95, P99 (nearest rank) and greatest."""

    count: int
    min: float
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


def spread(seconds: Iterable[float]) -> Spread | None:
    """The spread of some times in seconds; None for none."""
    ordered = sorted(one * 1000 for one in seconds)
    if not ordered:
        return None
    return Spread(
        count=len(ordered),
        min=ordered[0],
        mean=math.fsum(ordered) / len(ordered),
        p50=rank(ordered, 0.50),
        p95=rank(ordered, 0.95),
        p99=rank(ordered, 0.99),
        max=ordered[-1],
    )


def rank(ordered: Sequence[float], share: float) -> float:
    """The least value that at least `share` of the ordered values do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def spreads(timings: Iterable[Timings]) -> dict[str, Spread | None]:
    """The spread of each measured step; a step that a core does not tell is None, not zero."""
    kept = tuple(timings)
    return {
        name: spread(value for one in kept if (value := getattr(one, name)) is not None) for name in MEASURED
    }
