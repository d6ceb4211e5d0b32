"""What differs from exchange to exchange and is data: names, addresses' options, limits, weights, codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from posguard.exchange.outcomes import OutcomeTable


@dataclass(frozen=True, slots=True)
class VenueTable:
    """One exchange's table.

    `weights` maps each ccxt endpoint method that posguard calls to its request weight with a symbol and without one; a
    method that is not in it is never called. The budget is `limit` weight per `window` seconds and address. `market_list`
    is the path to the list in each answer about markets. `key_codes`, `clock_codes` and `rate_codes` are the venue's own
    error codes. Fills older than `history` are not kept by the venue, orders
    not longer than `orders`, those that never traded not longer than `unfilled`; one question spans at most `span`. `pause` reads
    the venue's own counters in an answer's headers (names in lower case; our time in ms): the seconds to send nothing for,
    and why; None to go on.
    """

    exchange: str
    title: str
    ccxt_class: str
    limit: int
    window: float
    weights: Mapping[str, tuple[int, int]]
    market_list: tuple[str, ...]
    key_codes: frozenset[str]
    clock_codes: frozenset[str]
    rate_codes: frozenset[str]
    history: timedelta
    span: timedelta
    orders: timedelta
    unfilled: timedelta
    outcomes: OutcomeTable
    pause: Callable[[Mapping[str, str], int], tuple[float, str] | None]
    options: Mapping[str, Any] = field(default_factory=dict)
    has: Mapping[str, bool] = field(default_factory=dict)

    def weight(self, method: str, params: Mapping[str, Any]) -> int:
        """The weight of one call. Raises KeyError for a method that is not in the table."""
        with_symbol, without = self.weights[method]
        return with_symbol if "symbol" in params else without
