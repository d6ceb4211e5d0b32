"""docs/runbook.md has a whole section for every kind of finding and of alert, and names the command that the finding names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from posguard.alerts.wording import runbook
from posguard.model import managed, monitor_alerts
from posguard.model.alert import ALERT_KINDS, RUN_INCONCLUSIVE, AlertEvent, WaitingAlert
from posguard.model.finding import Kind, Severity
from posguard.model.position import PositionKey
from posguard.reconcile.advice import MODES, repair
from tests.docs.test_documents import command_lines, unknown_words
from tests.fixtures.known import a_finding

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PARTS = ("What it means.", "The danger.", "First command.", "Stop the bot?", "What cannot be undone.")
RULES = yaml.safe_load((ROOT / "docker" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))


def anchor(kind):
    return a_finding(kind).runbook


def alert_anchor(kind):
    """Where an alert of a kind points to when it says nothing else itself."""
    waiting = WaitingAlert(
        1, "k", "", AlertEvent.RAISED, Severity.CRITICAL, kind, "operations", "t", {}, datetime.now(UTC)
    )
    return "inconclusive-venue" if kind == RUN_INCONCLUSIVE else runbook(waiting)


# Every kind of alert that is no finding's: of runs, suites and DAGs, of the core and the cleanup, of the monitor.
ALERTS = (*ALERT_KINDS, *managed.AlertKind, *monitor_alerts.AlertKind)
ANCHORS = {anchor(kind) for kind in Kind} | {alert_anchor(kind) for kind in ALERTS}


@pytest.mark.parametrize("section", sorted(ANCHORS))
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


@pytest.mark.parametrize("kind", [kind for kind in ALERTS if kind != RUN_INCONCLUSIVE])
def test_an_alert_that_is_no_finding_says_so_and_how_it_is_mended(kind):
    section = " ".join(SECTIONS[alert_anchor(kind)].split())
    assert "no finding" in section
    assert "no automatic repair" in section.lower()


def test_no_section_is_about_a_kind_that_does_not_exist():
    assert set(SECTIONS) == ANCHORS


def test_every_rule_of_prometheus_is_in_the_table_and_its_commands_exist():
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    table = PAGE.split("## Alert rules of Prometheus", 1)[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [rule["alert"] for rule in rules]
    for rule in rules:
        for line in command_lines(rule["annotations"]["description"]):
            assert unknown_words(line) == [], line
            assert re.search(r"--mode (?!check|report)", line) is None, line
