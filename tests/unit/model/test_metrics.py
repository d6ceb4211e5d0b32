"""The metrics' catalogue, and a snapshot that comes back from its JSON as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from posguard.model.metrics import METRICS, SOURCES, SUPPORTING, TITLES, Measure, Shape, Source, Window
from posguard.model.monitoring import Reading, Snapshot, Spread, Unprotected, counted, unsourced

AT = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)


def test_there_are_sixteen_metrics_each_with_a_unit_and_a_source():
    assert len(METRICS) == len({metric.id for metric in METRICS}) == 16
    assert all(metric.unit and metric.says and metric.title for metric in METRICS)
    assert {metric.id for metric in METRICS if metric.source is Source.LOG} == {
        "price_updates",
        "api_errors",
        "websocket_reconnects",
    }
    assert [metric.id for metric in METRICS if metric.shape is Shape.LATENCY] == ["latency"]


def test_every_measure_has_one_place_and_one_source():
    of_metrics = [measure for metric in METRICS for measure in metric.measures]
    assert sorted([*of_metrics, *(one.measure for one in SUPPORTING)]) == sorted(Measure)
    assert set(SOURCES) == set(TITLES) == set(Measure)


def test_what_has_no_source_is_never_0():
    none = unsourced("no log is named")
    assert none.as_json() == {"no_source": "no log is named"}
    assert none.of("binance") is None
    with pytest.raises(ValueError, match="no log is named"):
        _ = none.number
    known = counted({"binance": 3, "bybit": 0})
    assert (known.number, known.of("binance"), known.of("bybit")) == (3, 3, 0)
    assert known.as_json() == {"all": 3, "by_exchange": {"binance": 3}}
    assert Snapshot(1, AT, missed="gone").reading(Measure.ERRORS, Window.MINUTE).missing == "gone"


def test_a_snapshot_comes_back_from_its_line_as_it_was():
    taken = Snapshot(
        7,
        AT,
        AT,
        {
            Window.NOW: {Measure.POSITIONS_ACTIVE: counted({"binance": 2})},
            Window.MINUTE: {
                Measure.PRICE_UPDATES: unsourced("no log is named"),
                Measure.LATENCY_ENTRY: Reading(
                    Spread(2, 1.5, 2.5, 2.75), {"binance": Spread(1, 1.0, 1.0, 1.0)}
                ),
            },
        },
        (Unprotected(5, "binance", "APTUSDT", "active", AT), Unprotected(6, "", "X", "active", None)),
    )
    missed = Snapshot(8, AT, missed="the database did not answer")
    for snapshot in (taken, missed):
        assert Snapshot.read(json.loads(json.dumps(snapshot.as_json()))) == snapshot
