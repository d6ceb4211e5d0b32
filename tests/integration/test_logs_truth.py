"""What is read out of a generated log equals the generator's truth: counts, sums of ids, times, levels, lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posguard.logs.extract import extract
from posguard.logs.generator import Recipe, make_log, write_rotated
from posguard.settings import LogSource

RECIPES = [
    Recipe(),
    Recipe(seed=2, wording=1, zone="UTC", encoding="utf-16"),
    Recipe(seed=3, wording=2, zone="Asia/Tokyo", crlf=True, damage=True),
    Recipe(seed=4, zone="America/New_York", encoding="cp1251", damage=True),
    Recipe(seed=5, encoding="utf-8-sig", start=datetime(2025, 10, 25, 22, 0, tzinfo=UTC)),
    Recipe(seed=6, start=datetime(2025, 3, 29, 22, 0, tzinfo=UTC), silence=(1, 2)),
    Recipe(
        seed=7, wording=1, zone="Australia/Lord_Howe", start=datetime(2025, 4, 5, 13, 0, tzinfo=UTC), bars=1.0
    ),
]


def source(zone: str) -> LogSource:
    return LogSource(name="bot", paths=("bot.log",), zone=zone)


def check(extraction, truth):
    events = list(extraction)
    told = [one for one in truth.records if one.kind]
    assert Counter(event.kind for event in events) == truth.kinds
    ids = Counter()
    for event in events:
        ids[event.kind] += event.position_id or 0
    assert {kind: total for kind, total in ids.items() if total} == truth.ids
    assert Counter(event.symbol for event in events if event.symbol) == truth.symbols
    assert [event.at for event in events] == [one.at for one in told]
    assert [(event.level, event.position_id) for event in events] == [
        (one.level, one.position_id) for one in told
    ]
    counts = extraction.counts
    assert (counts.first, counts.last) == (truth.first, truth.last)
    assert counts.events == truth.events
    return counts


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.zone} {recipe.encoding}")
def test_every_count_time_and_sum_of_ids_equals_the_truth(recipe, tmp_path):
    data, truth = make_log(recipe)
    path = tmp_path / "bot.log"
    path.write_bytes(data)
    counts = check(extract([path], source(recipe.zone), lines=True, levels=True), truth)
    assert counts.levels == truth.levels
    assert counts.lines == truth.lines
    assert counts.skipped_bytes == truth.torn + truth.headless


@pytest.mark.parametrize("packed", ["", "gz", "zst"])
def test_a_rotated_set_reads_as_one_log(packed, tmp_path):
    truth = write_rotated(tmp_path, Recipe(seed=8, wording=1), files=4, packed=packed)
    check(extract([tmp_path], source("Europe/Berlin")), truth)


def test_latencies_are_read_in_milliseconds(tmp_path):
    data, truth = make_log(Recipe(seed=9))
    path = tmp_path / "bot.log"
    path.write_bytes(data)
    found = [
        event.latency_ms for event in extract([path], source("Europe/Berlin")) if event.latency_ms is not None
    ]
    assert sorted(found) == pytest.approx(sorted(truth.latencies))


def test_from_and_to_keep_what_lies_between(tmp_path):
    data, truth = make_log(Recipe(seed=10))
    path = tmp_path / "bot.log"
    path.write_bytes(data)
    since, until = truth.first + timedelta(hours=1), truth.first + timedelta(hours=2)
    found = [event.at for event in extract([path], source("Europe/Berlin"), since=since, until=until)]
    assert found == [one.at for one in truth.records if one.kind and since <= one.at < until]


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_find_the_same(processes, tmp_path, monkeypatch):
    monkeypatch.setattr("posguard.logs.parts.PART", 50_000)
    data, truth = make_log(Recipe(seed=11, damage=True, crlf=True))
    path = tmp_path / "bot.log"
    path.write_bytes(data)
    counts = check(
        extract([path], source("Europe/Berlin"), processes=processes, lines=True, levels=True), truth
    )
    alone = extract([path], source("Europe/Berlin"), lines=True, levels=True).counts
    assert replace(counts, damage=set(counts.damage)) == replace(alone, damage=set(alone.damage))
