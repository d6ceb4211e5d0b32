"""Long or short, the seed, and the table of figures at the end.

POSGUARD_RELIABILITY=long runs the long form (`make reliability`), POSGUARD_SEED repeats a run.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

LONG = os.environ.get("POSGUARD_RELIABILITY") == "long"
SEED = int(os.environ["SUITE_SEED"])
FIGURE = "reliability figure"


def some(every, count):
    """All of them in the long form, as many in the short one: which ones, the seed says."""
    return list(every) if LONG else random.Random(SEED).sample(list(every), count)


@dataclass(frozen=True)
class Figure:
    """A line of the table: what was done how often, and how much of it went wrong."""

    what: str
    done: int
    bad: int
    note: str = ""


@pytest.fixture(scope="session")
def long():
    """Whether this is the long form."""
    return LONG


@pytest.fixture
def seed():
    """The seed of the run; printed in the summary."""
    return SEED


@pytest.fixture
def figure(record_property):
    """Puts a line into the table; it goes with the test's report, whichever process ran it."""

    def note(what: str, done: int, bad: int, note: str = "") -> None:
        record_property(FIGURE, astuple(Figure(what, done, bad, note)))
        if kept := os.environ.get("POSGUARD_FIGURES"):
            line = {"what": what, "done": done, "bad": bad, "note": note}
            with Path(kept).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    return note


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    figures = [
        Figure(*value)
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if not figures:
        return
    width = max(len(each.what) for each in figures)
    terminalreporter.section(f"reliability, {'long' if LONG else 'short'} form, POSGUARD_SEED={SEED}")
    terminalreporter.write_line(f"{'what':{width}}  {'done':>8}  {'bad':>4}")
    for each in figures:
        terminalreporter.write_line(f"{each.what:{width}}  {each.done:>8}  {each.bad:>4}  {each.note}")
