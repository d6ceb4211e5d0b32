"""The JSON of `posguard logs investigate`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.logs.investigate import Investigation
    from posguard.model.incident import Evidence, Hypothesis


class EvidenceShape(Shape):
    """One line of a log, or one row of the database."""

    timestamp: datetime | None = Field(description="UTC; null for what has no time of its own")
    host_time: datetime | None = Field(
        description="the same on the host's clock, with its offset; null where the logs are of several zones"
    )
    where: str = Field(description="the log's source, or the table")
    text: str = Field(description="the line, or the row")

    @classmethod
    def of(cls, evidence: Evidence, zone: ZoneInfo | None) -> EvidenceShape:
        """The shape of evidence."""
        host = evidence.at.astimezone(zone) if evidence.at and zone else None
        return cls(timestamp=evidence.at, host_time=host, where=evidence.where, text=evidence.text)


class HypothesisShape(Shape):
    """One explanation, and what becomes of it."""

    name: str = Field(description="its name")
    question: str = Field(description="what is asked")
    standing: str = Field(description="held: evidence speaks for it; refuted: evidence excludes it; open")
    why: str = Field(description="why")
    evidence: tuple[EvidenceShape, ...] = Field(description="the lines and rows")
    missing: tuple[str, ...] = Field(description="evidence that would decide it, and how to get it")

    @classmethod
    def of(cls, hypothesis: Hypothesis, zone: ZoneInfo | None) -> HypothesisShape:
        """The shape of a hypothesis."""
        return cls(
            name=hypothesis.name,
            question=hypothesis.question,
            standing=hypothesis.standing,
            why=hypothesis.why,
            evidence=tuple(EvidenceShape.of(one, zone) for one in hypothesis.evidence),
            missing=hypothesis.missing,
        )


class InvestigationReport(Shape):
    """`posguard logs investigate --json`."""

    symbol: str = Field(description="canonical")
    exchange: str = Field(
        description="the one asked for, else that of the row nearest to the time; empty: there is neither"
    )
    at: datetime = Field(description="the time asked for, UTC")
    row_ids: tuple[int, ...] = Field(description="the rows that were made at that time")
    left_out: tuple[int, ...] = Field(description="rows of that time on other exchanges: other positions")
    still_open: tuple[int, ...] = Field(description="those of them that stand open now")
    gap_seconds: float | None = Field(
        description="between the first insert and the last, by the database where it has both rows; null: there are not two"
    )
    clock_skew_ms: float | None = Field(
        description="how much the log's clock is ahead of the database's; null: no row is named by both"
    )
    hypotheses: tuple[HypothesisShape, ...] = Field(description="the explanations")
    side_by_side: tuple[EvidenceShape, ...] = Field(description="log and database in order of time")
    log_from: datetime | None = Field(description="the first event that was read, UTC; null: there is none")
    log_to: datetime | None = Field(description="the last event that was read, UTC")
    damage: tuple[str, ...] = Field(description="what of the files could not be read, and why")

    @classmethod
    def of(cls, found: Investigation, *, damage: Sequence[str], zones: Sequence[str]) -> InvestigationReport:
        """The shape of an investigation of logs in some zones."""
        zone = ZoneInfo(zones[0]) if len(zones) == 1 else None
        inserts = found.case.inserts
        return cls(
            symbol=found.case.symbol,
            exchange=found.case.exchange,
            at=found.case.at,
            row_ids=tuple(row.id for row in found.case.rows),
            left_out=tuple(row.id for row in found.case.elsewhere),
            log_from=found.case.first,
            log_to=found.case.last,
            still_open=found.still_open,
            gap_seconds=(inserts[1] - inserts[0]).total_seconds() if inserts else None,
            clock_skew_ms=found.skew.total_seconds() * 1000 if found.skew is not None else None,
            hypotheses=tuple(HypothesisShape.of(one, zone) for one in found.hypotheses),
            side_by_side=tuple(EvidenceShape.of(one, zone) for one in found.side_by_side),
            damage=tuple(damage),
        )
