"""What `posguard cleanup` makes of its words before anything is opened, and how commands to choose from are told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.cli import app as door
from posguard.cli import telling
from posguard.cli.cleanup import _age
from posguard.errors import ExitCode
from posguard.model.finding import Kind
from posguard.reconcile.advice import repair
from tests.fixtures.known import stored_finding


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("15m", timedelta(minutes=15)),
        ("90s", timedelta(seconds=90)),
        ("2", timedelta(hours=2)),
        ("0.5", timedelta(minutes=30)),
        ("0", timedelta()),
        ("1h30m", timedelta(minutes=90)),
    ],
)
def test_an_age_is_a_duration_and_a_bare_number_hours(text, age):
    assert _age(text) == age


@pytest.mark.parametrize("text", ["soon", "-1", "1e400", "9" * 40, ""])
def test_what_is_no_age_is_wrong_usage(text, capsys):
    assert door.run(["cleanup", "incomplete", f"--age={text}"]) is ExitCode.USAGE
    said = capsys.readouterr().err
    assert "is no age. Nothing was done." in said
    assert "--age 15m" in said


def test_each_command_to_choose_from_is_a_line_that_can_be_typed(capsys):
    external = stored_finding(kind=Kind.EXTERNAL_POSITION).finding
    made = repair(external.kind, external.key)
    telling.whole(stored_finding(kind=external.kind, repair=made, repair_built=True).finding)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("  What mends it, one of these:")
    assert [line.strip() for line in lines[at + 1 : at + 3]] == made.splitlines()
    assert lines[at + 3].startswith("  ! Only one of them")


def test_a_command_that_takes_a_person_s_word_is_told_with_its_warning(capsys):
    command = "posguard cleanup orphaned-db --symbol APTUSDT --exchange binance --accept-absence"
    telling.whole(stored_finding(repair=command, repair_built=True).finding)
    said = capsys.readouterr().out
    assert f"  What mends it: {command}\n  ! Nothing proves" in said
