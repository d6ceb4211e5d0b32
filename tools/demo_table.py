"""Writes the table of planted problems in docs/demo.md anew from the demo world."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from posguard.demo.world import make_world
from posguard.model.finding import Kind

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "demo.md"
_BETWEEN = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def table() -> str:
    """The planted problems as Markdown, without those that come of age alone."""
    planted = [
        p for p in make_world(datetime(2026, 1, 1, tzinfo=UTC)).truth.findings if p.kind != Kind.AGED_POSITION
    ]
    lines = ["", "| kind | where | severity | proof | why |", "| --- | --- | --- | --- | --- |"]
    for kind in Kind:
        for problem in planted:
            if problem.kind is kind and problem.since is None:
                later = ", critical after an hour" if problem.until else ""
                where = f"{problem.symbol} on {problem.exchange}"
                lines.append(
                    f"| `{kind}` | {where} | {problem.severity}{later} | {problem.proof} | {problem.why} |"
                )
    return "\n".join(lines) + "\n\n"


def written() -> str:
    """The whole document with the table as it should be."""
    return _BETWEEN.sub(lambda found: found[1] + table() + found[2], DOCUMENT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
    print(f"{DOCUMENT.name}: table of planted problems written")
