"""The audit of a window: issues, hours and the report in fifteen sections with an appendix. Pure: facts in, values out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posguard.audit import sections_data, sections_events, sections_first, sections_last
from posguard.audit.hours import observe
from posguard.audit.issues import find_issues
from posguard.audit.notes import Notes
from posguard.model.duration import spell_duration
from posguard.model.finding import Severity
from posguard.report.document import Document
from posguard.report.words import plural

if TYPE_CHECKING:
    from posguard.audit.facts import Facts
    from posguard.model.audit import Gap, Hour, Issue


@dataclass(frozen=True)
class HourLine:
    """One hour with what the data say of it and what the operator noted."""

    hour: Hour
    observations: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Audit:
    """A whole audit. `light` is the one word for it: critical, warning, clear, or inconclusive where nobody knows enough to say."""

    facts: Facts
    issues: tuple[Issue, ...]
    hours: tuple[HourLine, ...]
    notes: Notes = field(default_factory=Notes)

    @property
    def open_issues(self) -> tuple[Issue, ...]:
        """The issues that are not resolved."""
        return tuple(one for one in self.issues if not one.resolved)

    @property
    def counts(self) -> dict[str, int]:
        """How many open issues of each severity and priority, how many resolved, how much was missing."""
        found = Counter(str(one.severity) for one in self.open_issues)
        found += Counter(str(one.priority) for one in self.open_issues)
        names = ("critical", "warning", "info", "P1", "P2", "P3", "P4")
        return {name: found[name] for name in names} | {
            "issues": len(self.open_issues),
            "resolved": len(self.issues) - len(self.open_issues),
            "missing": len(self.facts.gaps),
        }

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What was missing."""
        return self.facts.gaps

    @property
    def light(self) -> str:
        """See the class."""
        severities = {one.severity for one in self.open_issues}
        if Severity.CRITICAL in severities:
            return "critical"
        if not self.facts.conclusive:
            return "inconclusive"
        return "warning" if Severity.WARNING in severities else "clear"

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        counts = self.counts
        said = [
            plural(counts[name], word)
            for name, word in (("critical", "critical issue"), ("warning", "warning"))
            if counts[name]
        ]
        if counts["info"]:
            said.append(f"{counts['info']} for information")
        found = ", ".join(said) or "no issue"
        if not self.facts.conclusive:
            found += (
                "; no complete look at the exchanges lies in the window, so what stands on them is not known"
            )
        return f"{found[:1].upper()}{found[1:]}."


def build(facts: Facts, notes: Notes | None = None) -> Audit:
    """The audit of what was read."""
    noted = notes or Notes()
    hours = tuple(HourLine(one, observe(facts, one), noted.of(one)) for one in facts.rows.hours)
    return Audit(facts, find_issues(facts), hours, noted)


def document(audit: Audit) -> Document:
    """The report of an audit."""
    facts = audit.facts
    return Document(
        title=f"Audit, {facts.window}",
        headline=audit.headline,
        light=audit.light,
        summary=f"{spell_duration(facts.window.length)} of the bot's rows, events, log and exchanges, as they were known at "
        f"{facts.at:%Y-%m-%d %H:%M:%S} UTC.",
        built_at=facts.at,
        demo=facts.demo,
        sections=(
            sections_first.summary(audit),
            sections_first.scope(audit),
            sections_first.method(audit),
            sections_first.health(audit),
            sections_data.positions(audit),
            sections_data.protection(audit),
            sections_events.races(audit),
            sections_events.errors(audit),
            sections_events.latency(audit),
            sections_data.trailing(audit),
            sections_data.aged(audit),
            sections_data.reconciliation(audit),
            sections_data.pnl(audit),
            sections_last.issues(audit),
            sections_last.plan(audit),
            sections_last.appendix(audit),
        ),
    )
