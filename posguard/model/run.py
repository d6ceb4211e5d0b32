"""A reconciliation run as posguard's tables keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.model.finding import VerdictKind
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from posguard.model.finding import Pass, Skipped, VenueVerdict


class RunOutcome(StrEnum):
    """How a run ended; `running` is one under way, or one that died."""

    RUNNING = "running"
    CLEAN = "clean"
    PROBLEMS = "problems"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run.

    counts holds, over the findings it saw that are not dismissed, `critical`, `warning`, `info`, `proven`, `suspected`
    and one `kind.<kind>` each; and `dismissed`, `found`, `changed`, `reopened`, `resolved`; and `positions` and
    `protected` as Pass has them. A run with a filter (scope) says nothing of what it did not look at.
    """

    id: int
    started_at: datetime
    finished_at: datetime | None
    source: str
    external_id: str
    interval_start: datetime | None
    interval_end: datetime | None
    world: str
    database_fingerprint: str
    outcome: RunOutcome
    rows_read: int | None
    rows_compared: int | None
    skipped: tuple[Skipped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    statistics: Mapping[str, object] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    venues: tuple[VenueVerdict, ...] = ()

    @classmethod
    def of_pass(cls, result: Pass, outcome: RunOutcome, counts: Mapping[str, int]) -> StoredRun:
        """A pass that nothing was stored of, in the form in which stored ones are told; its id is 0."""
        return cls(
            id=0,
            started_at=result.started_at,
            finished_at=result.finished_at,
            source="cli",
            external_id="",
            interval_start=None,
            interval_end=None,
            world="",
            database_fingerprint="",
            outcome=outcome,
            rows_read=result.rows_read,
            rows_compared=result.rows_compared,
            skipped=result.skipped,
            counts=counts,
            notes=result.notes,
            statistics=result.statistics,
            scope=result.scope,
            venues=result.venues,
        )

    @property
    def conclusive(self) -> bool:
        """Whether the run ended and every venue could be judged."""
        done = self.outcome in {RunOutcome.CLEAN, RunOutcome.PROBLEMS}
        return done and all(v.verdict is VerdictKind.CONCLUSIVE for v in self.venues)
