"""Sections 14 and 15 of the report and the appendix: issues, action plan, what the evidence rests on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.audit.parts import grid_or, moment
from posguard.model.audit import UNKNOWN, Priority
from posguard.model.quality import Outcome
from posguard.report.document import Card, Code, Grid, Heading, Items, Section, Text
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posguard.audit.build import Audit
    from posguard.model.audit import Issue
    from posguard.model.incident import Evidence
    from posguard.report.document import Block


def issues(audit: Audit) -> Section:
    """Section 14."""
    overview = grid_or(
        [
            (
                str(o.number),
                str(o.priority),
                str(o.severity),
                str(o.area),
                o.title,
                str(o.count),
                "resolved" if o.resolved else "open",
            )
            for o in audit.issues
        ],
        ("Issue", "Priority", "Severity", "Area", "What", "How many", "State"),
        "No issue.",
        numeric=(5,),
    )
    return Section(14, "Issues", "issues", (overview, *(_card(one) for one in audit.issues)))


def _card(issue: Issue) -> Card:
    badges = [
        (str(issue.severity), str(issue.severity)),
        (f"{issue.priority}, {issue.priority.meaning}", "plain"),
        (str(issue.area), "plain"),
    ]
    if issue.resolved:
        badges.append(("resolved", "clear"))
    return Card(
        title=f"Issue {issue.number}: {issue.title}",
        anchor=f"issue-{issue.number}",
        tone=str(issue.severity),
        badges=tuple(badges),
        blocks=tuple(_card_blocks(issue)),
    )


def _card_blocks(issue: Issue) -> Iterator[Block]:
    yield Text("Evidence:", "label")
    yield Items(tuple(evidence_line(one) for one in issue.evidence))
    if issue.left_out:
        yield Text(f"{issue.left_out} more are not shown.", "dim")
    yield Text(
        f"Root cause: {issue.cause}." if issue.cause == UNKNOWN else f"Root cause: {_ended(issue.cause)}"
    )
    if issue.location:
        yield Text(f"Place in the code: `{issue.location}`.")
    yield Text("Suggested repair:", "label")
    if issue.repair:
        yield Code("\n".join(issue.repair))
    if issue.advice:
        yield Text(issue.advice)
    if issue.caution:
        yield Text(issue.caution, "caution")
    if issue.runbook:
        yield Text(f"Runbook: `docs/runbook.md#{issue.runbook}`.", "dim")
    yield Text(f"Retest: {issue.retest}")


def evidence_line(one: Evidence) -> str:
    """One line of evidence: where, when, what."""
    at = f", {one.at:%Y-%m-%d %H:%M:%S}.{one.at.microsecond // 1000:03d}" if one.at else ""
    return redact(f"{one.where}{at}: {one.text}")


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def plan(audit: Audit) -> Section:
    """Section 15."""
    blocks: list[Block] = []
    for priority in Priority:
        mine = [one for one in audit.open_issues if one.priority is priority]
        if mine:
            blocks += _steps(priority, mine)
    if not blocks:
        blocks.append(Text("Nothing to do about what could be looked at."))
    else:
        blocks.insert(
            0,
            Text(
                "In this order. A cleanup command prints a plan and its code first and changes nothing; `posguard cleanup --confirm CODE` "
                "carries that plan out, after a backup."
            ),
        )
    if audit.gaps:
        blocks += [
            Heading("Before the next audit"),
            Items(tuple(f"{gap.what}: {gap.hint}" for gap in audit.gaps if gap.hint)),
        ]
    return Section(15, "Action plan", "plan", tuple(blocks))


def _steps(priority: Priority, mine: list[Issue]) -> Iterator[Block]:
    yield Heading(f"{priority}: {priority.meaning}")
    yield Grid(
        ("Issue", "What", "What to do", "How to see that it is gone"),
        tuple((str(o.number), o.title, _todo(o), o.retest) for o in mine),
    )
    said = [line for one in mine if one.repair for line in _commands(one)]
    if said:
        yield Code("\n".join(said))


def _commands(issue: Issue) -> Iterator[str]:
    """The commands under a line that no shell runs, so that a whole block can be read and none is typed by mistake."""
    caution = f"; {issue.caution}" if issue.caution else ""
    yield " ".join(f"# Issue {issue.number}{caution}".split())
    yield from issue.repair


def _todo(issue: Issue) -> str:
    parts = []
    if issue.repair:
        number = len(issue.repair)
        parts.append(f"Run `{issue.repair[0]}`" if number == 1 else f"Run its {number} commands below")
    if issue.advice:
        parts.append(issue.advice)
    if issue.caution:
        parts.append(issue.caution)
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts)


def appendix(audit: Audit) -> Section:
    """The appendix."""
    facts = audit.facts
    blocks: list[Block] = [Heading("Events of the window by kind")]
    blocks.append(
        grid_or(
            [(e.event_type or "–", str(e.count), moment(e.first), moment(e.last)) for e in facts.rows.events],
            ("Event", "Times", "First", "Last"),
            "No event, or none that could be read.",
            numeric=(1,),
        )
    )
    if facts.log is not None:
        kinds = facts.log.statistics.kinds
        blocks.append(Heading("Records of the log by kind"))
        blocks.append(
            grid_or(
                [(kind, str(n)) for kind, n in kinds.items()], ("Record", "Times"), "No record.", numeric=(1,)
            )
        )
    if facts.rows.missing:
        blocks.append(Heading("What could not be asked of the database"))
        blocks.append(Items(tuple(f"{query}: {why}" for query, why in facts.rows.missing.items())))
    violated = [one for one in facts.results or () if one.result is Outcome.VIOLATION and one.query]
    if violated:
        blocks.append(Heading("Queries that find the rows of violated expectations again"))
        for one in violated:
            blocks += [Text(f"{one.expectation}: {one.title}"), Code(one.query)]
    return Section(0, "Appendix", "appendix", tuple(blocks))
