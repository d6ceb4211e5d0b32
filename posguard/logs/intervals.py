"""How far a count may lie from its mean: the exact interval of a Poisson mean. Pure, standard library only."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIDENCE = 0.95
_EXACT_UP_TO = 1000
_STEPS = 80


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The bounds within which the mean lies that gave `count` events, with at least this confidence.

    Garwood's exact interval (F. Garwood, Biometrika 28, 1936): the means under which so many events or more, and so many or
    fewer, have half of what is left of the confidence each. Above 1 000 events Byar's approximation to it (N. E. Breslow and N. E. Day, Statistical
    Methods in Cancer Research II, 1987, equations 2.10 and 2.11), which differs from it there by less than one in 10 000.
    """
    tail = (1 - confidence) / 2
    if count > _EXACT_UP_TO:
        return _byar(count, NormalDist().inv_cdf(1 - tail))
    low = 0.0 if count == 0 else _solve(lambda mean: 1 - _at_most(count - 1, mean) < tail, 0.0, float(count))
    high = _solve(
        lambda mean: _at_most(count, mean) > tail, float(count), count + 10 * math.sqrt(count + 1) + 10
    )
    return low, high


def _byar(count: int, z: float) -> tuple[float, float]:
    low = count * (1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3
    above = count + 1
    return low, above * (1 - 1 / (9 * above) + z / (3 * math.sqrt(above))) ** 3


def _at_most(count: int, mean: float) -> float:
    """The chance of `count` events or fewer."""
    if mean <= 0:
        return 1.0
    logarithm = math.log(mean)
    return math.fsum(math.exp(k * logarithm - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _solve(left_of_it: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds on the left stops to hold."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if left_of_it(middle) else (low, middle)
    return (low + high) / 2


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the values lies, between the two nearest ones in proportion, as NumPy and
    PostgreSQL's percentile_cont have it. `ordered` ascends and is not empty.
    """
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
