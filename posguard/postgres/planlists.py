"""Lists of cleanup plans: what each is about and how far it came, read without its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.model.plan import Mode, PlanState
from posguard.model.plan_text import options_of
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from posguard.model.plan import PlanOptions


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """One plan in a list. trouble counts its lines that failed, are unresolved, or turned out wrong."""

    id: int
    code: str
    mode: Mode
    options: PlanOptions
    worlds: Mapping[str, str]
    state: PlanState
    source: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    started_at: datetime | None
    started_by: str
    finished_at: datetime | None
    backup: str
    backup_checksum: str
    lines: int
    done: int
    irreversible: int
    trouble: int


async def summaries(
    connection: Any,
    limit: int,
    *,
    before: int | None = None,
    fingerprint: str = "",
    of_run: str = "",
    backed_up: bool = False,
) -> list[PlanSummary]:
    """The newest plans first, those before an id where one is given.

    fingerprint: those with a line about this finding. of_run: those whose maker's or starter's name ends like this. backed_up:
    those with a backup.
    """
    found = queries("planlists").summaries(
        connection, limit=limit, before=before, fingerprint=fingerprint, of_run=of_run, backed_up=backed_up
    )
    return [_summary(record) async for record in found]


async def findings_of(connection: Any, fingerprints: Iterable[str]) -> dict[str, int]:
    """The newest finding of each fingerprint, by id; one that was never recorded is left out."""
    found = queries("planlists").findings_of(connection, fingerprints=sorted(set(fingerprints)))
    return {record["fingerprint"]: record["id"] async for record in found}


def _summary(record: Any) -> PlanSummary:
    values = dict(record)
    return PlanSummary(
        **{
            **values,
            "mode": Mode(values["mode"]),
            "options": options_of(values["options"]),
            "state": PlanState(values["state"]),
        }
    )
