"""The 14 sections: what they are made of, and the script that psql runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from posguard.model.analysis import SECTIONS
from posguard.postgres.analysis import QUERIES, missing
from posguard.postgres.analysis_script import psql_script


def test_there_are_fourteen_sections_and_every_query_is_in_one():
    assert [section.number for section in SECTIONS] == list(range(1, 15))
    parts = [name for section in SECTIONS for name in section.parts]
    assert sorted(parts) == sorted(QUERIES)


def test_a_missing_table_and_a_missing_column_are_named():
    zombies = QUERIES["zombies"]
    have = dict(zombies.needs)
    assert missing(zombies, have) == ""
    lacks = have | {"monitoring.orders": have["monitoring.orders"] - {"size", "side"}}
    assert missing(zombies, lacks) == "monitoring.orders has no column side, size"
    gone = have | {"monitoring.positions": frozenset()}
    assert missing(zombies, gone) == "monitoring.positions does not exist or may not be read"


def test_the_script_reads_only_and_holds_the_window():
    since, until = datetime(2025, 10, 22, 14, tzinfo=UTC), datetime(2025, 10, 22, 22, tzinfo=UTC)
    text = psql_script(since, until, aged=timedelta(hours=2), listed=7)
    assert "SELECT '2025-10-22T14:00:00+00:00' AS since" in text
    assert "SELECT '2025-10-22T22:00:00+00:00' AS until" in text
    assert "SELECT '7200 seconds' AS aged" in text
    assert "SELECT 7 AS listed" in text
    assert "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY" in text
    for section in SECTIONS:
        assert f"\\echo '{section.number}. {section.title}'" in text
    assert text.count("\\if :known") == text.count("AS known \\gset") == len(QUERIES)
    assert "now() - interval" not in text


def test_without_a_window_the_script_takes_the_eight_hours_until_now():
    text = psql_script()
    assert "SELECT now()::text AS until" in text
    assert "SELECT (:'until'::timestamptz - interval '8 hours')::text AS since" in text
