"""The JSON of `posguard monitor`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from posguard.cli.shapes import Shape


class MonitorAlertShape(Shape):
    """One alert of a run."""

    kind: str = Field(description="monitor_no_stop_loss, monitor_error_rate …; docs/monitoring.md lists them")
    severity: str = Field(description="critical, warning or info")
    subject: str = Field(description="what it is about: a position's id, an exchange, or empty")
    exchange: str = Field(description="the exchange; empty where it is about none or all")
    position_id: int | None = Field(description="the row of monitoring.positions, where it is about one")
    text: str = Field(description="what it says")
    raised_at: datetime = Field(description="the snapshot that raised it")
    cleared_at: datetime | None = Field(description="the snapshot that cleared it; null while it stands")


class MissedShape(Shape):
    """A snapshot that was due and not taken."""

    number: int = Field(description="which of the run's, from 1")
    at: datetime = Field(description="when it was due")
    why: str = Field(description="the reason")


class MonitorFiles(Shape):
    """Where a run's files are."""

    snapshots: str = Field(description="the JSONL file, a line for each snapshot")
    report: str = Field(description="this report as a file")


class MonitorReport(Shape):
    """`posguard monitor --json`, and the report file of a run."""

    run_id: int = Field(description="the run in posguard.monitor_runs")
    started_at: datetime = Field(description="when it began")
    ended_at: datetime = Field(description="when it ended, or was stopped")
    planned_end: datetime = Field(description="when it was to end")
    interval_seconds: float = Field(description="from one snapshot to the next")
    monitoring_duration_minutes: float = Field(description="from begin to end")
    snapshots_expected: int = Field(description="how many were due until the end")
    snapshots_taken: int = Field(description="how many were taken")
    snapshots_missed: int = Field(description="how many were not")
    missed: tuple[MissedShape, ...] = Field(description="those that were not")
    total_alerts: int = Field(description="alerts that were raised")
    critical_alerts: int = Field(description="of them, critical ones")
    warning_alerts: int = Field(description="of them, warnings")
    info_alerts: int = Field(description="of them, information")
    alerts: tuple[MonitorAlertShape, ...] = Field(description="all of them, in order")
    metrics_summary: dict[str, int | None] = Field(
        description="what happened during the run, by name; null: no source, and no_source says why"
    )
    metrics_by_exchange: dict[str, dict[str, int]] = Field(description="the same by exchange")
    latency_ms: dict[str, Any] = Field(
        description="entry and stop-loss: count, p50, p95 and p99 in all and by exchange"
    )
    no_source: dict[str, str] = Field(description="why a total is not known")
    per_hour: tuple[dict[str, Any], ...] = Field(
        description="from, to and the totals of each hour of the run"
    )
    first_snapshot: dict[str, Any] | None = Field(description="the first one that was taken")
    last_snapshot: dict[str, Any] | None = Field(description="the last one that was taken")
    incomplete: str = Field(description="why the report is not whole; empty where it is")
    files: MonitorFiles = Field(description="where the run's files are")
