"""The JSON of `posguard logs investigate`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.logs.investigate import Investigation
    from posguard.model.incident import Evidence, Hypothesis


class EvidenceShape(Shape):
    """One line of a log, or one row of the database."""

    timestamp: datetime | None = Field(description="UTC; null for what has no time of its own")
    where: str = Field(description="the log's source, or the table")
    text: str = Field(description="the line, or the row")

    @classmethod
    def of(cls, evidence: Evidence) -> EvidenceShape:
        """The shape of evidence."""
        return cls(timestamp=evidence.at, where=evidence.where, text=evidence.text)


class HypothesisShape(Shape):
    """One explanation, and what becomes of it."""

    name: str = Field(description="its name")
    question: str = Field(description="what is asked")
    standing: str = Field(description="held: evidence speaks for it; refuted: evidence excludes it; open")
    why: str = Field(description="why")
    evidence: tuple[EvidenceShape, ...] = Field(description="the lines and rows")
    missing: tuple[str, ...] = Field(description="evidence that would decide it, and how to get it")

    @classmethod
    def of(cls, hypothesis: Hypothesis) -> HypothesisShape:
        """The shape of a hypothesis."""
        return cls(
            name=hypothesis.name,
            question=hypothesis.question,
            standing=hypothesis.standing,
            why=hypothesis.why,
            evidence=tuple(EvidenceShape.of(one) for one in hypothesis.evidence),
            missing=hypothesis.missing,
        )


class InvestigationReport(Shape):
    """`posguard logs investigate --json`."""

    symbol: str = Field(description="canonical")
    at: datetime = Field(description="the time asked for, UTC")
    row_ids: tuple[int, ...] = Field(description="the rows that were made at that time")
    still_open: tuple[int, ...] = Field(description="those of them that stand open now")
    gap_seconds: float | None = Field(
        description="between the first insert and the last, by the database where it has both rows; null: there are not two"
    )
    clock_skew_ms: float | None = Field(
        description="how much the log's clock is ahead of the database's; null: no row is named by both"
    )
    hypotheses: tuple[HypothesisShape, ...] = Field(description="the explanations")
    side_by_side: tuple[EvidenceShape, ...] = Field(description="log and database in order of time")

    damage: tuple[str, ...] = Field(description="what of the files could not be read, and why")

    @classmethod
    def of(cls, found: Investigation, *, damage: Sequence[str]) -> InvestigationReport:
        """The shape of an investigation."""
        inserts = found.case.inserts
        return cls(
            symbol=found.case.symbol,
            at=found.case.at,
            row_ids=tuple(row.id for row in found.case.rows),
            still_open=found.still_open,
            gap_seconds=(inserts[1] - inserts[0]).total_seconds() if inserts else None,
            clock_skew_ms=found.skew.total_seconds() * 1000 if found.skew is not None else None,
            hypotheses=tuple(HypothesisShape.of(one) for one in found.hypotheses),
            side_by_side=tuple(EvidenceShape.of(one) for one in found.side_by_side),
            damage=tuple(damage),
        )
