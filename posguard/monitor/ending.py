"""What a run's report is made of, gathered once at its end; and the report as a file."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from posguard.model.monitoring import Reading
from posguard.monitor.logwatch import NO_LOG, no_log
from posguard.monitor.report import Told
from posguard.postgres import monitor, monitorcounts
from posguard.postgres import monitorruns as store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from posguard.model.monitoring import MonitorRun
    from posguard.monitor.logwatch import LogWatch
    from posguard.postgres.pool import Database


async def gather(
    db: Database,
    run: MonitorRun,
    ended_at: datetime,
    sources: monitor.Sources,
    log: LogWatch | None,
    *,
    aged_after: timedelta,
) -> Told:
    """Snapshots, alerts, and what happened in each hour by the database and the log. Raises as the database does."""
    length = max(ended_at - run.started_at, timedelta(milliseconds=1))
    missing = dict(sources.missing)
    async with db.snapshot() as connection:
        snapshots = await store.snapshots_behind(connection, run.id)
        alerts = await store.alerts_of(connection, run.id)
        hours = await monitorcounts.over_time(
            connection, run.started_at, run.started_at + length, aged_after, events=sources.events
        )
        latency = await monitor.latencies(connection, ended_at, length) if sources.events else {}
    merged = [dict(hour) for hour in hours]
    if log is None or log.broken:
        missing |= dict.fromkeys(no_log(), log.broken if log else NO_LOG)
    else:
        for number, counts in log.counts.hours.items():
            if 0 <= number < len(merged):
                merged[number] |= {measure: dict(by_exchange) for measure, by_exchange in counts.items()}
    return Told(snapshots, alerts, merged, missing, latency)


def mean(readings: Sequence[Reading]) -> Reading:
    """The mean of a gauge over snapshots; not known where one of them is not."""
    for reading in readings:
        if reading.missing:
            return reading
    names = sorted({name for reading in readings for name in reading.by_exchange})
    count = len(readings)
    return Reading(
        round(sum(reading.number for reading in readings) / count, 3),
        {name: round(sum(reading.of(name) or 0 for reading in readings) / count, 3) for name in names},
    )


def save(path: Path, report: Mapping[str, Any]) -> None:
    """Whoever reads it sees the old report or the new one, never half."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
