"""Prometheus metric families from what is known; pure, so that a scrape says exactly what the values say.

Units are Prometheus' base units, times are seconds since 1970. What is not known has no sample: never a 0 in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from posguard.model.finding import Severity
from posguard.model.run import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from prometheus_client.core import Metric

    from posguard.model.last_results import LastResults, LastRun

_VENUE = ("exchange", "account")


def up(reachable: bool) -> Metric:
    """Whether the database answered this scrape."""
    return _gauge("posguard_up", "Whether posguard's tables could be read.", [((), float(reachable))])


def families(known: LastResults) -> Iterator[Metric]:
    """Everything but the monitor's own metrics."""
    yield from _run(known.run)
    yield _one(
        "posguard_run_complete_timestamp_seconds",
        "End of the newest complete run.",
        _stamp(known.complete_at),
    )
    yield from _venues(known)
    yield _findings(known)
    yield from _suites(known)
    yield from _alerts(known)
    yield from _core(known)


def _run(run: LastRun | None) -> Iterator[Metric]:
    ended = run.finished_at if run else None
    yield _one("posguard_run_timestamp_seconds", "End of the newest reconciliation.", _stamp(ended))
    lasted = (ended - run.started_at).total_seconds() if run and ended else None
    yield _one("posguard_run_duration_seconds", "How long the newest reconciliation took.", lasted)
    yield _gauge(
        "posguard_run_outcome",
        "1 for how the newest reconciliation ended, 0 for the other ways.",
        [((o.value,), float(o is run.outcome)) for o in RunOutcome if o is not RunOutcome.RUNNING]
        if run
        else [],
        ("outcome",),
    )
    yield _one("posguard_run_rows", "Open rows that it compared.", run.rows_compared if run else None)
    yield _one(
        "posguard_run_positions",
        "Positions whose protection it judged on the venues.",
        run.positions if run else None,
    )
    yield _one(
        "posguard_run_protected_positions",
        "Those of them that live stops wholly cover.",
        run.protected if run else None,
    )


def _venues(known: LastResults) -> Iterator[Metric]:
    seen = [((v.exchange, v.account), v) for v in known.venues]
    yield _gauge(
        "posguard_venue_conclusive",
        "Whether the newest reconciliation could judge the venue.",
        [(key, float(venue.conclusive)) for key, venue in seen],
        _VENUE,
    )
    yield _gauge(
        "posguard_venue_positions",
        "Positions that the venue showed.",
        [(key, venue.positions) for key, venue in seen],
        _VENUE,
    )
    yield _gauge(
        "posguard_venue_orders",
        "Open orders that the venue showed.",
        [(key, venue.orders) for key, venue in seen],
        _VENUE,
    )
    yield _gauge(
        "posguard_venue_clock_skew_seconds",
        "The venue's clock against this machine's.",
        [(key, v.clock_skew_ms / 1000) for key, v in seen if v.clock_skew_ms is not None],
        _VENUE,
    )


def _findings(known: LastResults) -> Metric:
    return _gauge(
        "posguard_findings",
        "Findings that are neither resolved nor dismissed.",
        [
            ((f.exchange, f.account, f.kind, f.severity.value, f.proof.value), f.findings)
            for f in known.findings
        ],
        (*_VENUE, "kind", "severity", "proof"),
    )


def _suites(known: LastResults) -> Iterator[Metric]:
    yield _gauge(
        "posguard_suite_expectations",
        "Expectations of the newest run that has results, by how they ended.",
        [((s.suite, s.severity.value, s.result.value), s.expectations) for s in known.suites],
        ("suite", "severity", "result"),
    )
    failing: dict[tuple[str, ...], float] = {}
    for one in known.suites:
        key = (one.suite, one.severity.value)
        failing[key] = failing.get(key, 0) + one.failing
    yield _gauge(
        "posguard_suite_failing_rows", "Rows that fail them.", failing.items(), ("suite", "severity")
    )


def _alerts(known: LastResults) -> Iterator[Metric]:
    unsent = known.unsent
    yield _gauge(
        "posguard_alerts_unsent",
        "Alerts in the outbox that nobody has been sent yet.",
        []
        if unsent is None
        else [((severity.value,), unsent[severity][0] if severity in unsent else 0) for severity in Severity],
        ("severity",),
    )
    oldest = min((at for _, at in (unsent or {}).values()), default=None)
    yield _one(
        "posguard_alerts_oldest_unsent_timestamp_seconds",
        "When the oldest of them was written.",
        _stamp(oldest),
    )


def _core(known: LastResults) -> Iterator[Metric]:
    yield _one(
        "posguard_kill_switch_engaged",
        "Whether the core's kill switch holds all orders.",
        float(known.kill_switch),
    )
    yield _one(
        "posguard_protection_gaps_open",
        "Positions that stand without a stop, as the core has it on record.",
        known.open_gaps,
    )
    yield _one(
        "posguard_protection_gaps_oldest_timestamp_seconds",
        "Since when the longest of them lasts.",
        _stamp(known.oldest_gap),
    )


def _stamp(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


def _one(name: str, told: str, value: float | None) -> Metric:
    return _gauge(name, told, [] if value is None else [((), value)])


def _gauge(
    name: str, told: str, samples: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for key, value in samples:
        family.add_metric(key, value)
    return family
