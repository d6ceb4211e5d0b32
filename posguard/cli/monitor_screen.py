"""What a monitor's run looks like: a live screen on a terminal, one line for each snapshot elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from posguard.cli.output import clean
from posguard.model.metrics import LATENCIES, METRICS, SUPPORTING, TITLES, Measure, Source, Window
from posguard.model.monitoring import Reading, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from posguard.model.monitor_alerts import Changes, MonitorAlert
    from posguard.model.monitoring import MonitorRun, Snapshot

_WINDOWS = (Window.NOW, Window.MINUTE, Window.TEN_MINUTES, Window.ALL_TIME)
_HEADS = ("now", "last minute", "last 10 min", "all time")
_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_IN_LINE = (
    ("active", Measure.POSITIONS_ACTIVE, Window.NOW),
    ("unprotected", Measure.POSITIONS_UNPROTECTED, Window.NOW),
    ("opened", Measure.POSITIONS_OPENED, Window.MINUTE),
    ("closed", Measure.POSITIONS_CLOSED, Window.MINUTE),
    ("prices", Measure.PRICE_UPDATES, Window.MINUTE),
    ("trailing", Measure.TRAILING_ACTIVATED, Window.MINUTE),
    ("stops moved", Measure.STOP_LOSS_TRAILED, Window.MINUTE),
    ("aged", Measure.POSITIONS_AGED, Window.NOW),
    ("errors", Measure.ERRORS, Window.MINUTE),
)


def spell(reading: Reading, *, exchanges: bool = True) -> str:
    """A reading in a few words: `5 (binance 3, bybit 2)`, `no source` where nothing is known."""
    if reading.missing:
        return "no source"
    parts = ", ".join(f"{name} {_number(value)}" for name, value in sorted(reading.by_exchange.items()))
    return f"{_number(reading.total)} ({parts})" if parts and exchanges else _number(reading.total)


def _number(value: float | Spread | None) -> str:
    if isinstance(value, Spread):
        if not value.count:
            return "–"
        return "/".join(f"{one:.0f}" for one in (value.p50, value.p95, value.p99) if one is not None)
    return f"{value:g}" if value is not None else "–"


def snapshot_line(run: MonitorRun, snapshot: Snapshot, standing: int) -> str:
    """A snapshot on one line."""
    head = f"{snapshot.at:%Y-%m-%d %H:%M:%S}Z  {snapshot.number}/{run.expected}"
    if snapshot.missed:
        return f"{head}  MISSED: {clean(snapshot.missed)}"
    told = "  ".join(
        f"{name} {spell(snapshot.reading(measure, window))}" for name, measure, window in _IN_LINE
    )
    return f"{head}  {told}  alerts {standing}"


def alert_lines(changes: Changes) -> Iterator[str]:
    """The alerts that a snapshot raised or cleared, a line each."""
    for alert in changes.raised:
        yield f"{alert.standing.severity.upper()}: {clean(alert.standing.text)}"
    for alert in changes.cleared:
        yield f"over ({alert.standing.severity}): {clean(alert.standing.text)}"


def slow_text(slow: Sequence[str]) -> str:
    """What is said where indexes are missing."""
    return (
        f"The database lacks {', '.join(slow)}: each snapshot reads whole tables. "
        "`posguard db upgrade --target bot` builds them while the bot goes on, and `posguard db downgrade --target bot` takes them away."
    )


class PlainScreen:
    """A line for each snapshot and each alert."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def began(self, run: MonitorRun, *, again: bool, slow: Sequence[str]) -> None:
        """A run begins, or goes on."""
        word = "goes on" if again else "begins"
        self._say(
            f"Run {run.id} {word}: {run.expected} snapshots from {run.started_at:%Y-%m-%d %H:%M:%S}Z "
            f"to {run.ends_at:%Y-%m-%d %H:%M:%S}Z"
        )
        if slow:
            self._say(slow_text(slow))

    def counting(self, done: int, total: int) -> None:
        """The rows of earlier times are being counted."""
        self._say(f"Counting what is there already: {done} of {total}")

    def took(
        self, run: MonitorRun, snapshot: Snapshot, changes: Changes, standing: Sequence[MonitorAlert]
    ) -> None:
        """A snapshot was kept, or recorded as missed."""
        self._say(snapshot_line(run, snapshot, len(standing)))
        for line in alert_lines(changes):
            self._say(f"  {line}")

    def trouble(self, text: str) -> None:
        """Something did not go as it should."""
        print(f"posguard: {clean(text)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left open."""

    def _say(self, text: str) -> None:
        # whoever read along may go; the watch goes on
        with suppress(OSError):
            print(text, file=self._out, flush=True)


class LiveScreen:
    """One screen that is drawn anew at each snapshot; news scroll above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def began(self, run: MonitorRun, *, again: bool, slow: Sequence[str]) -> None:
        """A run begins, or goes on."""
        word = "goes on" if again else "begins"
        self._print(f"Run {run.id} {word}: {run.expected} snapshots, until {run.ends_at:%H:%M:%S} UTC")
        if slow:
            self._print(slow_text(slow), "yellow")
        self._live.update("Waiting for the first snapshot …", refresh=True)

    def counting(self, done: int, total: int) -> None:
        """The rows of earlier times are being counted."""
        self._live.update(f"Counting what is there already: {done} of {total}", refresh=True)

    def took(
        self, run: MonitorRun, snapshot: Snapshot, changes: Changes, standing: Sequence[MonitorAlert]
    ) -> None:
        """A snapshot was kept, or recorded as missed."""
        for line in alert_lines(changes):
            self._print(f"{snapshot.at:%H:%M:%S} {line}", _STYLES.get(line.split(":")[0].lower(), "green"))
        if snapshot.missed:
            self._print(snapshot_line(run, snapshot, len(standing)), "yellow")
            return
        self._live.update(screen(run, snapshot, standing), refresh=True)

    def trouble(self, text: str) -> None:
        """Something did not go as it should."""
        self._print(f"posguard: {text}", "yellow")

    def close(self) -> None:
        """Gives the terminal back, the last screen left on it."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(clean(text), style=style, markup=False, highlight=False)


def screen(run: MonitorRun, snapshot: Snapshot, standing: Sequence[MonitorAlert]) -> Any:
    """The live screen: each metric in each window, what is beside them, and the alerts that stand."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", *_HEADS):
        table.add_column(name, overflow="fold")
    rows = [(TITLES[measure], metric.source, measure) for metric in METRICS for measure in metric.measures]
    rows += [(one.title, one.source, one.measure) for one in SUPPORTING]
    for title, source, measure in rows:
        cells = [_cell(snapshot, measure, window) for window in _WINDOWS]
        mark = " (log)" if source is Source.LOG else ", ms P50/95/99" if measure in LATENCIES else ""
        danger = measure is Measure.POSITIONS_UNPROTECTED and bool(snapshot.unprotected)
        table.add_row(f"{title}{mark}", *cells, style="bold red" if danger else "")
    left = max(int((run.ends_at - snapshot.at).total_seconds()), 0)
    head = Text(
        f"Snapshot {snapshot.number} of {run.expected} at {snapshot.at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{left // 3600} h {left // 60 % 60} min left",
        style="bold",
    )
    alerts = [
        Text(
            f"{one.standing.severity}: {clean(one.standing.text)} (since {one.raised_at:%H:%M:%S})",
            style=_STYLES[one.standing.severity],
        )
        for one in sorted(standing, key=lambda one: one.standing.severity.rank)[:20]
    ]
    more = [Text(f"and {len(standing) - 20} more alerts")] if len(standing) > 20 else []
    # a terminal that is too low cuts what is below: the alerts come first
    return Group(head, *(alerts or [Text("no alerts", style="green")]), *more, table)


def _cell(snapshot: Snapshot, measure: Measure, window: Window) -> str:
    if measure not in snapshot.readings.get(window, {}):
        return ""
    return spell(snapshot.reading(measure, window))
