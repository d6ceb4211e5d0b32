"""The JSON of `posguard baseline`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from posguard.cli.shapes import Shape

if TYPE_CHECKING:
    from posguard.model.baseline import Baseline


class BaselineShape(Shape):
    """A named baseline."""

    name: str = Field(description="its name; a name never changes its meaning")
    period_from: datetime | None = Field(description="the period's begin; null: only its counts are known")
    period_to: datetime | None = Field(description="and its end")
    days: float | None = Field(description="its length in days")
    created_by: str = Field(description="who saved it; empty: it is built in")
    created_at: datetime | None = Field(description="when")
    measures: dict[str, Any] = Field(
        description="rolled_back, duplicate_key_errors, open_latency; no_source where there is none"
    )

    @classmethod
    def of(cls, baseline: Baseline) -> BaselineShape:
        """The shape of a baseline."""
        return BaselineShape(
            name=baseline.name,
            period_from=baseline.period_from,
            period_to=baseline.period_to,
            days=baseline.days,
            created_by=baseline.created_by,
            created_at=baseline.created_at,
            measures=dict(baseline.measures),
        )


class BaselineList(Shape):
    """`posguard baseline list --json` and `posguard baseline save --json`."""

    baselines: tuple[BaselineShape, ...] = Field(description="the newest first, the built-in one last")
