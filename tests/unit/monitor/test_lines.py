"""The JSONL file: one process at a time, a full disk leaves no half line."""

from __future__ import annotations

import json
import os

import pytest

from posguard.errors import RefusedError, SettingsError
from posguard.monitor.lines import Lines


def read(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def numbered(*numbers):
    return [{"number": n, "text": "x" * 50} for n in numbers]


def test_lines_are_appended_once_in_order(tmp_path):
    path = tmp_path / "a" / "run.jsonl"
    lines = Lines(path)
    lines.repair([])
    for one in numbered(1, 2, 2, 1, 3):
        lines.append(one)
    assert read(path) == numbered(1, 2, 3) == lines.read()
    lines.close()


def test_a_second_process_is_refused(tmp_path):
    held = Lines(tmp_path / "run.jsonl")
    with pytest.raises(RefusedError, match="Another monitor"):
        Lines(tmp_path / "run.jsonl")
    held.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        Lines(tmp_path / "file" / "run.jsonl")


def test_a_full_disk_leaves_no_half_line_and_the_next_try_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    lines = Lines(path)
    lines.repair(numbered(1))

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        lines.append(numbered(2)[0])
    monkeypatch.undo()
    assert read(path) == numbered(1)
    lines.append(numbered(2)[0])
    assert read(path) == numbered(1, 2)
    lines.close()
