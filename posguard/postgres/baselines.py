"""posguard.baselines: named baselines. They are only ever added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.model.baseline import Baseline
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping


async def add(connection: Any, baseline: Baseline) -> bool:
    """Keeps a baseline; False, and nothing is kept, where one of its name is there."""
    kept = await queries("baselines").add(
        connection,
        name=baseline.name,
        period_from=baseline.period_from,
        period_to=baseline.period_to,
        measures=dict(baseline.measures),
        created_by=baseline.created_by,
    )
    return kept is not None


async def by_name(connection: Any, name: str) -> Baseline | None:
    """The baseline of a name."""
    record = await queries("baselines").by_name(connection, name=name)
    return None if record is None else _of(record)


async def every(connection: Any) -> list[Baseline]:
    """All of them, the newest first."""
    return [_of(record) async for record in queries("baselines").every(connection)]


def _of(record: Mapping[str, Any]) -> Baseline:
    return Baseline(
        name=record["name"],
        measures=record["measures"],
        period_from=record["period_from"],
        period_to=record["period_to"],
        created_by=record["created_by"],
        created_at=record["created_at"],
    )
