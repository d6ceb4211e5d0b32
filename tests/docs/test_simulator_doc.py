"""docs/simulator.md names every fault, action, route, key and option there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posguard.simulator import __main__ as program
from posguard.simulator import actions, control, defaults, faults

TEXT = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")


def first_cells(heading: str) -> set[str]:
    """The words in the first column of the table under a heading."""
    section = TEXT.split(heading, 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {word.strip() for row in rows for word in row.split(",")} - {"kind", "do", "---"}


def test_every_fault_is_documented_and_no_other():
    assert first_cells("\n## Faults") == set(faults.KINDS)


def test_every_action_is_documented_and_no_other():
    assert first_cells("\n### Actions") == set(actions.ACTIONS)


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in control.ROUTES])
def test_every_route_is_documented(method, path):
    shown = path.replace(":\\d+", "")
    assert f"`{method} {shown}`" in TEXT


def test_keys_options_and_the_ready_line_are_documented():
    options = [o for a in program.parser()._actions for o in a.option_strings if o not in ("-h", "--help")]
    for word in (defaults.TRADE_KEY, defaults.READ_KEY, defaults.TRADE_SECRET, program.READY, *options):
        assert word in TEXT, word
