"""Sections 1 to 4 of the report: summary, scope and completeness, method, health over time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.audit.hours import errors_of
from posguard.audit.parts import grid_or, hourly, moment, number, of, of_event, total
from posguard.audit.watched import charts
from posguard.model.duration import spell_duration
from posguard.model.finding import Kind, Severity
from posguard.report.document import Grid, Heading, Items, Note, Numbers, Section, Text
from posguard.report.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.audit.build import Audit
    from posguard.audit.facts import Facts
    from posguard.report.document import Block

_TOP = 8


def summary(audit: Audit) -> Section:
    """Section 1."""
    counts, hours = audit.counts, audit.facts.rows.hours
    errors = [errors_of(hour) for hour in hours]
    known = [one for one in errors if one is not None]
    naked = _unprotected(audit.facts)
    numbers = (
        ("critical issues", str(counts["critical"]), "hurts" if counts["critical"] else "fine"),
        ("warnings", str(counts["warning"]), "hurts" if counts["warning"] else "fine"),
        ("positions that no live stop protects", number(naked), _tone(naked)),
        _races(audit.facts),
        ("opened", number(total(hours, "opened")), "plain"),
        ("closed", number(total(hours, "closed")), "plain"),
        ("open at the end", number(hours[-1].get("open_at_end") if hours else None), "plain"),
        ("error events", number(sum(known) if known else None), _tone(sum(known) if known else None)),
        ("realised profit and loss", number(total(hours, "realized_pnl"), 2), "plain"),
        ("sources missing", str(counts["missing"]), "unknown" if counts["missing"] else "fine"),
    )
    worst = [one for one in audit.open_issues if one.severity is Severity.CRITICAL][:_TOP]
    blocks: list[Block] = [Numbers(numbers)]
    if worst:
        blocks += [
            Heading("What needs somebody first"),
            Grid(
                ("Issue", "Priority", "What", "How many"),
                tuple(
                    (str(o.number), f"{o.priority}, {o.priority.meaning}", o.title, str(o.count))
                    for o in worst
                ),
                numeric=(3,),
            ),
        ]
    else:
        blocks.append(Text("No critical issue was found in what could be looked at."))
    if audit.gaps:
        blocks.append(
            Text(
                "What could not be looked at: "
                + "; ".join(gap.what for gap in audit.gaps)
                + ". Section 2 says more."
            )
        )
    return Section(1, "Summary", "summary", tuple(blocks))


def _races(facts: Facts) -> tuple[str, str, str]:
    seen = len(facts.races)
    if not (seen or facts.log_read):
        return ("races", number(None), "unknown")
    if facts.log_whole:
        return ("races", str(seen), _tone(seen))
    return ("races, in what was read of the log", str(seen), _tone(seen) if seen else "unknown")


def _unprotected(facts: Facts) -> int | None:
    if facts.findings is None:
        return None
    kinds = {Kind.UNPROTECTED_POSITION, Kind.STOP_WRONG_SIDE}
    return sum(one.counts and one.finding.kind in kinds for one in facts.counted)


def _tone(value: float | None) -> str:
    if value is None:
        return "unknown"
    return "hurts" if value else "fine"


def scope(audit: Audit) -> Section:
    """Section 2."""
    facts = audit.facts
    rows = [
        ("Window", f"{facts.window}, {spell_duration(facts.window.length)}"),
        ("Database", facts.database),
    ]
    rows += [("Rows and events", _rows_told(facts))]
    rows.append(("Findings", facts.findings_from or "not known"))
    rows.append(("Suites", facts.results_from or "not known"))
    rows.append(("Log", _log_told(facts)))
    seen = len(facts.watch.snapshots)
    rows.append(
        ("Monitor", f"{plural(seen, 'snapshot')}, {facts.watch.missed} of them missed" if seen else "not run")
    )
    blocks: list[Block] = [
        Grid(("Source", "What was read"), tuple(rows)),
        Heading("What was missing"),
        grid_or(
            [(gap.what, gap.loses, gap.hint) for gap in facts.gaps],
            ("Missing", "What nobody can say for it", "How to have it"),
            "Nothing: every source was there.",
        ),
    ]
    return Section(2, "Scope and completeness", "scope", tuple(blocks))


def _rows_told(facts: Facts) -> str:
    hours = facts.rows.hours
    events = sum(one.count for one in facts.rows.events)
    opened = total(hours, "opened")
    told = f"{number(opened)} rows created in the window, {events:,} events"
    return told + (f"; {plural(len(facts.rows.missing), 'query')} not possible" if facts.rows.missing else "")


def _log_told(facts: Facts) -> str:
    log = facts.log
    if log is None:
        return "not read"
    zones = ", ".join(f"{name} ({zone})" for name, zone in log.zones.items())
    numbers = log.statistics
    if numbers.first is None or numbers.last is None:
        return f"{log.where}: {zones}; no record that a pattern knows lies in the window"
    told = sum(numbers.kinds.values())
    return (
        f"{log.where}: {zones}; {told:,} records from {moment(numbers.first)} to {moment(numbers.last)} UTC, "
        f"{spell_duration(numbers.covered)} covered"
    )


def method(_: Audit) -> Section:
    """Section 3."""
    return Section(
        3,
        "Method",
        "method",
        (
            Text("Everything was read, nothing was changed. All times are UTC."),
            Items(
                (
                    "Rows and events come from one snapshot of the bot's database; what an hour holds is told by the rows' own times.",
                    "Findings compare the open rows with what the exchanges hold; a finding counts where its life touches the window.",
                    "What the desk dismissed makes no issue.",
                    "Suites are checks of the rows by themselves; a violated expectation names the rows that break it.",
                    "Races and errors come from the bot's log and its events; the same wording in both is one issue.",
                    "An issue says what its evidence proves. Its cause is what the evidence itself tells, else unknown.",
                    "Severity is how much it hurts while nobody looks; priority is when somebody has to.",
                    "P1 is now, P2 today, P3 this week, P4 when convenient.",
                    "A dash is a number that nobody knows. It is never zero.",
                )
            ),
        ),
    )


def health(audit: Audit) -> Section:
    """Section 4."""
    return Section(4, "Health over time", "health", (*_charts(audit), *charts(audit.facts), *_hours(audit)))


def _charts(audit: Audit) -> Iterator[Block]:
    yield hourly(
        audit,
        "Positions opened and closed in each hour, and open at its end",
        (
            ("opened", "info", of("opened")),
            ("closed", "clear", of("closed")),
            ("open at the end", "grey", of("open_at_end")),
        ),
        line=True,
    )
    yield hourly(
        audit,
        "Openings that broke off",
        (
            ("rolled back", "critical", of("rolled_back")),
            ("failed or canceled", "warning", of("broken_off")),
        ),
    )
    yield hourly(audit, "Error events an hour", (("errors", "critical", errors_of),))
    yield hourly(
        audit,
        "Stops an hour",
        (
            ("placed", "clear", of_event("stop_loss_placed")),
            ("updated", "info", of_event("stop_loss_updated")),
            ("triggered", "warning", of_event("stop_loss_triggered")),
            ("found missing", "critical", of_event("positions_without_sl_detected")),
        ),
        line=True,
    )


def _hours(audit: Audit) -> Iterator[Block]:
    yield Heading("Hour by hour", "hours")
    if audit.notes.general:
        yield Note(audit.notes.general)
    for line in audit.hours:
        yield Heading(f"{line.hour.start:%Y-%m-%d %H:%M} to {line.hour.end:%H:%M}")
        yield Items(line.observations)
        yield Note(line.note)
