"""The report that ends a run: what was seen, what was missed, what happened in it, by the hour. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from posguard.model.finding import Severity
from posguard.model.metrics import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from posguard.model.monitor_alerts import MonitorAlert
    from posguard.model.monitor_counters import Totals
    from posguard.model.monitoring import MonitorRun, Reading

# The totals of the summary, by the names that their readers know.
SUMMARY: Mapping[str, Measure] = {
    "total_positions_opened": Measure.POSITIONS_OPENED,
    "total_positions_closed": Measure.POSITIONS_CLOSED,
    "total_sl_placed": Measure.STOP_LOSS_PLACED,
    "total_sl_updates": Measure.STOP_LOSS_UPDATED,
    "total_sl_trailed": Measure.STOP_LOSS_TRAILED,
    "total_sl_triggered": Measure.STOP_LOSS_TRIGGERED,
    "total_ts_activations": Measure.TRAILING_ACTIVATED,
    "total_ts_updates": Measure.TRAILING_UPDATED,
    "total_aged": Measure.AGED_DETECTED,
    "total_zombies": Measure.ZOMBIE_ORDERS,
    "total_errors": Measure.ERRORS,
    "total_emergency_closes": Measure.EMERGENCY_CLOSES,
    "total_events": Measure.THROUGHPUT,
    "total_price_updates": Measure.PRICE_UPDATES,
    "total_api_errors": Measure.API_ERRORS,
    "total_websocket_reconnects": Measure.WEBSOCKET_RECONNECTS,
}


@dataclass(frozen=True)
class Told:
    """What a report is made of: the snapshots as plain values, the alerts, and what happened in each hour of the run.

    `missing` holds the reason for each measure that had no source: its total is null, not 0.
    """

    snapshots: Sequence[Mapping[str, Any]]
    alerts: Sequence[MonitorAlert] = ()
    hours: Sequence[Totals] = ()
    missing: Mapping[Measure, str] = field(default_factory=dict)
    latency: Mapping[Measure, Reading] = field(default_factory=dict)


def build(run: MonitorRun, ended_at: datetime, told: Told) -> dict[str, Any]:
    """The report of a run that ended at a moment, as plain values."""
    snapshots, alerts, hours, missing = told.snapshots, told.alerts, told.hours, told.missing
    due = sum(1 for number in range(1, run.expected + 1) if run.due(number) <= ended_at)
    taken = [one for one in snapshots if one["state"] == "taken"]
    severities = Counter(alert.standing.severity for alert in alerts)
    return {
        "run_id": run.id,
        "started_at": run.started_at.isoformat(),
        "ended_at": ended_at.isoformat(),
        "planned_end": run.ends_at.isoformat(),
        "interval_seconds": run.interval,
        "monitoring_duration_minutes": round((ended_at - run.started_at) / timedelta(minutes=1), 3),
        "snapshots_expected": due,
        "snapshots_taken": len(taken),
        "snapshots_missed": len(snapshots) - len(taken),
        "missed": [
            {"number": one["number"], "at": one["at"], "why": one["why"]} for one in snapshots if "why" in one
        ],
        "total_alerts": len(alerts),
        "critical_alerts": severities[Severity.CRITICAL],
        "warning_alerts": severities[Severity.WARNING],
        "info_alerts": severities[Severity.INFO],
        "alerts": [_alert(alert) for alert in alerts],
        "metrics_summary": _summary(hours, missing),
        "metrics_by_exchange": {
            name: _by_exchange(hours, measure) for name, measure in SUMMARY.items() if measure not in missing
        },
        "latency_ms": {measure.value: reading.as_json() for measure, reading in told.latency.items()},
        "no_source": {name: missing[measure] for name, measure in SUMMARY.items() if measure in missing},
        "per_hour": [
            {
                "from": (run.started_at + timedelta(hours=number)).isoformat(),
                "to": min(run.started_at + timedelta(hours=number + 1), ended_at).isoformat(),
                **_summary([hour], missing),
            }
            for number, hour in enumerate(hours)
        ],
        "first_snapshot": taken[0] if taken else None,
        "last_snapshot": taken[-1] if taken else None,
        "incomplete": "",
    }


def _summary(hours: Sequence[Totals], missing: Mapping[Measure, str]) -> dict[str, int | None]:
    return {
        name: None if measure in missing else sum(sum(hour.get(measure, {}).values()) for hour in hours)
        for name, measure in SUMMARY.items()
    }


def _by_exchange(hours: Sequence[Totals], measure: Measure) -> dict[str, int]:
    found: Counter[str] = Counter()
    for hour in hours:
        found.update(hour.get(measure, {}))
    return dict(sorted(found.items()))


def _alert(alert: MonitorAlert) -> dict[str, Any]:
    one = alert.standing
    return {
        "kind": one.kind.value,
        "severity": one.severity.value,
        "subject": one.subject,
        "exchange": one.exchange,
        "position_id": one.position_id,
        "text": one.text,
        "raised_at": alert.raised_at.isoformat(),
        "cleared_at": alert.cleared_at.isoformat() if alert.cleared_at else None,
    }
