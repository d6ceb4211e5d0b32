"""What posguard last found, as far as a scrape of metrics tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from posguard.model.finding import Proof, Severity
    from posguard.model.monitoring import Snapshot
    from posguard.model.quality import Outcome
    from posguard.model.run import RunOutcome


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest reconciliation over everything that ended; positions and protected are None where it judged nothing."""

    id: int
    started_at: datetime
    finished_at: datetime | None
    outcome: RunOutcome
    rows_compared: int | None
    positions: int | None
    protected: int | None


@dataclass(frozen=True, slots=True)
class VenueThen:
    """What that run saw of one venue."""

    exchange: str
    account: str
    conclusive: bool
    positions: int
    orders: int
    clock_skew_ms: int | None


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How many findings of one kind are neither resolved nor dismissed."""

    exchange: str
    account: str
    kind: str
    severity: Severity
    proof: Proof
    findings: int


@dataclass(frozen=True, slots=True)
class SuiteCount:
    """How many expectations of one suite and severity ended alike, and the rows that fail them."""

    suite: str
    severity: Severity
    result: Outcome
    expectations: int
    failing: int


@dataclass(frozen=True, slots=True)
class Watched:
    """The monitor's newest snapshot, and how long ago it was due by the server's clock.

    alerts: (kind, severity) → how many the monitor has raised and not cleared.
    """

    snapshot: Snapshot
    age: timedelta
    interval: timedelta
    running: bool
    alerts: Mapping[tuple[str, Severity], int] = field(default_factory=dict)

    @property
    def current(self) -> bool:
        """Whether it says how things stand: its run goes on, and it is at most three intervals old."""
        return self.running and self.age <= 3 * self.interval


@dataclass(frozen=True, slots=True)
class LastResults:
    """All of it, of one instant. unsent: severity → (alerts, the oldest one's time)."""

    run: LastRun | None = None
    complete_at: datetime | None = None
    venues: tuple[VenueThen, ...] = ()
    findings: tuple[FindingCount, ...] = ()
    suites: tuple[SuiteCount, ...] = ()
    unsent: Mapping[Severity, tuple[int, datetime]] | None = None
    kill_switch: bool = False
    open_gaps: int = 0
    oldest_gap: datetime | None = None
    watched: Watched | None = None
