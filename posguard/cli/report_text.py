"""A pass as text: check is a screen, report is everything; tables by Rich on a terminal, plain when piped."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.cli import output, telling
from posguard.cli.moments import spell
from posguard.cli.reporting import checks, totals
from posguard.model.duration import spell_duration
from posguard.model.finding import Severity
from posguard.reconcile.statistics import WINDOWS
from posguard.report.view import skipped_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.cli.reporting import Told
    from posguard.model.finding import Finding, StoredFinding
    from posguard.model.run import StoredRun


def diagnosis(told: Told, *, whole: bool) -> None:
    """What `posguard diagnose` prints: the short screen, or with `whole` every finding in full and the statistics."""
    _head(told)
    _checks(told)
    if whole:
        for finding in told.live:
            print()
            telling.whole(finding)
            _ages(finding, told.result.started_at)
        _statistics(told.result.statistics)
        _advice(told)
    else:
        _criticals(told.live)
    _foot(told)
    if not whole and len(told.live) > told.result.count(Severity.CRITICAL):
        print("Warnings, both sides, evidence and statistics: --mode report.")


def recorded(told: Told, run: StoredRun, seen: Sequence[StoredFinding]) -> None:
    """What `posguard reconcile` prints: the screen, the findings with their numbers, what the run changed."""
    _head(told)
    _checks(told)
    if seen:
        print()
        telling.stored_findings(seen)
        print("One of them with its evidence and what mends it: posguard findings show ID.")
    changed = ", ".join(
        f"{run.counts.get(name, 0)} {name}" for name in ("found", "changed", "reopened", "resolved")
    )
    print(f"\nRun {run.id} recorded as {run.outcome}: {changed}.")
    _foot(told)


def _head(told: Told) -> None:
    if told.screen.demo:
        print("DEMO DATA: a made-up bot on made-up exchanges.")
    print(told.screen.headline)
    print(told.screen.line)
    print(told.screen.compared)
    print(f"Looked at {told.result.scope} at {spell(told.result.started_at)} UTC.")
    output.table(
        ("venue", "world", "verdict", "positions", "orders", "snapshots", "clock", "reasons"),
        [
            (
                str(v.venue),
                str(v.world or "not configured"),
                v.verdict,
                str(v.positions),
                str(v.orders),
                str(v.snapshots),
                "–" if v.clock_skew_ms is None else f"{v.clock_skew_ms:+d} ms",
                "; ".join(v.reasons) or "–",
            )
            for v in told.result.venues
        ],
        title="Venues",
    )


def _checks(told: Told) -> None:
    output.table(
        ("check", "kind", *Severity),
        [(c.feature, c.kind, *(c.text(severity) for severity in Severity)) for c in checks(told)],
        title="Checks (? and ≥: a venue could not be judged)" if not told.result.conclusive else "Checks",
    )


def _criticals(live: Sequence[Finding]) -> None:
    critical = [f for f in live if f.severity is Severity.CRITICAL]
    if not critical:
        return
    output.table(
        ("proof", "critical problem", "rows", "what mends it"),
        [
            cells
            for f in critical
            for cells in telling.repair_rows(
                f.proof,
                f.title,
                " ".join(f"#{row}" for row in f.row_ids) or "–",
                ways=telling.repairs(f.repair, f.runbook, built=f.repair_built),
            )
        ],
        title="Critical",
    )
    telling.cautions(f.caution for f in critical)


def _ages(finding: Finding, now: datetime) -> None:
    for row in finding.database:
        for name in ("opened", "created"):
            try:
                age = now - datetime.fromisoformat(row[name])
            except (KeyError, ValueError):
                continue
            print(f"  Row #{row.get('id', '?')} is {spell_duration(age)} old.")
            break


def _advice(told: Told) -> None:
    from posguard.reconcile.advice import recommendations

    found = recommendations(told.live)
    if not found:
        return
    output.table(
        ("findings", "worst", "what to do"),
        [
            cells
            for r in found
            for cells in telling.repair_rows(
                str(r.findings), r.worst, ways=telling.repairs(r.command, r.runbook, built=r.built)
            )
        ],
        title="What to do, what protects first",
    )
    telling.cautions(r.caution for r in found)


def _foot(told: Told) -> None:
    for skipped in told.result.skipped:
        print(f"Skipped: {skipped_text(skipped)}")
    for note in told.result.notes:
        print(f"Note: {note}")
    if hidden := totals(told)["dismissed"]:
        print(f"Dismissed and not counted: {hidden} (`posguard findings list --state dismissed`).")


def _statistics(statistics: Mapping[str, Any]) -> None:
    """Each measure, or why it has no source."""
    if not statistics:
        return
    _lines(
        "Rows by status, created in the last 24 h",
        statistics["by_status"],
        ("status", "rows", "first (UTC)", "last (UTC)", "mean duration"),
        lambda row: (
            row["status"],
            str(row["count"]),
            _at(row["first"]),
            _at(row["last"]),
            _long(row["mean_seconds"]),
        ),
    )
    _errors(statistics["errors_per_hour"], statistics["error_hours"])
    windows, baseline = statistics["windows"], statistics["baseline"]
    days = (*(_DAYS[name] for name in windows), baseline.get("days"))
    output.table(
        ("measure", *windows, f"{baseline['name']}{_period(baseline)}"),
        [
            (
                name,
                *(
                    _measure(*one, part, field)
                    for one in zip((*windows.values(), baseline), days, strict=True)
                ),
            )
            for name, part, field in _MEASURES
        ],
        title="Is it getting better",
    )


def _period(baseline: Mapping[str, Any]) -> str:
    """How long a baseline's period was and when it ended, where that is known."""
    return f" ({baseline['days']:g} d to {baseline['to'][:10]})" if baseline.get("days") else ""


def _errors(measured: Mapping[str, Any], hours: int) -> None:
    """Hours without an error are left out, and said to be."""
    title, rows = f"Errors per hour, the last {hours} h", measured.get("rows", ())
    if rows:
        title += f": {sum(row['errors'] for row in rows)} in all, hours without one left out"
    _lines(
        title,
        {**measured, "rows": [row for row in rows if row["errors"]]},
        ("hour (UTC)", "errors"),
        lambda row: (_at(row["hour"]), str(row["errors"])),
    )


_DAYS = {name: length / timedelta(days=1) for name, length in WINDOWS.items()}
_A_DAY = " a day"
# Title, part and field of a window. Periods differ in length, so that counts are compared by the day.
_MEASURES = (
    ("rows opened", "rolled_back", "rows"),
    ("rolled back", "rolled_back", "rolled_back"),
    ("rolled back, share (goal under 0.05)", "rolled_back", "share"),
    ("rolled back for a duplicate", "rolled_back", "for_duplicates"),
    ("rolled back for a duplicate, a day", "rolled_back", "for_duplicates" + _A_DAY),
    ("duplicate-key errors", "duplicate_key_errors", "count"),
    ("duplicate-key errors, a day", "duplicate_key_errors", "count" + _A_DAY),
    ("time to the stop, P50 s", "open_latency", "p50"),
    ("time to the stop, P95 s", "open_latency", "p95"),
    ("time to the stop, P99 s", "open_latency", "p99"),
)


def _measure(window: Mapping[str, Any], days: float | None, part: str, field: str) -> str:
    """One number; no source where it cannot be told, a dash where there is nothing to measure."""
    found = window.get(part, window)
    if "no_source" in found:
        return "no source"
    value = found.get(field.removesuffix(_A_DAY))
    if field.endswith(_A_DAY):
        value = None if value is None or days is None else value / days
    return "–" if value is None else f"{value:.4g}"


def _lines(title: str, measured: Mapping[str, Any], columns: Sequence[str], cells: Any) -> None:
    if reason := measured.get("no_source"):
        print(f"\n{title}: no source ({reason})")
        return
    if not measured["rows"]:
        print(f"\n{title}: none")
        return
    output.table(columns, [cells(row) for row in measured["rows"]], title=title)


def _at(text: str | None) -> str:
    return spell(datetime.fromisoformat(text)) if text else "–"


def _long(seconds: float | None) -> str:
    return "–" if seconds is None else spell_duration(timedelta(seconds=seconds))
