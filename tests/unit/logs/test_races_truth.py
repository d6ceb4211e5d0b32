"""The analysis of generated logs against the generator's truth: several seeds, wordings, zones and encodings."""

from collections import Counter
from datetime import timedelta
from io import BytesIO

import pytest

from posguard.logs.analysis import Gathered
from posguard.logs.extract import extract
from posguard.logs.generator import Recipe, make_log
from posguard.model.race import Scenario
from posguard.settings import LogSource

MILLISECOND = timedelta(milliseconds=1)
RECIPES = [
    Recipe(seed=1),
    Recipe(seed=2, wording=1, zone="Asia/Dubai", encoding="utf-16"),
    Recipe(seed=3, wording=2, zone="America/New_York", damage=True),
    Recipe(seed=4, wording=1, zone="UTC", crlf=True, bars=0.9),
    Recipe(seed=5, wording=2, zone="Australia/Lord_Howe", encoding="cp1251"),
    # whose opens, drawn without a care, would lie within a minute of each other
    Recipe(seed=7, hours=23.9, opens=250, happenings=300, incidents=False),
    Recipe(seed=8, zone="UTC", damage=True, bars=1.0),
    Recipe(seed=6, zone="Asia/Kolkata", races=("silent", "D", "C", "B", "A", "A", "B"), silence=(2.0, 3.1)),
]


def _analysis(recipe):
    data, truth = make_log(recipe)
    source = LogSource(name="bot", paths=("bot.log",), zone=recipe.zone)
    read = extract(("mem://bot.log",), source, opener=lambda _: BytesIO(data), lines=True, levels=True)
    gathered = Gathered()
    gathered.take(read)
    found = gathered.conclude(
        zones={"bot": recipe.zone},
        total_lines=read.counts.lines,
        parsed_entries=read.counts.records,
        levels=read.counts.levels,
    )
    return found, truth, gathered.tally


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"seed{r.seed}-wording{r.wording}-{r.zone}")
def test_every_planted_race_comes_out_with_its_scenario_its_rows_and_its_gap(recipe):
    found, truth, _ = _analysis(recipe)
    races = {race.symbol: race for race in found.races}
    assert len(truth.races) >= len(recipe.races)
    assert sorted(races) == sorted(planted.symbol for planted in truth.races)
    assert (len(found.races), found.undecided) == (len(truth.races), ())
    for planted in truth.races:
        race = races[planted.symbol]
        silent = planted.scenario == "silent"
        assert race.surfaced is not silent, planted
        assert race.scenario is (Scenario.UNKNOWN if silent else Scenario(planted.scenario)), (
            planted,
            race.reason,
        )
        assert abs(race.window - planted.gap) <= MILLISECOND, planted
        assert set(race.row_ids) <= {planted.first_id, planted.second_id}, planted
        assert planted.first_id in race.row_ids
        if not silent:
            assert race.at == planted.error_at
            assert race.exchange == planted.exchange
            assert len(race.errors) == 3


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"seed{r.seed}-wording{r.wording}-{r.zone}")
def test_every_number_equals_the_truth(recipe):
    found, truth, tally = _analysis(recipe)
    numbers = found.statistics
    surfaced = [race for race in truth.races if race.error_at is not None]
    assert numbers.duplicate_errors == len(surfaced)
    assert numbers.errors_by_symbol == Counter(race.symbol for race in surfaced)
    assert numbers.errors_by_exchange == Counter(race.exchange for race in surfaced)
    hours = Counter(race.error_at.replace(minute=0, second=0, microsecond=0) for race in surfaced)
    assert numbers.errors_by_hour == hours
    assert numbers.kinds == truth.kinds
    assert numbers.position_updates == truth.kinds["updated"] + truth.kinds["activated"]
    assert sum(e.position_id or 0 for e in found.events if e.kind == "created") == truth.ids["created"]
    assert numbers.position_creates == truth.kinds["created"] + truth.kinds["sync_added"]
    assert numbers.total_lines == truth.lines
    assert numbers.levels == truth.levels
    assert len(numbers.holes) == len(truth.gaps)
    for hole, (since, until) in zip(numbers.holes, truth.gaps, strict=True):
        # a hole is seen between events; the truth counts the lines that are none too
        assert hole.since <= since < until <= hole.until
        assert hole.length - (until - since) < timedelta(minutes=6)
    if recipe.silence is None:  # the truth's latencies are those of the silent stretch too
        said = sorted(v for values in tally.latencies.values() for v in values)
        assert said == pytest.approx(sorted(truth.latencies))


def test_a_race_that_was_not_planted_is_two_creates_of_one_symbol_on_one_exchange():
    for recipe in RECIPES:
        found, truth, _ = _analysis(recipe)
        planted = {race.symbol for race in truth.races}
        for race in found.races:
            if race.symbol not in planted:
                assert len({c.exchange for c in race.creates}) == 1
                assert None not in {c.exchange for c in race.creates}
                assert max(race.gaps) <= timedelta(minutes=1)
