"""A baseline: how the bot did over a period that somebody named, for later periods to be measured against (D10)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")

# What the bot did before any correction, as its owner counted it over the hours around the first incident.
BEFORE = "before-correction"
_NOT_COUNTED = "it was not counted then"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Measures under a name, in the shape of a window of the statistics.

    The period is half open, in UTC; None where only its counts are known. A name never changes its meaning.
    """

    name: str
    measures: Mapping[str, Any]
    period_from: datetime | None = None
    period_to: datetime | None = None
    created_by: str = ""
    created_at: datetime | None = None

    @property
    def days(self) -> float | None:
        """The length of the period in days."""
        if self.period_from is None or self.period_to is None:
            return None
        return (self.period_to - self.period_from).total_seconds() / 86_400

    @property
    def plain(self) -> dict[str, Any]:
        """As plain JSON, times as ISO texts."""
        said = {"from": self.period_from, "to": self.period_to}
        times = {key: at.isoformat() if at else None for key, at in said.items()}
        return {"name": self.name, **times, "days": self.days, **self.measures}


BUILT_IN = Baseline(
    BEFORE,
    {
        "rolled_back": {"rows": 42, "rolled_back": 4, "for_duplicates": 1, "share": 0.095},
        "duplicate_key_errors": {"count": 1},
        "open_latency": {"no_source": _NOT_COUNTED},
    },
)
