"""One snapshot of the monitor: what each measure says of each window. Values only.

A measure without a source says why, and is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from posguard.model.metrics import Measure, Window


@dataclass(frozen=True, slots=True)
class Spread:
    """How long things took, in milliseconds, percentiles between neighbours (as NumPy's default); None where nothing happened."""

    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


Value = int | float | Spread


@dataclass(frozen=True, slots=True)
class Reading:
    """What a measure says of a window: a value in all and by exchange, or `missing`, the reason why nothing is known."""

    total: Value | None
    by_exchange: Mapping[str, Value] = field(default_factory=dict)
    missing: str = ""

    @property
    def number(self) -> float:
        """The total of a known count or gauge. Raises ValueError where it is not known: unknown is not 0."""
        if isinstance(self.total, int | float):
            return self.total
        raise ValueError(self.missing or "a latency is no number")

    def of(self, exchange: str) -> float | None:
        """The count of one exchange: 0 where it is known that nothing was, None where it is not known."""
        value = self.by_exchange.get(exchange, 0 if not self.missing else None)
        return value if isinstance(value, int | float) else None

    def as_json(self) -> dict[str, Any]:
        """The reading as plain values."""
        if self.missing:
            return {"no_source": self.missing}
        return {
            "all": _plain(self.total),
            "by_exchange": {name: _plain(value) for name, value in sorted(self.by_exchange.items())},
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Reading:
        """The reading that `as_json` gave."""
        if "no_source" in told:
            return cls(None, missing=str(told["no_source"]))
        return cls(_value(told["all"]), {name: _value(value) for name, value in told["by_exchange"].items()})


def counted(by_exchange: Mapping[str, int]) -> Reading:
    """A known count: its total is the sum of the exchanges'."""
    return Reading(sum(by_exchange.values()), {name: n for name, n in by_exchange.items() if n})


def unsourced(why: str) -> Reading:
    """A reading of which nothing is known, and why."""
    return Reading(None, missing=why)


def _plain(value: Value | None) -> Any:
    if isinstance(value, Spread):
        return {"count": value.count, "p50": value.p50, "p95": value.p95, "p99": value.p99}
    return value


def _value(told: Any) -> Value:
    return Spread(**told) if isinstance(told, dict) else told


Readings = Mapping[Window, Mapping[Measure, Reading]]


@dataclass(frozen=True, slots=True)
class Unprotected:
    """An open row that records no stop-loss: what an alert names."""

    position_id: int
    exchange: str
    symbol: str
    status: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot of a run, or the record that it was missed. Times are aware UTC.

    `number` counts from 1; `at` is the moment it was due and at which its windows end, `taken_at` the database's clock when
    it was taken. `missed` says why there is none; then nothing else is known.
    """

    number: int
    at: datetime
    taken_at: datetime | None = None
    readings: Readings = field(default_factory=dict)
    unprotected: tuple[Unprotected, ...] = ()
    missed: str = ""

    def reading(self, measure: Measure, window: Window) -> Reading:
        """What a measure says of a window; one without a source where the snapshot holds none."""
        return self.readings.get(window, {}).get(measure) or unsourced(self.missed or "not measured")

    def as_json(self) -> dict[str, Any]:
        """The snapshot as plain values: one line of the JSONL file."""
        head = {
            "number": self.number,
            "at": self.at.isoformat(),
            "state": "missed" if self.missed else "taken",
        }
        if self.missed:
            return {**head, "why": self.missed}
        return {
            **head,
            "taken_at": self.taken_at.isoformat() if self.taken_at else None,
            **{
                window.value: {measure.value: reading.as_json() for measure, reading in readings.items()}
                for window, readings in self.readings.items()
            },
            "unprotected": [
                {
                    "position_id": one.position_id,
                    "exchange": one.exchange,
                    "symbol": one.symbol,
                    "status": one.status,
                    "since": one.since.isoformat() if one.since else None,
                }
                for one in self.unprotected
            ],
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Snapshot:
        """The snapshot that `as_json` gave; measures that this program does not know are left out."""
        taken = told.get("taken_at")
        return cls(
            number=told["number"],
            at=datetime.fromisoformat(told["at"]),
            taken_at=datetime.fromisoformat(taken) if taken else None,
            readings={
                window: {
                    Measure(name): Reading.read(reading)
                    for name, reading in told[window.value].items()
                    if name in set(Measure)
                }
                for window in Window
                if window.value in told
            },
            unprotected=tuple(
                Unprotected(
                    **{**one, "since": datetime.fromisoformat(one["since"]) if one["since"] else None}
                )
                for one in told.get("unprotected", ())
            ),
            missed=told.get("why", ""),
        )


@dataclass(frozen=True, slots=True)
class MonitorRun:
    """A watch of the monitor: from when, for how long, how often. Times are aware UTC; interval is in seconds."""

    id: int
    started_at: datetime
    ends_at: datetime
    interval: float
    log: str = ""
    finished_at: datetime | None = None

    @property
    def expected(self) -> int:
        """How many snapshots the whole run has."""
        return max(int((self.ends_at - self.started_at).total_seconds() / self.interval + 1e-6), 1)

    def due(self, number: int) -> datetime:
        """When a snapshot is due, counted from 1: a multiple of the interval after the start, however long others took."""
        return self.started_at + timedelta(seconds=self.interval * number)
