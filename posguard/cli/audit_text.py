"""What `posguard audit` prints: the result, what was missing, the issues, and where the report is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posguard.cli import output

if TYPE_CHECKING:
    from posguard.audit.build import Audit

_WIDEST = 96


def audit(made: Audit, files: tuple[str, ...]) -> None:
    """Prints it."""
    facts = made.facts
    if facts.demo:
        print("DEMO DATA")
    print(f"Audit, {facts.window}: {made.headline}")
    for gap in made.gaps:
        print(f"Missing: {output.clean(gap.what)}. {output.clean(gap.loses)}")
    rows = [
        (str(o.number), str(o.priority), str(o.severity), str(o.count), o.title[:_WIDEST])
        for o in made.open_issues
    ]
    if rows:
        output.table(("issue", "priority", "severity", "count", "what"), rows)
    for path in files:
        print(f"Written to {path}")
