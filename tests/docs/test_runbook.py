"""docs/runbook.md has a whole section for every kind of finding, and names the command that the finding names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from posguard.model.alert import ALERT_KINDS, RUN_INCONCLUSIVE
from posguard.model.finding import Kind
from posguard.model.position import PositionKey
from posguard.reconcile.advice import MODES, repair
from tests.fixtures.known import a_finding

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PARTS = ("What it means.", "The danger.", "First command.", "Stop the bot?", "What cannot be undone.")


def anchor(kind):
    return a_finding(kind).runbook


# The sections of alerts that are no findings.
ALERTS = {
    "inconclusive-venue" if kind == RUN_INCONCLUSIVE else kind.replace("_", "-") for kind in ALERT_KINDS
}


@pytest.mark.parametrize("section", sorted({anchor(kind) for kind in Kind} | ALERTS))
def test_every_kind_has_its_section_with_every_part_once(section):
    section = SECTIONS[section]
    for part in PARTS:
        told = re.findall(rf"\*\*{re.escape(part)}\*\* (\S.*)", section)
        assert len(told) == 1, part


@pytest.mark.parametrize("kind", Kind)
def test_the_section_names_the_command_of_the_finding_or_says_that_there_is_none(kind):
    section = " ".join(SECTIONS[anchor(kind)].split())
    if kind in MODES:
        command = repair(kind, PositionKey("E", "main", "S")).split(" --action")[0]
        assert f"`{command}" in section
        assert "no automatic repair" not in section.lower()
    else:
        assert "no automatic repair" in section.lower()


def test_no_section_is_about_a_kind_that_does_not_exist():
    assert set(SECTIONS) == {anchor(kind) for kind in Kind} | ALERTS
