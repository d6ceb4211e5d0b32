"""posguard.audits: the reports of audits that Airflow made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from posguard.model.audit import Window


@dataclass(frozen=True, slots=True)
class StoredAudit:
    """A report without its text. `counts` and `light` are those of posguard.audit.build.Audit; `missing` names what was not there."""

    id: int
    window_start: datetime
    window_end: datetime
    built_at: datetime
    external_id: str
    light: str
    headline: str
    counts: Mapping[str, int]
    missing: tuple[str, ...]


async def keep(
    connection: Any,
    window: Window,
    *,
    built_at: datetime,
    identity: str,
    external_id: str,
    light: str,
    headline: str,
    counts: Mapping[str, int],
    missing: Sequence[str],
    document: Mapping[str, Any],
) -> int:
    """Keeps a report and returns its id; one of the same identity before it is replaced, and its id stays."""
    audit_id: int = await queries("audits").keep(
        connection,
        window_start=window.start,
        window_end=window.end,
        built_at=built_at,
        identity=identity,
        external_id=external_id,
        light=light,
        headline=headline,
        counts=dict(counts),
        missing=list(missing),
        document=dict(document),
    )
    return audit_id


async def recent(connection: Any, limit: int, before: StoredAudit | None = None) -> list[StoredAudit]:
    """The reports by window, the newest first; those older than `before`, where it is given."""
    found = queries("audits").recent(
        connection,
        limit=limit,
        before_end=before.window_end if before else None,
        before_id=before.id if before else None,
    )
    return [_of(record) async for record in found]


async def by_id(connection: Any, audit_id: int) -> tuple[StoredAudit, Mapping[str, Any]] | None:
    """A report with its document as plain JSON, or None."""
    record = await queries("audits").by_id(connection, id=audit_id)
    return None if record is None else (_of(record), record["document"])


async def id_of_dag_run(connection: Any, dag_run_id: str) -> int | None:
    """The id of the report that a DAG run made last; None where it made none."""
    audit_id: int | None = await queries("audits").id_of_dag_run(connection, dag_run_id=dag_run_id)
    return audit_id


def _of(record: Mapping[str, Any]) -> StoredAudit:
    return StoredAudit(
        id=record["id"],
        window_start=record["window_start"],
        window_end=record["window_end"],
        built_at=record["built_at"],
        external_id=record["external_id"],
        light=record["light"],
        headline=record["headline"],
        counts=record["counts"],
        missing=tuple(record["missing"]),
    )
