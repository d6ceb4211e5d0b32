"""`posguard logs investigate` on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from posguard.cli import output
from posguard.cli.logs_text import clock
from posguard.model.incident import Standing
from posguard.report.lanes import spell_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.logs.case import Case
    from posguard.logs.investigate import Investigation
    from posguard.model.incident import Evidence


def investigation(found: Investigation, *, zones: Sequence[str]) -> None:
    """Prints an investigation; with one zone among the logs, its time stands beside UTC."""
    case = found.case
    zone = ZoneInfo(zones[0]) if len(zones) == 1 else None
    where = f" on {case.exchange}" if case.exchange else ""
    print(
        f"{case.symbol}{where} around {clock(case.at)} UTC"
        + (f", {clock(case.at.astimezone(zone))} {zone.key}" if zone else "")
    )
    ids = ", ".join(f"#{row.id}" for row in case.rows) or "no row"
    gap = f", inserted {spell_gap(case.inserts[1] - case.inserts[0])} apart" if case.inserts else ""
    print(f"Rows: {ids}{gap}.")
    if case.elsewhere:
        names = ", ".join(f"#{row.id} on {row.exchange}" for row in case.elsewhere)
        print(f"Left out: {names}; --exchange chooses.")
    print(reach(case))
    if not case.lines:
        print("No line that was read is about it at that time: is the zone right, and is it this log?")
    if found.still_open:
        print(f"Open now: {', '.join(f'#{number}' for number in found.still_open)}.")
    if found.skew is not None:
        print(f"The log's lines come {spell_gap(found.skew)} after the database's times.")
    rows = [
        (
            clock(one.at)[11:] if one.at else "",
            clock(one.at.astimezone(zone))[11:] if one.at and zone else "",
            one.where,
            one.text,
        )
        for one in found.side_by_side
    ]
    output.table(("UTC", zone.key if zone else "host", "where", "what"), rows, title="Side by side")
    for standing in Standing:
        for one in found.hypotheses:
            if one.standing is standing:
                print(f"\n{standing.upper()}: {one.name}. {one.question}")
                print(f"  {one.why}")
                _evidence(one.evidence)
                for missing in one.missing:
                    print(f"  missing: {missing}")


def reach(case: Case) -> str:
    """From when to when the log was read, in a sentence."""
    if case.first is None or case.last is None:
        return "The log holds no event."
    return f"The log's events reach from {clock(case.first)[:-4]} to {clock(case.last)[:-4]} UTC."


def _evidence(evidence: Sequence[Evidence]) -> None:
    for one in evidence:
        at = f"{clock(one.at)} UTC " if one.at else ""
        print(f"  - {at}{one.where}: {output.clean(one.text)}")
