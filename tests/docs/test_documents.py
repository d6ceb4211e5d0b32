"""Every document: its links lead somewhere, its commands exist, what is not built says so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from posguard.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"cli.md", "json.md"}
PLANNED = {"cleanup", "restore", "logs", "monitor", "audit", "alerts", "metrics"}


def anchors(text):
    """The anchors a page offers: its headings as the usual renderers name them, and explicit ones."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        page = (document.parent / file) if file else document
        assert page.exists(), target
        if anchor and page.suffix == ".md":
            assert anchor in anchors(page.read_text(encoding="utf-8")), target
    for path in re.findall(r"\b(?:docs|expectations|migrations|dags|plugins|tools)/[\w./-]*\w", text):
        assert (ROOT / path).exists(), path


def command_lines(text):
    """Each `posguard …` of a code block or of inline code."""
    for block in re.findall(r"```(?:console|sh|bash)\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            yield from re.findall(
                r"(?:^|[|&;]\s*|\s)(?:\.venv/bin/)?(posguard(?: [^#|&;>]*)?)", line.split("  #")[0]
            )
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        if re.match(r"posguard \w", code):
            yield code


def unknown_words(line):
    """The words of a command line that the program does not know; empty where all is well."""
    command = typer.main.get_command(app)
    words = iter(shlex.split(line)[1:])
    for word in words:
        if word.startswith("-"):
            name, _, value = word.partition("=")
            options = {o: p for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help": None}
            if name not in options:
                return [word]
            option = options[name]
            if option is not None and not getattr(option, "is_flag", False) and not value:
                next(words, None)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return [word]
            command = command.commands[word]
    return []


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if d.name not in GENERATED], ids=lambda path: path.name
)
def test_commands_exist_or_are_marked(document):
    text = document.read_text(encoding="utf-8")
    for line in command_lines(text):
        if (bad := unknown_words(line)) and bad[0] in {*PLANNED, *(f"--target={t}" for t in ("bot",))}:
            assert "not built yet" in text, line
        else:
            assert not bad, (line, bad)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z][a-z-]*)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets, set(named) - targets
