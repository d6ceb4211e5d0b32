"""Which declared source a path belongs to, and what time is meant."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from posguard.cli.logs_analyze import _window
from posguard.cli.logs_investigate import _needed, _when
from posguard.cli.logs_sources import readings
from posguard.errors import SettingsError, UsageError
from tests.unit.logs.telling import Log

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def declared(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sources = [
        {"name": "one", "paths": [str(tmp_path / "one" / "bot.log")], "zone": "Europe/Berlin"},
        {"name": "two", "paths": [str(tmp_path / "two" / "*.log*"), "s3://logs/two"], "zone": "UTC"},
        {"name": "three", "paths": ["three"], "zone": "Asia/Dubai"},
    ]
    monkeypatch.setenv("POSGUARD_LOG_SOURCES", json.dumps(sources))
    return tmp_path


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("one/bot.log", "one"),
        ("one/bot.log.2.gz", "one"),
        ("two/b.log.1", "two"),
        ("s3://logs/two/2025/bot.log", "two"),
        ("three/any.log", "three"),
        ("./three/deep/any.log", "three"),
    ],
)
def test_a_path_that_a_declared_source_holds_has_its_zone(declared, path, source):
    (reading,) = readings([path], "")
    assert (reading.source.name, reading.paths) == (source, (path,))


@pytest.mark.parametrize("path", ["one/other.log", "one/bot.logs", "four.log", "s3://logs/twofold/bot.log"])
def test_a_path_that_none_holds_is_refused(declared, path):
    with pytest.raises(UsageError, match="--tz"):
        readings([path], "")


def test_without_a_path_all_declared_sources_are_read_and_with_a_zone_only_the_paths(declared):
    assert [one.source.name for one in readings([], "")] == ["one", "two", "three"]
    (given,) = readings(["one/bot.log"], "America/New_York")
    assert given.source.zone == "America/New_York"
    with pytest.raises(UsageError, match="--tz goes with a PATH"):
        readings([], "UTC")


def test_without_any_source_it_says_how_to_name_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POSGUARD_LOG_SOURCES", raising=False)
    with pytest.raises(SettingsError, match="POSGUARD_LOG_SOURCES"):
        readings([], "")


@pytest.mark.parametrize(
    ("text", "day", "at"),
    [
        ("23:21:12", "2025-10-22", datetime(2025, 10, 22, 23, 21, 12, tzinfo=UTC)),
        ("9:05", "2025-10-22", datetime(2025, 10, 22, 9, 5, tzinfo=UTC)),
        ("23:21:12.853", "", datetime(2026, 11, 20, 23, 21, 12, 853_000, tzinfo=UTC)),
        ("11:59", "", datetime(2026, 11, 21, 11, 59, tzinfo=UTC)),
        ("2025-10-22T23:21:12", "", datetime(2025, 10, 22, 23, 21, 12, tzinfo=UTC)),
        ("2025-10-23T03:21:12+04:00", "", datetime(2025, 10, 22, 23, 21, 12, tzinfo=UTC)),
    ],
)
def test_a_time_is_utc_and_without_a_day_the_last_one_before_now(text, day, at):
    assert _when(text, day, NOW) == at


@pytest.mark.parametrize(("text", "day"), [("25:00", ""), ("noon", ""), ("12:00", "yesterday"), ("", "")])
def test_what_is_no_time_is_refused(text, day):
    with pytest.raises(UsageError, match="is no time"):
        _when(text, day, NOW)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("", "", (None, None)),
        ("24h", "", (datetime(2026, 11, 20, 12, tzinfo=UTC), None)),
        ("8h", "2026-11-20", (datetime(2026, 11, 19, 16, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))),
        ("2026-11-20T22:00+01:00", "", (datetime(2026, 11, 20, 21, tzinfo=UTC), None)),
    ],
)
def test_the_stretch_that_is_asked_for(since, until, expected):
    assert _window(since, until, NOW) == expected


@pytest.mark.parametrize(
    ("since", "until"), [("noon", ""), ("", "24h"), ("99999999999d", ""), ("0001-01-01", "")]
)
def test_what_is_no_stretch_is_refused(since, until):
    with pytest.raises(UsageError, match="is no time"):
        _window(since, until, NOW)


def test_an_investigation_holds_a_day_and_the_processes_and_no_month():
    hour = 3_600_000
    log = Log(start=NOW)
    for ms, kind in (
        (-60 * hour, "saved"),
        (-50 * hour, "process_started"),
        (-40 * hour, "saved"),
        (-hour, "saved"),
        (1, "created"),
    ):
        log.say(ms, kind)
    assert list(_needed(log.events, NOW)) == [one for n, one in enumerate(log.events) if n != 2]
