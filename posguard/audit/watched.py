"""What the monitor saw in the window: charts of its snapshots, and its alerts as issues. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.model.audit import Area, Gap, Issue, Priority
from posguard.model.duration import spell_duration
from posguard.model.finding import Severity
from posguard.model.incident import Evidence
from posguard.model.metrics import Measure
from posguard.model.metrics import Window as Covered
from posguard.model.monitor_alerts import AlertKind
from posguard.report.document import Chart, Heading, Series, Text
from posguard.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from posguard.audit.facts import Facts
    from posguard.model.audit import Window
    from posguard.model.monitor_alerts import MonitorAlert
    from posguard.model.monitoring import Snapshot
    from posguard.report.document import Block

# Longer windows hold more snapshots than a report can show; their rows tell the hours.
LONGEST = timedelta(days=2)
_BARS = 48
_SHOWN = 20
_TITLES = {
    AlertKind.NO_STOP_LOSS: ("Positions without a stop-loss, as the monitor saw them", Area.PROTECTION),
    AlertKind.EMERGENCY_CLOSE: ("Emergency closes, as the monitor saw them", Area.PROTECTION),
    AlertKind.SNAPSHOTS_MISSED: ("Times in which the monitor could not look", Area.PERFORMANCE),
    AlertKind.BOT_SILENT: ("Times in which the bot was silent while positions were open", Area.LIFECYCLE),
    AlertKind.ERROR_RATE: ("Times with many errors a minute", Area.ERRORS),
    AlertKind.NO_PRICE_UPDATES: ("Times without a price while positions were open", Area.PERFORMANCE),
    AlertKind.AGED: ("Positions that turned too old, as the monitor saw them", Area.AGE),
}
_CHARTS = (
    (
        "Seen by the monitor: positions",
        (
            ("active", "info", Measure.POSITIONS_ACTIVE, Covered.NOW),
            ("unprotected", "critical", Measure.POSITIONS_UNPROTECTED, Covered.NOW),
        ),
    ),
    (
        "Seen by the monitor: a minute, on average",
        (
            ("opened", "info", Measure.POSITIONS_OPENED, Covered.MINUTE),
            ("closed", "clear", Measure.POSITIONS_CLOSED, Covered.MINUTE),
            ("errors", "critical", Measure.ERRORS, Covered.MINUTE),
        ),
    ),
    (
        "Seen by the monitor: price updates a minute, on average",
        (("price updates", "info", Measure.PRICE_UPDATES, Covered.MINUTE),),
    ),
    (
        "Seen by the monitor: API errors and reconnects a minute, on average",
        (
            ("API errors", "critical", Measure.API_ERRORS, Covered.MINUTE),
            ("reconnects", "warning", Measure.WEBSOCKET_RECONNECTS, Covered.MINUTE),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Watch:
    """The monitor's snapshots and alerts of a window."""

    snapshots: tuple[Snapshot, ...] = ()
    alerts: tuple[MonitorAlert, ...] = ()

    @property
    def missed(self) -> int:
        """How many snapshots there should have been and are not."""
        return sum(bool(one.missed) for one in self.snapshots)


def watch_gaps(watch: Watch, window: Window) -> tuple[Gap, ...]:
    """What the monitor did not see."""
    if window.length > LONGEST:
        return ()
    if not watch.snapshots:
        return (
            Gap(
                "the monitor",
                "it took no snapshot in the window: what stood open or unprotected between the rows' changes, prices and reconnects "
                "by the minute are not known",
                "Run `posguard monitor --log PATH` beside the bot.",
            ),
        )
    if watch.missed:
        return (
            Gap(
                f"{watch.missed} of {len(watch.snapshots)} snapshots of the monitor",
                "what stood at these moments is not known",
            ),
        )
    return ()


def charts(facts: Facts) -> Iterator[Block]:
    """The charts, each broken where no snapshot knows; what no snapshot has a source for is one sentence."""
    watch = facts.watch
    if not watch.snapshots:
        yield Text("The monitor took no snapshot in the window: no source.", "dim")
        return
    yield Heading("Seen by the monitor")
    yield Text(f"{plural(len(watch.snapshots), 'snapshot')}, {watch.missed} of them missed.", "dim")
    starts = _starts(facts.window)
    for title, lines in _CHARTS:
        series = tuple(
            Series(name, tone, _values(watch.snapshots, starts, measure, covered))
            for name, tone, measure, covered in lines
        )
        if all(value is None for one in series for value in one.values):
            yield Text(f"{title}: no source.", "dim")
        else:
            yield Chart(title, tuple(f"{at:%H:%M}" for at in starts), series, lines=True)


def watch_issues(facts: Facts) -> Iterable[Issue]:
    """One issue for each kind of alert that the monitor raised."""
    groups: dict[AlertKind, list[MonitorAlert]] = defaultdict(list)
    for one in facts.watch.alerts:
        groups[one.standing.kind].append(one)
    for kind, found in groups.items():
        yield _issue(kind, found)


def _issue(kind: AlertKind, found: Sequence[MonitorAlert]) -> Issue:
    title, area = _TITLES[kind]
    severity = found[0].standing.severity
    stands = [one for one in found if one.cleared_at is None]
    urgent = Priority.NOW if stands else Priority.TODAY
    priority = {Severity.CRITICAL: urgent, Severity.WARNING: Priority.SOON}.get(severity, Priority.LATER)
    return Issue(
        key=f"monitor:{kind}",
        area=area,
        title=title,
        severity=severity,
        priority=priority,
        count=len(found),
        evidence=tuple(_evidence(one) for one in found[:_SHOWN]),
        left_out=max(0, len(found) - _SHOWN),
        row_ids=tuple(sorted({p for one in found if (p := one.standing.position_id) is not None})),
        advice=f"{len(stands)} of them stand still."
        if stands
        else "All of them are over; see what led to each.",
        runbook=kind.value.replace("_", "-"),
        retest="The monitor of the next window raises none.",
    )


def _evidence(one: MonitorAlert) -> Evidence:
    lasted = (
        f"cleared after {spell_duration(one.cleared_at - one.raised_at)}" if one.cleared_at else "not cleared"
    )
    return Evidence("alert of the monitor", f"{one.standing.text}; {lasted}", one.raised_at)


def _starts(window: Window) -> tuple[datetime, ...]:
    step = window.length / _BARS
    return tuple(window.start + n * step for n in range(_BARS))


def _values(
    snapshots: Sequence[Snapshot], starts: Sequence[datetime], measure: Measure, covered: Covered
) -> tuple[float | None, ...]:
    """For each stretch the highest of what stood, or the mean of what happened a minute; None where no snapshot knows."""
    known: dict[int, list[float]] = defaultdict(list)
    step = starts[1] - starts[0]
    for one in snapshots:
        reading = one.reading(measure, covered)
        if not reading.missing and isinstance(reading.total, int | float):
            place = min(max(int((one.at - starts[0]) / step), 0), len(starts) - 1)
            known[place].append(float(reading.total))
    return tuple(_of(known.get(n), covered) for n in range(len(starts)))


def _of(values: Sequence[float] | None, covered: Covered) -> float | None:
    if not values:
        return None
    return max(values) if covered is Covered.NOW else round(sum(values) / len(values), 2)
