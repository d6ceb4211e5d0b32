"""The runs of posguard.runs and what they said of each venue."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from posguard.model.finding import Skipped, VenueVerdict, VerdictKind
from posguard.model.run import RunOutcome, StoredRun
from posguard.model.scope import Scope
from posguard.model.venue import VenueId, World
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.model.finding import Pass

Interval = tuple[datetime, datetime]
_EVERYTHING = Scope()


async def start_run(
    connection: Any,
    *,
    started_at: datetime,
    source: str,
    external_id: str = "",
    interval: Interval | None = None,
    world: str = "",
    database_fingerprint: str = "",
    scope: Scope = _EVERYTHING,
    job: str = "reconcile",
) -> int:
    """Writes a run under way and returns its id; source is `cli` or `airflow`, job `reconcile` or `logs`."""
    start, end = interval or (None, None)
    run_id: int = await queries("runs").start_run(
        connection,
        started_at=started_at,
        source=source,
        external_id=external_id,
        interval_start=start,
        interval_end=end,
        world=world,
        database_fingerprint=database_fingerprint,
        scope_exchange=scope.exchange,
        scope_symbol=scope.symbol,
        job=job,
    )
    return run_id


async def finish_log_run(
    connection: Any, run_id: int, *, counts: Mapping[str, int], notes: Sequence[str]
) -> None:
    """Ends a run that found something in the logs."""
    await queries("runs").finish_log_run(connection, id=run_id, counts=dict(counts), notes=list(notes))


async def finish_run(
    connection: Any, run_id: int, result: Pass, *, outcome: RunOutcome, counts: Mapping[str, int]
) -> None:
    """Ends a run under way with its result and what it said of each venue; call it in the transaction of the findings."""
    await queries("runs").finish_run(
        connection,
        id=run_id,
        finished_at=result.finished_at,
        world=worlds(result),
        outcome=outcome.value,
        rows_read=result.rows_read,
        rows_compared=result.rows_compared,
        skipped=[{"reason": s.reason, "row_ids": list(s.row_ids)} for s in result.skipped],
        counts=dict(counts),
        notes=list(result.notes),
        statistics=dict(result.statistics),
    )
    for verdict in result.venues:
        await queries("runs").add_venue(
            connection,
            run_id=run_id,
            exchange=verdict.venue.exchange,
            account=verdict.venue.account,
            world=verdict.world.value if verdict.world else "",
            verdict=verdict.verdict.value,
            reasons=list(verdict.reasons),
            snapshots=verdict.snapshots,
            positions=verdict.positions,
            orders=verdict.orders,
            clock_skew_ms=verdict.clock_skew_ms,
            looked_at=verdict.looked_at,
        )


async def fail_run(connection: Any, run_id: int, why: str) -> None:
    """Ends a run under way as failed, with the reason; a run that ended stays as it is."""
    await queries("runs").fail_run(connection, id=run_id, notes=[why])


async def recent_runs(connection: Any, limit: int, before: int | None = None) -> list[StoredRun]:
    """The newest runs first, at most `limit`, older than the run `before` where it is given."""
    found = queries("runs").recent_runs(connection, before=before, limit=limit)
    return [_run(record) async for record in found]


async def run_by_id(connection: Any, run_id: int) -> StoredRun | None:
    """One run, or None."""
    record = await queries("runs").run_by_id(connection, id=run_id)
    return _run(record) if record else None


async def run_by_external_id(connection: Any, external_id: str) -> StoredRun | None:
    """The run of a scheduler's run, or None; a try that ended comes before one that died."""
    run_id = await queries("runs").id_by_external_id(connection, external_id=external_id)
    return await run_by_id(connection, run_id) if run_id is not None else None


async def run_of_dag_run(connection: Any, dag_run_id: str) -> int | None:
    """The id of the newest run that a DAG run recorded, after a clearing too; None where it recorded none."""
    run_id: int | None = await queries("runs").id_of_dag_run(connection, dag_run_id=dag_run_id)
    return run_id


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Ids of runs, None where there is none: the newest over everything that ended, well or not; the last complete one."""

    ended: int | None
    complete: int | None


async def landmarks(connection: Any) -> Landmarks:
    """The runs from which somebody tells how things stand; filtered runs say nothing of the whole and are left out."""
    return Landmarks(**dict(await queries("runs").landmarks(connection)))


async def database_fingerprint(connection: Any) -> str:
    """Tells two databases apart, copies on other servers too: 16 hexadecimal digits, the same at every call.

    From the server's system identifier where the role may read it, and the database's own number and name.
    """
    identity = await queries("runs").database_identity(connection)
    if await queries("runs").may_read_control(connection):
        identity += ":" + await queries("runs").system_identifier(connection)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def worlds(result: Pass) -> str:
    """The worlds a pass looked at, each once: `simulator`, or `production, testnet`; `none` without a venue."""
    return ", ".join(sorted({v.world.value for v in result.venues if v.world})) or "none"


def _run(record: Any) -> StoredRun:
    return StoredRun(
        id=record["id"],
        started_at=record["started_at"],
        finished_at=record["finished_at"],
        source=record["source"],
        external_id=record["external_id"],
        interval_start=record["interval_start"],
        interval_end=record["interval_end"],
        world=record["world"],
        database_fingerprint=record["database_fingerprint"],
        outcome=RunOutcome(record["outcome"]),
        rows_read=record["rows_read"],
        rows_compared=record["rows_compared"],
        skipped=tuple(Skipped(s["reason"], tuple(s["row_ids"])) for s in record["skipped"]),
        counts=record["counts"],
        notes=tuple(record["notes"]),
        statistics=record["statistics"],
        scope=Scope(record["scope_exchange"], record["scope_symbol"]),
        venues=tuple(_venue(v) for v in record["venues"]),
    )


def _venue(record: Mapping[str, Any]) -> VenueVerdict:
    looked_at = record["looked_at"]
    return VenueVerdict(
        venue=VenueId(record["exchange"], record["account"]),
        world=World(record["world"]) if record["world"] else None,
        verdict=VerdictKind(record["verdict"]),
        reasons=tuple(record["reasons"]),
        snapshots=record["snapshots"],
        positions=record["positions"],
        orders=record["orders"],
        clock_skew_ms=record["clock_skew_ms"],
        looked_at=datetime.fromisoformat(looked_at) if looked_at else None,
    )
