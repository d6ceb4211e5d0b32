"""The operator's notes: taken into the report, and never lost or changed by making it again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from posguard.audit.build import build
from posguard.audit.notes import keep_notes, read_notes
from posguard.errors import UsageError
from posguard.model.audit import Window
from posguard.postgres.audit import hours_of
from tests.fixtures.audited import WINDOW, facts

HOURS = hours_of(WINDOW)


def test_a_new_file_has_a_heading_for_each_hour_and_no_note(tmp_path):
    path = tmp_path / "deep" / "notes.md"
    notes = keep_notes(path, WINDOW, HOURS)
    assert (notes.general, dict(notes.hours)) == ("", {})
    text = path.read_text()
    for hour in HOURS:
        assert f"## {hour.start:%Y-%m-%d %H}:00 UTC" in text
    assert read_notes(text) == notes


def test_what_somebody_wrote_is_in_the_report_and_stays_byte_for_byte(tmp_path):
    path = tmp_path / "notes.md"
    keep_notes(path, WINDOW, HOURS)
    first, second = HOURS[1], HOURS[2]
    written = path.read_text().replace("## General\n", "## General\n\nQuiet night.\n")
    for hour, said in ((first, "restarted the router\n\n- twice"), (second, "slept")):
        heading = f"## {hour.start:%Y-%m-%d %H}:00 UTC\n"
        written = written.replace(heading, f"{heading}\n{said}\n")
    path.write_text(written)
    notes = keep_notes(path, WINDOW, HOURS)
    assert path.read_text() == written
    assert notes.general == "Quiet night."
    lines = build(facts(), notes).hours
    assert [line.note for line in lines] == ["", "restarted the router\n\n- twice", "slept", "", ""]


def test_a_longer_window_adds_its_hours_at_the_end_and_changes_nothing(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("my own file, no heading\n## something else\nhm", encoding="utf-8")
    before = path.read_bytes()
    notes = keep_notes(path, WINDOW, HOURS)
    assert notes.general == "my own file, no heading\nsomething else\nhm"
    once = path.read_bytes()
    assert once.startswith(before)
    later = Window(WINDOW.start, WINDOW.end + timedelta(hours=2))
    keep_notes(path, later, hours_of(later))
    assert path.read_bytes().startswith(once)
    assert path.read_bytes().count(b"## 2026-11-20 08:00 UTC") == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (1 << 20) + b"x"])
def test_a_file_that_is_none_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes.md"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        keep_notes(path, WINDOW, HOURS)
    assert path.read_bytes() == content
