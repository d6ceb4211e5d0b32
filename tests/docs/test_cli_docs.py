"""docs/cli.md, docs/json.md and docs/configuration.md are what the program says of itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import typer

from posguard.cli.app import app
from posguard.errors import ExitCode
from posguard.settings import BOT_FLAGS, Settings, VenueSettings, known_variables
from tools import cli_docs

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", cli_docs.WRITTEN)
def test_generated_documents_are_what_make_docs_writes(name):
    assert (cli_docs.DOCS / name).read_text(encoding="utf-8") == cli_docs.WRITTEN[name](), "run `make docs`"


def leaves(command, path):
    below = getattr(command, "commands", {})
    for name, child in below.items():
        yield from leaves(child, f"{path} {name}")
    if not below:
        yield path, command


def test_every_command_stands_in_cli_md_and_every_json_one_in_json_md():
    cli = (cli_docs.DOCS / "cli.md").read_text(encoding="utf-8")
    covered = " ".join(command for command, _ in cli_docs.OUTPUTS)
    for path, command in leaves(typer.main.get_command(app), "posguard"):
        assert f"\n## {path}\n" in cli
        if any("--json" in parameter.opts for parameter in command.params):
            *group, word = path.split()
            assert " ".join(group) in covered, path
            assert word in covered, path


def test_every_exit_code_is_documented():
    cli = (cli_docs.DOCS / "cli.md").read_text(encoding="utf-8")
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \|", cli, re.MULTILINE), code


def test_configuration_names_every_setting_and_no_other():
    text = (cli_docs.DOCS / "configuration.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"| `POSGUARD_{name.upper()}` |" in text
    for name in VenueSettings.model_fields:
        assert f"| `{name}` |" in text
    for flag in BOT_FLAGS:
        assert f"`{flag}`" in text
    for name in set(re.findall(r"\bPOSGUARD_[A-Z_]+\b", text)) - {
        "POSGUARD_BINANCE_",
        "POSGUARD_BYBIT_",
        "POSGUARD_",
    }:
        assert name in known_variables(), name


def test_configuration_names_the_options_that_the_connections_take(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "plugins"))
    import posguard_airflow

    text = (cli_docs.DOCS / "configuration.md").read_text(encoding="utf-8")
    for option in (*posguard_airflow._ADDRESS_OPTIONS, *posguard_airflow._VENUE_OPTIONS):
        assert f"`{option}`" in text, option
    for connection in (posguard_airflow.DATABASE, *posguard_airflow.VENUES.values()):
        assert f"| `{connection}` |" in text
    sys.modules.pop("posguard_airflow")
