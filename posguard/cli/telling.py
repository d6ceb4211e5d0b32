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


def repairs(repair: str, runbook: str, *, built: bool) -> tuple[str, ...]:
    """The commands of a repair, marked where this version lacks them; else where the runbook tells of it."""
    if not repair:
        return (f"no automatic repair: docs/runbook.md#{runbook}",)
    return tuple(command if built else f"{command} {NOT_BUILT}" for command in repair.splitlines())


def repair_rows(*cells: str, ways: Sequence[str]) -> list[tuple[str, ...]]:
    """A row of a table that ends in a command, and one more for each further command to choose from."""
    first, *more = ways
    return [(*cells, first), *((*("",) * len(cells), command) for command in more)]


def cautions(texts: Iterable[str]) -> None:
    """What to make sure of before some commands above are typed, each thing once."""
    for text in dict.fromkeys(filter(None, texts)):
        print(f"  ! {text}")


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
    ways = repairs(finding.repair, finding.runbook, built=finding.repair_built)
    if len(ways) == 1:
        print(f"  What mends it: {ways[0]}")
    else:
        print("  What mends it, one of these:")
        for command in ways:
            print(f"    {command}")
    cautions([finding.caution])


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
