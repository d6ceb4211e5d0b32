"""A log that is judged stretch by stretch says what the whole of it says."""

import json
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
import typer

from posguard.cli.logs_analyze import analyze
from posguard.logs.analysis import Gathered, Stepwise
from posguard.logs.extract import extract
from posguard.logs.generator import Recipe, make_log
from posguard.logs.windows import CALM, calm_cut
from posguard.model.scope import Scope
from posguard.settings import LogSource
from tests.unit.logs.telling import Log, incident_1, incident_2

ZONES = {"bot": "UTC"}
COUNTED = {"total_lines": None, "parsed_entries": None}


def whole(events, scope):
    gathered = Gathered()
    gathered.take(events)
    return gathered.conclude(zones=ZONES, scope=scope, **COUNTED)


def stepwise(events, scope=None, *, size=50, stretch=100):
    told = []
    steps = Stepwise(ZONES, scope or Scope(), each=told.extend, stretch=stretch)
    for start in range(0, len(events), size):
        steps.take(events[start : start + size])
    return steps, replace(steps.conclude(**COUNTED), events=tuple(told))


def as_told(event):
    """An event without an exchange that comes from lines farther away than a small stretch."""
    if "exchange" not in event.inferred:
        return event
    return event._replace(exchange=None, inferred=tuple(f for f in event.inferred if f != "exchange"))


@pytest.mark.parametrize("scope", [Scope(), Scope("binance"), Scope(symbol="R0AUSDT")], ids=str)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_found_is_the_same(seed, scope):
    recipe = Recipe(seed=seed, wording=seed, zone="UTC", noise=50, hours=12)
    data, truth = make_log(recipe)
    source = LogSource(name="bot", paths=("bot.log",), zone="UTC")
    events = list(extract(("mem://bot.log",), source, opener=lambda _: BytesIO(data)))
    steps, found = stepwise(events, scope)
    expected = whole(events, scope)
    assert steps.stretches > 3
    assert not steps.went_back
    assert found.races == expected.races
    assert scope.symbol or len(found.races) >= len(truth.races) / 3
    assert found.statistics.errors_by_symbol == expected.statistics.errors_by_symbol
    assert sorted(found.undecided, key=str) == sorted(expected.undecided, key=str)
    if not scope.exchange:
        assert found.statistics == expected.statistics
        assert [as_told(e) for e in found.events] == [as_told(e) for e in expected.events]
    errors = {(r.source, r.errors[0]) for r in found.surfaced}
    assert errors == {(e.source, e.offset) for e in steps.kept}


def test_an_id_that_is_named_later_in_the_stretch_is_known():
    log = Log()
    log.say(0, "updated", position_id=7, status="active")
    log.say(400_000, "created", symbol="APTUSDT", position_id=7)
    _, found = stepwise(log.events, size=2, stretch=1)
    assert found.events[0].symbol == "APTUSDT"


def test_a_cut_lies_in_a_calm_and_never_in_a_race():
    log = incident_1()
    length = 2 * CALM / timedelta(milliseconds=1)
    log.say(length, "updated", position_id=1)
    assert calm_cut(log.events) == 0
    log.say(length + 130_000, "updated", position_id=1)
    log.say(3 * length, "inserting", symbol="APTUSDT")
    cut = calm_cut(log.events)
    assert log.events[cut - 1].kind == "duplicate_error"
    assert all(log.events[cut - 1].at + CALM < event.at for event in log.events[cut:])


def test_without_a_calm_the_longest_pause_is_cut_where_it_has_to_be():
    log = Log()
    for number in range(100):
        log.say(number * 1000 + (90_000 if number > 60 else 0), "created", position_id=number)
    assert calm_cut(log.events) == 0
    assert calm_cut(log.events, forced=True) == 61


def test_a_log_that_goes_back_to_what_is_judged_says_so_and_is_not_cut_before():
    later, earlier = incident_2().events, incident_1().events
    far = [one._replace(at=one.at + timedelta(days=1), offset=one.offset + 10**6) for one in later]
    steps, _ = stepwise([*later, *far, *earlier], size=3, stretch=1)
    assert steps.went_back
    assert calm_cut([*later, *far, *earlier]) == 0


def test_files_that_overlap_are_told_once_by_the_command_whatever_the_stretch(tmp_path, monkeypatch, capsys):
    data, truth = make_log(Recipe(seed=4, zone="UTC", noise=50, hours=12))
    lines = data.splitlines(keepends=True)
    (tmp_path / "bot.log.1").write_bytes(b"".join(lines[: len(lines) * 2 // 3]))
    (tmp_path / "bot.log").write_bytes(b"".join(lines[len(lines) // 3 :]))

    def said(stretch):
        monkeypatch.setattr("posguard.logs.analysis.STRETCH", stretch)
        with pytest.raises(typer.Exit):
            analyze([str(tmp_path)], zone="UTC", as_json=True)
        told = json.loads(capsys.readouterr().out)
        del told["analysis_timestamp"]
        return told

    whole, short = said(10**6), said(20)
    assert len(whole["duplicate_errors"]) == sum(race.error_at is not None for race in truth.races)
    assert short == whole
