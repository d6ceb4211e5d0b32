"""The numbers of one analysis of the bot's logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something took, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Hole:
    """A time of which a source's log says nothing: from the last event before it to the first after it, in UTC."""

    source: str
    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """How long."""
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Statistics:
    """The numbers of one analysis. `total_lines` and `parsed_entries` are None where they were not counted, and `levels` are then those of the events.

    Hours are in UTC; rates are None where the log covers no time; the day's interval holds 95 %.
    """

    duplicate_errors: int
    position_creates: int
    position_updates: int
    total_lines: int | None
    parsed_entries: int | None
    unique_symbols: int
    errors_by_symbol: Mapping[str, int]
    errors_by_exchange: Mapping[str, int]
    errors_by_hour: Mapping[datetime, int]
    errors_per_hour: float | None
    errors_per_day: float | None
    errors_per_day_interval: tuple[float, float] | None
    levels: Mapping[str, int]
    latency: Mapping[str, Latency]
    categories: Mapping[str, int]
    kinds: Mapping[str, int]
    holes: Sequence[Hole]
    first: datetime | None
    last: datetime | None
    covered: timedelta
