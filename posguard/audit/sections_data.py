"""Sections 5, 6 and 10 to 13 of the report: positions, protection, trailing stops, age, reconciliation, profit and loss. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from posguard.audit.parts import about, grid_or, hourly, moment, number, of, of_event, total
from posguard.audit.tables import tables
from posguard.model.audit import Area
from posguard.model.finding import Kind, Severity
from posguard.model.quality import Outcome
from posguard.report.document import Heading, Section, Text
from posguard.report.render import words
from posguard.report.view import compared
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.audit.build import Audit
    from posguard.report.document import Block

_RUNS = 40
_PROTECTION = (
    Kind.UNPROTECTED_POSITION,
    Kind.STOP_WRONG_SIDE,
    Kind.STOP_UNDERSIZED,
    Kind.STOP_NOT_RECORDED,
    Kind.DUPLICATE_STOP,
)
_AGE = (Kind.AGED_POSITION, Kind.ZOMBIE_ORDER)


def positions(audit: Audit) -> Section:
    """Section 5."""
    hours = audit.facts.rows.hours
    rows = [
        (label, number(total(hours, name)))
        for label, name in (
            ("Opened", "opened"),
            ("Closed", "closed"),
            ("Rolled back", "rolled_back"),
            ("Failed or canceled", "broken_off"),
        )
    ]
    rows.append(("Open at the end", number(hours[-1].get("open_at_end") if hours else None)))
    blocks: list[Block] = [
        grid_or(rows, ("In the window", "Positions"), "", numeric=(1,)),
        _endings(audit),
        *tables(
            audit.facts,
            "by_exchange",
            "by_status",
            "lifecycle",
            "lifecycle_faults",
            "orders",
            "order_fees",
            "order_faults",
        ),
        about(audit, Area.POSITIONS, Area.LIFECYCLE),
    ]
    return Section(5, "Positions", "positions", tuple(blocks))


def _endings(audit: Audit) -> Block:
    rows = [
        (one.status, redact(one.reason) or "–", str(one.count), ", ".join(f"#{row}" for row in one.ids))
        for one in audit.facts.rows.endings
    ]
    empty = (
        "Why openings broke off has no source."
        if "broken_off" in audit.facts.rows.missing
        else "No opening broke off."
    )
    columns = ("Broke off as", "For the reason", "Positions", "The first rows")
    return grid_or(rows, columns, empty, numeric=(2,))


def protection(audit: Audit) -> Section:
    """Section 6."""
    blocks = [
        _findings(audit, _PROTECTION),
        _events(audit, _STOP_EVENTS),
        *tables(audit.facts, "stop_loss", "stop_distance", "unprotected", "never_protected"),
        about(audit, Area.PROTECTION),
    ]
    return Section(6, "Protection", "protection", tuple(blocks))


_STOP_EVENTS = (
    ("Stop-losses placed", "stop_loss_placed"),
    ("Stop-losses updated", "stop_loss_updated"),
    ("Stop-losses triggered", "stop_loss_triggered"),
    ("Stop-losses that failed", "stop_loss_error"),
    ("Positions found without one", "positions_without_sl_detected"),
    ("Emergency stops", "emergency_stop_placed"),
)
_TRAILING_EVENTS = (
    ("Created", "trailing_stop_created"),
    ("Activated", "trailing_stop_activated"),
    ("Updated", "trailing_stop_updated"),
    ("Stop-losses moved by them", "trailing_stop_sl_updated"),
    ("Removed", "trailing_stop_removed"),
)


def trailing(audit: Audit) -> Section:
    """Section 10."""
    chart = hourly(
        audit,
        "Trailing stops an hour",
        (
            ("activated", "clear", of_event("trailing_stop_activated")),
            ("updated", "info", of_event("trailing_stop_updated")),
        ),
        line=True,
    )
    blocks = (
        _events(audit, _TRAILING_EVENTS),
        chart,
        *tables(audit.facts, "trailing_states", "trailing_rushes", "trailing_faults"),
        about(audit, Area.TRAILING),
    )
    return Section(10, "Trailing stops", "trailing", blocks)


def aged(audit: Audit) -> Section:
    """Section 11."""
    blocks = (_findings(audit, _AGE), *tables(audit.facts, "aged", "zombies"), about(audit, Area.AGE))
    return Section(11, "Aged positions and zombie orders", "aged", blocks)


def reconciliation(audit: Audit) -> Section:
    """Section 12."""
    facts = audit.facts
    blocks: list[Block] = []
    if facts.run is not None:
        blocks.append(Text(f"The findings stand on {facts.findings_from}. {compared(facts.run)}"))
        blocks.append(
            grid_or(
                [
                    (
                        str(v.venue),
                        str(v.world or "not configured"),
                        str(v.verdict),
                        str(v.positions),
                        str(v.orders),
                        "; ".join(v.reasons),
                    )
                    for v in facts.run.venues
                ],
                ("Venue", "World", "Verdict", "Positions", "Orders", "Why not"),
                "That pass looked at no venue.",
                numeric=(3, 4),
            )
        )
    else:
        blocks.append(
            Text("No pass of the window judged every exchange: how they stood is not known.", "caution")
        )
    blocks += [_kinds(audit), *_suites(audit), *_runs(audit)]
    return Section(12, "Reconciliation", "reconciliation", tuple(blocks))


def _kinds(audit: Audit) -> Block:
    counted = Counter((one.finding.kind, one.finding.severity) for one in audit.facts.counted if one.counts)
    gone = Counter(one.finding.kind for one in audit.facts.counted if not one.counts)
    rows = [
        (words(kind), *(str(counted[kind, severity]) for severity in Severity), str(gone[kind]))
        for kind in Kind
        if any(counted[kind, severity] for severity in Severity) or gone[kind]
    ]
    empty = "No finding." if audit.facts.findings is not None else "Whether there are findings is not known."
    columns = ("Finding", *(str(s).capitalize() for s in Severity), "Resolved since")
    return grid_or(rows, columns, empty, numeric=(1, 2, 3, 4))


def _suites(audit: Audit) -> Iterable[Block]:
    if audit.facts.dismissed:
        yield Text(f"{audit.facts.dismissed} more are dismissed by the desk, and make no issue.", "dim")
    yield Heading("Suites")
    if audit.facts.results is None:
        yield Text(
            "No suite ran in the window: whether the rows are sound by themselves is not known.", "dim"
        )
        return
    suites = dict.fromkeys(one.suite for one in audit.facts.results)
    found = Counter((one.suite, one.result) for one in audit.facts.results)
    rows = [(suite, *(str(found[suite, result]) for result in Outcome)) for suite in suites]
    yield grid_or(
        rows, ("Suite", "Pass", "Violated", "Not judged", "Not applicable"), "No suite.", numeric=(1, 2, 3, 4)
    )


def _runs(audit: Audit) -> Iterable[Block]:
    yield Heading("Passes of the window")
    runs = audit.facts.runs[-_RUNS:]
    yield grid_or(
        [
            (str(run.id), moment(run.started_at), str(run.outcome), number(run.rows_read), number(run.rows_compared),
             *(number(run.counts.get(str(s)) if run.finished_at else None) for s in Severity))
            for run in runs
        ],
        ("Run", "Began", "Outcome", "Rows read", "Compared", "Critical", "Warning", "Info"),
        "No pass is stored for the window.",
        numeric=(0, 3, 4, 5, 6, 7),
    )  # fmt: skip
    if len(audit.facts.runs) > len(runs):
        yield Text(f"{len(audit.facts.runs) - len(runs)} earlier ones are not shown.", "dim")


def pnl(audit: Audit) -> Section:
    """Section 13."""
    hours = audit.facts.rows.hours
    chart = hourly(
        audit,
        "Realised profit and loss by the hour of the close",
        (("realised", "info", of("realized_pnl")),),
    )
    told = total(hours, "realized_pnl")
    said = (
        "Profit and loss has no source: the rows hold none."
        if told is None
        else f"The positions closed in the window realised {told:,.2f} in the currency of their rows, by what the rows say."
    )
    by = tables(audit.facts, "pnl", "pnl_by_reason", "pnl_by_symbol")
    return Section(13, "Profit and loss", "pnl", (Text(said), chart, *by))


def _findings(audit: Audit, kinds: tuple[Kind, ...]) -> Block:
    found = [one for one in audit.facts.counted if one.finding.kind in kinds]
    rows = [
        (
            words(one.finding.kind),
            one.finding.symbol or "–",
            one.finding.exchange,
            ", ".join(f"#{row}" for row in one.finding.row_ids) or ", ".join(one.finding.order_ids) or "–",
            f"{one.finding.severity}, {one.finding.proof}",
            "resolved" if one.resolved_at else str(one.state),
            moment(one.first_seen),
        )
        for one in sorted(
            found, key=lambda s: (s.finding.severity.rank, kinds.index(s.finding.kind), s.finding.symbol)
        )
    ]
    empty = "None." if audit.facts.findings is not None else "Not known: no complete look at the exchanges."
    columns = ("Finding", "Symbol", "Exchange", "Rows or orders", "How bad, how sure", "State", "First seen")
    return grid_or(rows, columns, empty)


def _events(audit: Audit, kinds: tuple[tuple[str, str], ...]) -> Block:
    hours = audit.facts.rows.hours
    rows = [(label, number(total(hours, f"event {kind}"))) for label, kind in kinds]
    return grid_or(rows, ("By the bot's events", "In the window"), "", numeric=(1,))
