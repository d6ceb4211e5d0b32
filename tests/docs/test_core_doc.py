"""docs/core.md tells every call, result and state there is, and names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from posguard.model.position import Status
from posguard.model.transitions import BIRTHS, may_become
from posguard.trading import Result, TradingCore
from tests.reliability.test_mutants import MUTANTS, UPGRADE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "core.md").read_text(encoding="utf-8")


def first_cells(header):
    """The names in the first cells of the table whose header begins so."""
    table = PAGE.split(f"| {header} |", 1)[1].split("\n\n")[0]
    return [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:]]


def test_every_call_is_told():
    public = {name for name in vars(TradingCore) if not name.startswith("_")}
    assert {name for cells in first_cells("call") for name in cells} == public


def test_every_result_is_told():
    assert [cells[0] for cells in first_cells("result")] == list(Result)


def test_the_drawing_shows_legal_changes_and_every_status_but_the_bots_own():
    edges = re.findall(r"^    (\S+) --> (\w+):", PAGE, re.MULTILINE)
    shown = set()
    for before, after in edges:
        shown.add(Status(after))
        if before == "[*]":
            assert Status(after) in BIRTHS
        else:
            assert may_become(Status(before), Status(after)), (before, after)
    assert set(Status) - shown == {Status.CANCELED}


def test_the_example_is_python_and_imports_what_there_is():
    text = PAGE.split("```python\n", 1)[1].split("```")[0]
    tree = ast.parse(text, mode="exec") if "await" not in text else ast.parse(_within(text))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = __import__(node.module, fromlist=["x"])
            for alias in node.names:
                assert hasattr(module, alias.name), alias.name


def _within(text):
    body = "\n".join("    " + line for line in text.splitlines())
    return f"async def main():\n{body}\n"


def test_the_tests_it_names_exist():
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))
    assert named
    for name in named:
        assert list((ROOT / "tests").rglob(name)), name
    rows = re.findall(r"^\|.*\| `(test_\w+\.py)`: `(test_\w+)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(PAGE.split("| problem | rule | test |\n", 1)[1].split("\n\n")[0].splitlines()) - 1
    for file, test in rows:
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {test}(" in path.read_text(encoding="utf-8"), (file, test)


def test_every_mutant_is_told():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.split("| taken out | killed by |\n", 1)[1].split("\n\n")[0].splitlines()[1:]
    assert table == [f"| {one.name} | {one.check.__name__} |" for one in (*MUTANTS, *UPGRADE)]
