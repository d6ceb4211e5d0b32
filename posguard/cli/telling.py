"""Findings as text: lists, and one in full with both its sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cli import output
from posguard.cli.moments import spell
from posguard.cli.output import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.model.finding import Finding, FindingEvent, StoredFinding

NOT_BUILT = "(not built yet)"


def repair(finding: Finding) -> str:
    """The command that mends a finding, marked where this version lacks it; else where the runbook tells of it."""
    if not finding.repair:
        return f"no automatic repair: docs/runbook.md#{finding.runbook}"
    return finding.repair if finding.repair_built else f"{finding.repair} {NOT_BUILT}"


def place(finding: Finding) -> str:
    """Symbol, exchange and, where it is not the only one, account and leg."""
    return str(finding.key)


def stored_findings(found: Sequence[StoredFinding]) -> None:
    """A table of the desk."""
    output.table(
        ("id", "severity", "kind", "where", "proof", "state", "first seen (UTC)", "last seen (UTC)"),
        [
            (
                str(one.id),
                one.finding.severity,
                one.finding.kind,
                place(one.finding),
                one.finding.proof,
                one.state,
                spell(one.first_seen),
                spell(one.last_seen),
            )
            for one in found
        ],
    )


def stored_finding(found: StoredFinding, events: Sequence[FindingEvent]) -> None:
    """One finding of the desk in full."""
    print(f"Finding {found.id}: {found.state}")
    whole(found.finding)
    if found.reason or found.decided_by:
        until = f" until {spell(found.until)} UTC" if found.until else ""
        print(f"\n{found.state} by {found.decided_by}{until}: {found.reason or 'no reason given'}")
    output.table(
        ("at (UTC)", "event", "run", "by", "note"),
        [(spell(e.at), e.event, str(e.run_id or "–"), e.actor or "–", e.note or "–") for e in events],
        title="Its life",
    )


def whole(finding: Finding) -> None:
    """One finding in full: what is wrong, both sides with the difference marked, evidence, what mends it."""
    print(clean(f"{finding.severity}, {finding.proof}: {finding.title}"))
    print(clean(f"{finding.kind}, {place(finding)}"))
    sides("database", finding.database, finding.differing)
    sides("venue", finding.venue, finding.differing)
    for sentence in finding.evidence:
        print(clean(f"  - {sentence}"))
    print(f"  What mends it: {repair(finding)}")


def sides(title: str, rows: Iterable[Mapping[str, str]], differing: Iterable[str]) -> None:
    """One side of a finding, a field a line; a field that differs is marked with `!`."""
    marked = set(differing)
    rows = tuple(rows)
    if not rows:
        print(f"  {title}: nothing")
    for row in rows:
        print(f"  {title}:")
        for name, value in row.items():
            print(clean(f"    {'!' if name in marked else ' '} {name}: {value}"))
