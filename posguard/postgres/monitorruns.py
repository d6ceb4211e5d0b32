"""What the monitor keeps: its runs, their snapshots, its alerts and its counters. A run belongs to one process at a time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import ConflictError
from posguard.model.metrics import Measure
from posguard.model.monitor_alerts import AlertKind, MonitorAlert, Standing
from posguard.model.monitor_counters import Counter, Part
from posguard.model.monitoring import MonitorRun, Snapshot
from posguard.postgres import alerts as outbox
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posguard.model.monitor_alerts import Changes


async def latest_run(connection: Any) -> MonitorRun | None:
    """The newest run: under way, ended, or one whose process died; None where there was none."""
    return _run(await queries("monitorruns").latest_run(connection))


async def report_of(connection: Any, run_id: int) -> Mapping[str, Any] | None:
    """The report that ended a run; None where it has not ended."""
    found: Mapping[str, Any] | None = await queries("monitorruns").report_of(connection, id=run_id)
    return found


async def begin(connection: Any, run: MonitorRun, *, owner: str) -> MonitorRun:
    """Stores a new run. Raises ConflictError where another one has no end yet."""
    try:
        made = _run(
            await queries("monitorruns").begin(
                connection,
                started_at=run.started_at,
                ends_at=run.ends_at,
                interval_seconds=run.interval,
                log=run.log,
                owner=owner,
            )
        )
    except asyncpg.UniqueViolationError:
        raise ConflictError(
            "Another monitor has just begun on this database. Nothing was done.",
            hint="Run it again: it then goes on with that run.",
        ) from None
    assert made is not None
    return made


async def take_over(connection: Any, run_id: int, *, owner: str) -> MonitorRun | None:
    """Makes a run this process's; whoever had it stops at his next write. None where it is gone."""
    return _run(await queries("monitorruns").take_over(connection, id=run_id, owner=owner))


async def hold(connection: Any, run_id: int, owner: str) -> None:
    """Holds the run until the transaction ends. Raises ConflictError where another process took it over, or it ended."""
    if await queries("monitorruns").beat(connection, id=run_id, owner=owner) is None:
        raise ConflictError(
            "Another monitor has taken this run over, or ended it. Nothing more was written.",
            hint="One database has one monitor; this one stops.",
        )


async def add_snapshot(connection: Any, run_id: int, snapshot: Snapshot) -> bool:
    """Keeps a snapshot; False where the run has one of its number."""
    kept = await queries("monitorruns").add_snapshot(
        connection,
        run_id=run_id,
        number=snapshot.number,
        at=snapshot.at,
        taken_at=snapshot.taken_at,
        missed=snapshot.missed,
        snapshot=snapshot.as_json(),
    )
    return kept is not None


async def last_number(connection: Any, run_id: int) -> int:
    """The number of the run's last snapshot, 0 where it has none."""
    return int(await queries("monitorruns").last_number(connection, run_id=run_id))


async def snapshots_behind(connection: Any, run_id: int, after: int = 0) -> list[Mapping[str, Any]]:
    """The snapshots of a run behind a number, as their JSON, in order."""
    found = queries("monitorruns").snapshots_behind(connection, run_id=run_id, after=after)
    return [record["snapshot"] async for record in found]


async def snapshots_between(connection: Any, since: datetime, until: datetime) -> list[Snapshot]:
    """The snapshots of all runs in (since, until], missed ones too, in order of time."""
    found = queries("monitorruns").snapshots_between(connection, since=since, until=until)
    return [Snapshot.read(record["snapshot"]) async for record in found]


async def standing_alerts(connection: Any) -> tuple[MonitorAlert, ...]:
    """The alerts that stand, of whatever run."""
    return tuple([_alert(record) async for record in queries("monitorruns").standing(connection)])


async def alerts_of(connection: Any, run_id: int) -> tuple[MonitorAlert, ...]:
    """The alerts that a run raised, in order, cleared or not."""
    found = queries("monitorruns").alerts_of(connection, run_id=run_id)
    return tuple([_alert(record) async for record in found])


async def alerts_between(connection: Any, since: datetime, until: datetime) -> tuple[MonitorAlert, ...]:
    """The alerts of all runs that stood at some time in (since, until], in order."""
    found = queries("monitorruns").alerts_between(connection, since=since, until=until)
    return tuple([_alert(record) async for record in found])


async def change_alerts(connection: Any, run_id: int, changes: Changes) -> None:
    """Keeps what became of the alerts, and puts it into the outbox, in the transaction of the snapshot."""
    for alert in changes.cleared:
        kind, subject = alert.standing.identity
        await queries("monitorruns").clear(
            connection, kind=kind.value, subject=subject, cleared_at=alert.cleared_at
        )
    for alert in changes.raised:
        one = alert.standing
        await queries("monitorruns").raise_(
            connection,
            run_id=run_id,
            kind=one.kind.value,
            subject=one.subject,
            severity=one.severity.value,
            exchange=one.exchange,
            position_id=one.position_id,
            text=one.text,
            raised_at=alert.raised_at,
        )
    await outbox.put(connection, [alert.told() for alert in (*changes.cleared, *changes.raised)])


async def counters(connection: Any) -> dict[Part, Counter]:
    """The counters of all time, as far as they are kept."""
    found = [_counter(record) async for record in queries("monitorruns").counters(connection)]
    return {counter.part: counter for counter in found}


async def keep_counter(connection: Any, counter: Counter) -> None:
    """Keeps a counter."""
    by_id = counter.part is not Part.CLOSINGS
    await queries("monitorruns").keep_counter(
        connection,
        part=counter.part.value,
        settled_id=counter.settled if by_id else 0,
        settled_at=None if by_id else counter.settled,
        mark_id=counter.mark if by_id else None,
        mark_at=None if by_id else counter.mark,
        mark_xid=counter.mark_xid,
        rules=counter.rules,
        counts={measure.value: dict(counts) for measure, counts in counter.counts.items()},
    )


async def finish(connection: Any, run_id: int, finished_at: datetime, report: Mapping[str, Any]) -> None:
    """Ends a run with its report."""
    await queries("monitorruns").finish(connection, id=run_id, finished_at=finished_at, report=dict(report))


async def forget(connection: Any, before: datetime) -> None:
    """Removes the runs that ended before a moment, with all that they saw."""
    await queries("monitorruns").forget(connection, before=before)


def _run(record: Any) -> MonitorRun | None:
    if record is None:
        return None
    return MonitorRun(
        record["id"],
        record["started_at"],
        record["ends_at"],
        record["interval_seconds"],
        record["log"],
        record["finished_at"],
    )


def _alert(record: Any) -> MonitorAlert:
    return MonitorAlert(
        Standing(
            AlertKind(record["kind"]),
            record["subject"],
            record["text"],
            record["exchange"],
            record["position_id"],
        ),
        record["raised_at"],
        record["cleared_at"],
    )


def _counter(record: Any) -> Counter:
    by_id = record["part"] != Part.CLOSINGS
    return Counter(
        Part(record["part"]),
        record["settled_id"] if by_id else record["settled_at"],
        record["mark_id"] if by_id else record["mark_at"],
        record["mark_xid"],
        record["rules"],
        {Measure(name): counts for name, counts in record["counts"].items() if name in set(Measure)},
    )
