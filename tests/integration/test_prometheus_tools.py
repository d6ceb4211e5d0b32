"""Prometheus' own programs on what is shipped for it, where they are installed: promtool, and a server that scrapes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from posguard.postgres.embedded import free_port
from tests.integration.test_cli_metrics import one_run, serving
from tests.program import posguard
from tests.unit.test_prometheus_files import DASHBOARD, PANELS

ROOT = Path(__file__).parents[2]
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        not (PROMTOOL and PROMETHEUS), reason="Prometheus' programs are not installed (Debian: prometheus)"
    ),
]


def promtool(*words, given=None, folder=ROOT):
    return subprocess.run(
        [PROMTOOL, *words], input=given, capture_output=True, text=True, cwd=folder, timeout=60, check=False
    )


def test_the_rules_and_the_configuration_are_valid():
    checked = promtool("check", "config", "docker/prometheus/prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "12 rules found" in checked.stdout


def test_each_rule_fires_where_it_should_and_is_silent_where_it_should_not():
    tested = promtool("test", "rules", "alerts_test.yml", folder=ROOT / "tests/prometheus")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "SUCCESS" in tested.stdout


async def test_promtool_has_nothing_to_say_of_the_metrics(bot_dsn, tmp_path):
    await one_run(bot_dsn)
    text = posguard("metrics", folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value()).out
    checked = promtool("check", "metrics", given=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_a_prometheus_that_scrapes_answers_every_panel(bot_dsn, tmp_path):
    await one_run(bot_dsn)
    with serving(tmp_path, bot_dsn.get_secret_value()) as (address, _):
        configured = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text("utf-8"))
        configured["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configured["rule_files"] = [str(ROOT / "docker/prometheus/alerts.yml")]
        configured["scrape_configs"][0]["static_configs"] = [{"targets": [address.split("/")[2]]}]
        with scraping(configured, tmp_path) as base:
            until_scraped(base)
            answers = {e: ask(base, e) for p in PANELS for e in expressions(p)}
    for panel in DASHBOARD["panels"]:
        if panel["title"] in KNOWN_NOW:
            assert all(answers[e] for e in expressions(panel)), panel["title"]


@contextmanager
def scraping(configured, folder):
    """A Prometheus of its own on a free port: the address of its API."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(yaml.safe_dump(configured))
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    words += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen([PROMETHEUS, *words]) as server:
        try:
            yield f"http://127.0.0.1:{port}/api/v1"
        finally:
            server.terminate()


# What a database with one run and no monitor has something to say of.
KNOWN_NOW = {
    "Database",
    "Since the last complete reconciliation",
    "Critical findings, proven",
    "Kill switch",
    "Alerts unsent",
    "Findings by kind",
    "Venues that could be judged",
    "Duration of a reconciliation",
}


def expressions(panel):
    return [t["expr"].replace("$exchange", ".*") for t in panel.get("targets", ())]


def ask(base, expression):
    """What an instant query answers; an expression that cannot be read is an HTTP error."""
    return get(f"{base}/query?{urllib.parse.urlencode({'query': expression})}")["result"]


def get(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    return told["data"]


def until_scraped(base):
    """Until the metrics are there and a rule of them has been judged."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            alerts = {alert["labels"]["alertname"] for alert in get(f"{base}/alerts")["alerts"]}
            if ask(base, "posguard_run_rows") and "PosguardCriticalFindings" in alerts:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("Prometheus did not scrape within a minute")
