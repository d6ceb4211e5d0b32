"""Writes the table of expectations in docs/quality.md anew from the files in expectations/."""

from __future__ import annotations

import re
from pathlib import Path

from posguard.quality.suites import load_suites

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "quality.md"
_BETWEEN = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def table() -> str:
    """The suites as Markdown, one table each."""
    parts = []
    for suite in load_suites():
        parts += [
            f"\n### {suite.title}",
            f"\nTable `{suite.table}`.\n",
            "| id | what holds | severity | owner | why |",
        ]
        parts.append("| --- | --- | --- | --- | --- |")
        for rule in suite.expectations:
            own = [need for need in rule.needs if not need.endswith(".id")]
            lacking = f" Not applicable without {', '.join(f'`{need}`' for need in own)}." if own else ""
            parts.append(
                f"| `{rule.id}` | {rule.title} | {rule.severity} | {rule.owner} | {rule.why}{lacking} |"
            )
    return "\n".join(parts) + "\n\n"


def written() -> str:
    """The whole document with the table as it should be."""
    return _BETWEEN.sub(lambda found: found[1] + table() + found[2], DOCUMENT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
    print(f"{DOCUMENT.name}: table of expectations written")
