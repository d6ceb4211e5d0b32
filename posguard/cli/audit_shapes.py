"""What `posguard audit --json` prints."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from posguard.settings import redact

if TYPE_CHECKING:
    from posguard.audit.build import Audit, HourLine
    from posguard.model.audit import Gap, Issue
    from posguard.model.incident import Evidence


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)


class AuditEvidence(_Shape):
    """One row, log line or finding."""

    where: str
    text: str
    at: datetime | None

    @classmethod
    def of(cls, one: Evidence) -> AuditEvidence:
        """As JSON, without secrets that a log may hold."""
        return cls(where=redact(one.where), text=redact(one.text), at=one.at)


class AuditIssue(_Shape):
    """One issue."""

    number: int
    key: str = Field(description="names the same issue in the next audit")
    area: str
    title: str
    severity: str
    priority: str = Field(description="P1 now, P2 today, P3 this week, P4 when convenient")
    count: int
    resolved: bool
    row_ids: tuple[int, ...] = Field(description="of monitoring.positions")
    evidence: tuple[AuditEvidence, ...]
    evidence_left_out: int
    root_cause: str = Field(description="`unknown` where the evidence does not tell it")
    code_location: str = Field(description="empty where no log or stack trace names one")
    repair: tuple[str, ...] = Field(description="commands; several may have to be chosen from")
    advice: str
    caution: str
    runbook: str = Field(description="section of docs/runbook.md, or empty")
    retest: str

    @classmethod
    def of(cls, one: Issue) -> AuditIssue:
        """As JSON."""
        return cls(
            number=one.number,
            key=one.key,
            area=one.area,
            title=one.title,
            severity=one.severity,
            priority=one.priority,
            count=one.count,
            resolved=one.resolved,
            row_ids=one.row_ids,
            evidence=tuple(AuditEvidence.of(e) for e in one.evidence),
            evidence_left_out=one.left_out,
            root_cause=one.cause,
            code_location=one.location,
            repair=one.repair,
            advice=one.advice,
            caution=one.caution,
            runbook=one.runbook,
            retest=one.retest,
        )


class AuditGap(_Shape):
    """Something that was not there to look at."""

    what: str
    loses: str
    hint: str

    @classmethod
    def of(cls, one: Gap) -> AuditGap:
        """As JSON."""
        return cls(what=one.what, loses=one.loses, hint=one.hint)


class AuditHour(_Shape):
    """One hour of the window."""

    start: datetime
    end: datetime
    counts: dict[str, float] = Field(description="what has a source; what nobody knows is not in it")
    observations: tuple[str, ...]
    note: str = Field(description="the operator's")

    @classmethod
    def of(cls, one: HourLine) -> AuditHour:
        """As JSON."""
        return cls(
            start=one.hour.start,
            end=one.hour.end,
            counts={name: float(value) for name, value in one.hour.counts.items()},
            observations=one.observations,
            note=one.note,
        )


class AuditReport(_Shape):
    """The audit of a window."""

    demo: bool
    exit_code: int
    conclusive: bool = Field(description="whether a complete look at the exchanges lies in the window")
    window_start: datetime
    window_end: datetime
    built_at: datetime
    light: str = Field(description="critical, warning, clear or inconclusive")
    headline: str
    counts: dict[str, int]
    findings_from: str
    results_from: str
    missing: tuple[AuditGap, ...]
    issues: tuple[AuditIssue, ...]
    hours: tuple[AuditHour, ...]
    files: tuple[str, ...] = Field(description="what was written")

    @classmethod
    def of(cls, audit: Audit, *, exit_code: int, files: tuple[str, ...]) -> AuditReport:
        """As JSON."""
        facts = audit.facts
        return cls(
            demo=facts.demo,
            exit_code=exit_code,
            conclusive=facts.conclusive,
            window_start=facts.window.start,
            window_end=facts.window.end,
            built_at=facts.at,
            light=audit.light,
            headline=audit.headline,
            counts=audit.counts,
            findings_from=facts.findings_from,
            results_from=facts.results_from,
            missing=tuple(AuditGap.of(one) for one in audit.gaps),
            issues=tuple(AuditIssue.of(one) for one in audit.issues),
            hours=tuple(AuditHour.of(one) for one in audit.hours),
            files=files,
        )
