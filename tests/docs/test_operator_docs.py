"""The documents for whoever runs posguard: what they quote is said, what they tell to type works, their tables are the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from posguard.model.analysis import SECTIONS, Analysis
from posguard.model.finding import FindingState
from tests.fixtures.typed import given

ROOT = Path(__file__).parents[2]


def text(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


@cache
def sources():
    """All that the program can say, its line breaks inside of texts left out."""
    found = [path.read_text(encoding="utf-8") for path in (ROOT / "posguard").rglob("*.py")]
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", "\n".join(found))


def quoted():
    """What the first column of the tables under "it says" quotes."""
    for table in re.findall(r"^\| it says \|.*\n\|.*\n((?:\|.*\n)+)", text("troubleshooting"), re.MULTILINE):
        for row in table.splitlines():
            yield from re.findall(r"`([^`]+)`", row.split("|")[1])


def test_the_messages_of_troubleshooting_are_the_programs_own():
    messages = list(quoted())
    assert len(messages) > 18
    assert [message for message in messages if message not in sources()] == []


def test_the_sections_of_the_analysis_are_those_of_the_code():
    """Numbers, titles and parts; what to look for names columns that the section's parts have."""
    table = text("reading_results").split("<!-- sections: ", 1)[1]
    rows = re.findall(r"^\| (\d+) ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE)
    hints = get_type_hints(Analysis)
    assert len(rows) == len(SECTIONS)
    for section, (number, title, parts, look) in zip(SECTIONS, rows, strict=True):
        assert (int(number), title) == (section.number, section.title)
        assert tuple(re.findall(r"`(\w+)`", parts)) == section.parts
        columns = {field.name for part in section.parts for field in fields(get_args(hints[part])[0])}
        assert set(re.findall(r"`(\w+)`", look)) <= columns | set(section.parts), title


def test_the_states_of_a_finding_are_all_told():
    table = text("reading_results").split("| state | means |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == [state.value for state in FindingState]


def test_every_first_step_is_linked_from_where_people_begin():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("quickstart", "preflight", "cheatsheet", "reading_results", "troubleshooting"):
        assert f"docs/{name}.md" in readme
    assert "(cheatsheet.md)" in text("runbook")


def blocks(name):
    """The commands of a document's console blocks, each block by itself."""
    found = re.findall(r"```console\n(.*?)```", text(name), re.DOTALL)
    return [block.strip().splitlines() for block in found]


@pytest.mark.postgres
async def test_the_quick_start_and_the_first_emergency_as_written(demo, empty_dsn, simulator, typist):
    """The look at one's own bot, then a naked position is protected. The demo world is full of problems: a look ends with 1."""
    typist.has(given(simulator.base_url, empty_dsn), simulator)
    (own,) = [lines for lines in blocks("quickstart") if "posguard reconcile" in lines]
    for line in own:
        await typist.types(line, 1 if line.split()[1] in {"diagnose", "reconcile"} else 0)
    assert "duplicate_position" in typist.out
    for line, code in zip(blocks("cheatsheet")[0], (1, 0, 0, 1), strict=True):
        await typist.types(line, code)
    assert re.search(r"unprotected_position +0 ", typist.out)
    printed = [line for lines in blocks("reading_results") for line in lines if "--sql" in line]
    await typist.types(printed[0].split(" >")[0])
    assert typist.out.startswith("-- The analysis of a window")
