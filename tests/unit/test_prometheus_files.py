"""The dashboard and the alert rules ask for metrics and labels that the endpoint has, and are in the form Grafana reads."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from posguard.model.metrics import COUNTERS, Measure, Window
from posguard.model.monitoring import counted
from posguard.monitor.endpoint import text_of
from posguard.monitor.exposition import families, up
from tests.unit.test_exposition import KNOWN, READINGS, WATCHED

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/posguard.json").read_text("utf-8"))
RULES = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
CASES = yaml.safe_load((ROOT / "tests/prometheus/alerts_test.yml").read_text("utf-8"))["tests"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ASKED = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
_SELECTOR = re.compile(r"(posguard_[a-z_]+)(?:\{([^}]*)\})?")
_BY = re.compile(r"by \(([a-z_, ]+)\)")


_ALL = {**READINGS[Window.ALL_TIME], Measure.PRICE_UPDATES: counted({"bybit": 1})}
EVERYTHING = replace(
    KNOWN,
    watched=replace(
        WATCHED, snapshot=replace(WATCHED.snapshot, readings={**READINGS, Window.ALL_TIME: _ALL})
    ),
)


def told():
    """Every sample's name, with the labels it can have."""
    found = {}
    for family in text_string_to_metric_families(text_of([up(reachable=True), *families(EVERYTHING)])):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


TOLD = told()


@pytest.mark.parametrize("asked", sorted(set(ASKED)))
def test_what_is_asked_for_exists(asked):
    selectors = _SELECTOR.findall(asked)
    assert selectors, asked
    for name, labels in selectors:
        assert name in TOLD, name
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!=|!~|=)", labels):
            assert label in TOLD[name], (name, label)
    for names in _BY.findall(asked):
        for label in names.split(","):
            assert any(label.strip() in TOLD[name] for name, _ in selectors), (asked, label)


def test_every_metric_is_on_the_dashboard_or_in_a_rule():
    asked = {name for expression in ASKED for name, _ in _SELECTOR.findall(expression)}
    # which venue showed how much is looked up where a panel raises the question
    spare = {"posguard_venue_positions", "posguard_venue_orders", "posguard_venue_clock_skew_seconds"}
    spare |= {"posguard_run_rows", "posguard_suite_expectations", "posguard_run_timestamp_seconds"}
    spare |= {"posguard_latency_entry_count", "posguard_latency_stop_loss_count"}
    assert set(TOLD) - asked <= spare, set(TOLD) - asked - spare


def test_the_document_lists_each_metric():
    text = (ROOT / "docs/prometheus.md").read_text("utf-8")
    counts = {f"posguard_{measure.value}_total" for measure in COUNTERS}
    assert {name for name in TOLD if f"`{name}`" not in text} <= counts
    assert "`posguard_<measure>_total`" in text
    assert "twelve alert rules" in text
    assert len(RULES) == 12


def test_the_dashboard_is_whole():
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= set(DASHBOARD)
    assert "id" not in DASHBOARD  # Grafana gives it
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in PANELS:
        place = panel["gridPos"]
        assert panel["type"] in {"stat", "timeseries"}
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["noValue"] == "no source"  # and not 0
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_two_panels_lie_on_one_another():
    seen = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert seen.setdefault((x, y), panel["title"]) == panel["title"]


def test_each_rule_has_a_case_in_which_it_fires():
    fired = {t["alertname"] for case in CASES for t in case["alert_rule_test"] if t["exp_alerts"]}
    assert {rule["alert"] for rule in RULES} == fired


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_says_how_bad_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
