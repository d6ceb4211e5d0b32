"""Prometheus metric families from what is known; pure, so that a scrape says exactly what the values say.

Units are Prometheus' base units, times are seconds since 1970. What is not known has no sample: never a 0 in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from posguard.model.finding import Severity
from posguard.model.metrics import GAUGES, LATENCIES, SOURCES, TITLES, Measure, Window
from posguard.model.monitoring import Spread
from posguard.model.run import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from prometheus_client.core import Metric

    from posguard.model.last_results import LastResults, LastRun, Watched
    from posguard.model.monitoring import Reading, Snapshot

_VENUE = ("exchange", "account")


def up(reachable: bool) -> Metric:
    """Whether the database answered this scrape."""
    return _gauge("posguard_up", "Whether posguard's tables could be read.", [((), float(reachable))])


def families(known: LastResults) -> Iterator[Metric]:
    """All that is known, but whether the database answered."""
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
    yield from _watch(known.watched)


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


def _watch(watched: Watched | None) -> Iterator[Metric]:
    """The monitor's newest snapshot; one that is old, or whose run is over, says when it was taken and nothing else."""
    yield _one(
        "posguard_monitor_snapshot_timestamp_seconds",
        "When the monitor's newest snapshot was due, while its run goes on.",
        _stamp(watched.snapshot.at) if watched and watched.running else None,
    )
    if watched is None or not watched.current:
        return
    yield _gauge(
        "posguard_monitor_alerts",
        "Alerts that the monitor has raised and not cleared.",
        [((kind, severity.value), count) for (kind, severity), count in watched.alerts.items()],
        ("kind", "severity"),
    )
    yield _gauge(
        "posguard_monitor_source",
        "Whether the measure has a source; one without has no samples.",
        [
            ((measure.value, SOURCES[measure].value), float(_known(watched.snapshot, measure)))
            for measure in Measure
        ],
        ("measure", "source"),
    )
    exchanges = _exchanges(watched.snapshot)
    for measure in Measure:
        yield from _measured(watched.snapshot, measure, exchanges)


def _exchanges(snapshot: Snapshot) -> list[str]:
    """Every exchange that the snapshot speaks of: one that a known measure does not name has none of it, and that is a 0."""
    readings = [reading for window in snapshot.readings.values() for reading in window.values()]
    return sorted({exchange for reading in readings for exchange in reading.by_exchange})


def _known(snapshot: Snapshot, measure: Measure) -> bool:
    return not snapshot.reading(measure, _window(measure)).missing


def _window(measure: Measure) -> Window:
    if measure in GAUGES:
        return Window.NOW
    return Window.TEN_MINUTES if measure in LATENCIES else Window.ALL_TIME


def _measured(snapshot: Snapshot, measure: Measure, exchanges: Sequence[str]) -> Iterator[Metric]:
    reading = snapshot.reading(measure, _window(measure))
    if reading.missing:
        return
    name, title = f"posguard_{measure.value}", TITLES[measure].capitalize()
    if measure in LATENCIES:
        yield from _latency(name, title, reading)
        return
    family: CounterMetricFamily | GaugeMetricFamily
    if measure in GAUGES:
        family = GaugeMetricFamily(name, f"{title}, by exchange.", labels=("exchange",))
    else:
        family = CounterMetricFamily(name, f"{title} since the first row, by exchange.", labels=("exchange",))
    for exchange in exchanges:
        if (value := reading.of(exchange)) is not None:
            family.add_metric((exchange,), value)
    yield family


def _latency(name: str, title: str, reading: Reading) -> Iterator[Metric]:
    everything = {"": reading.total, **reading.by_exchange}
    spreads = [
        (exchange, value) for exchange, value in sorted(everything.items()) if isinstance(value, Spread)
    ]
    yield _gauge(
        f"{name}_seconds",
        f"{title} over the last ten minutes; exchange is empty for all of them.",
        [
            ((exchange, quantile), value / 1000)
            for exchange, spread in spreads
            for quantile, value in (("0.5", spread.p50), ("0.95", spread.p95), ("0.99", spread.p99))
            if value is not None
        ],
        ("exchange", "quantile"),
    )
    yield _gauge(
        f"{name}_count",
        "How many that is.",
        [((exchange,), spread.count) for exchange, spread in spreads],
        ("exchange",),
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
