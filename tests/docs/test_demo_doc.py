"""docs/demo.md holds the table that `make docs` writes, and its numbers are the program's."""

from __future__ import annotations

from datetime import UTC, datetime

from posguard.demo import incidents
from posguard.demo.world import make_world
from posguard.model.finding import RECONCILED_KINDS, Kind
from tools import demo_table

TEXT = demo_table.DOCUMENT.read_text(encoding="utf-8")
TRUTH = make_world(datetime(2026, 1, 1, tzinfo=UTC)).truth


def test_the_table_is_the_one_that_make_docs_writes():
    assert demo_table.written() == TEXT, "run `make docs`"
    assert TEXT.count("\n| `") == len(
        [p for p in TRUTH.findings if p.kind != Kind.AGED_POSITION and p.since is None]
    )
    assert all(f"| `{kind}` |" in TEXT for kind in RECONCILED_KINDS if kind is not Kind.AGED_POSITION)


def test_numbers_are_those_of_the_world():
    assert f"{TRUTH.healthy} are open and healthy" in TEXT
    rows = (incidents.FIRST_ROW, incidents.SECOND_ROW, incidents.TWIN_ROW, incidents.LATER_TWIN_ROW)
    assert all(f"#{row}" in TEXT for row in rows)
    assert f"{incidents.RACE_GAP.total_seconds()} s apart" in TEXT
