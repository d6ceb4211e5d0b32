from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from posguard.cli.moments import moment, spell
from posguard.errors import UsageError

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("8h", NOW + timedelta(hours=8)),
        ("2d", NOW + timedelta(days=2)),
        ("1h30m", NOW + timedelta(minutes=90)),
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01T18:00", datetime(2026, 12, 1, 18, tzinfo=UTC)),
        ("2026-12-01T18:00+02:00", datetime(2026, 12, 1, 16, tzinfo=UTC)),
    ],
)
def test_durations_and_dates(text, at):
    assert moment(text, NOW) == at
    assert moment(text, NOW).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["0s", "2026-10-31", "2026-11-01T12:00", "2026-11-01T13:00+02:00"])
def test_what_is_past_is_refused(text):
    with pytest.raises(UsageError, match="past"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["soon", "", "8x", "2026-13-01", "99999999999d"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(UsageError, match="--until 8h"):
        moment(text, NOW)


def test_times_are_spelled_in_utc():
    assert spell(datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-01 00:00:00"
    assert spell(None) == "–"
