"""`posguard logs patterns` as typed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.program import posguard

DOC = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)


def test_the_patterns_in_use_are_listed_those_of_the_setting_first(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE)
    listed = posguard("logs", "patterns", "--json", folder=tmp_path, POSGUARD_LOG_PATTERNS="mine.toml").json[
        "patterns"
    ]
    assert [one["name"] for one in listed[:2]] == ["maker_timeout", "duplicate_key"]
    assert [one["origin"] for one in listed[:2]] == ["mine.toml", "posguard"]


def test_the_example_of_the_document_is_tried_and_its_hits_are_shown(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE)
    line = "2025-10-22 22:50:45,914 - maker - WARNING - Maker order timed out for KASUSDT after 5000 ms\n"
    (tmp_path / "bot.log").write_text(line * 5)
    ended = posguard("logs", "patterns", "--check", "mine.toml", "bot.log", folder=tmp_path)
    assert ended.code == 0, ended
    assert "maker_timeout (maker_timeout, performance): example hit, 5 hits" in ended.out
    assert ended.out.count("Maker order timed out for KASUSDT") == 3
    found = posguard("logs", "patterns", "--check", "mine.toml", "bot.log", "--json", folder=tmp_path).json
    assert (found["usable"], found["patterns"][0]["hits"]) == (True, 5)


def test_an_example_that_is_not_hit_ends_with_3(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE.replace("⏳ Maker", "⏳ A maker"))
    ended = posguard("logs", "patterns", "--check", "mine.toml", folder=tmp_path)
    assert ended.code == 3, ended
    assert "WRONG: its example is not hit" in ended.out


def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE.replace("<symbol>", "<symbl>"))
    posguard("logs", "patterns", "--check", "mine.toml", folder=tmp_path).fails_with(
        3, "maker_timeout in mine.toml"
    )
    posguard("logs", "analyze", "x", "--tz", "UTC", "--patterns", "mine.toml", folder=tmp_path).fails_with(
        3, "<symbl>"
    )
    (tmp_path / "good.toml").write_text(EXAMPLE)
    posguard("logs", "patterns", "--check", "good.toml", "x", "--tz", "Europe", folder=tmp_path).fails_with(
        2, "'Europe' is no time zone"
    )
    posguard("logs", "patterns", "--check", "good.toml", "", folder=tmp_path).fails_with(2, "A PATH is empty")
    posguard("logs", "patterns", "bot.log", folder=tmp_path).fails_with(2, "--check")
