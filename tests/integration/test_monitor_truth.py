"""Eight hours of a world of which everything is known: each metric of each minute, each alert, and the report."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest

from posguard.demo.moving import Troubles, make_moving_world, truth, truth_now
from posguard.demo.playing import Played, PlayedClock
from posguard.model.metrics import COUNTERS, GAUGES, LATENCIES, TEN_MINUTES, Measure, Window
from posguard.model.monitoring import Snapshot
from posguard.monitor.watch import Monitor
from posguard.postgres import monitorruns as store
from posguard.postgres.pool import Database
from tests.fixtures.monitor import LIMITS, MINUTE, START, Noted, plan

pytestmark = pytest.mark.postgres

LONG = os.environ.get("POSGUARD_RELIABILITY") == "long"
# Eight hours in the long form; what goes wrong is within the first.
MINUTES = 480 if LONG else 75
TROUBLES = Troubles(unprotected=(10, 17), silent=(20, 32), priceless=(40, 49), errors=55, emergency=58)


async def watched(db, world, folder, *, minutes):
    """Runs the monitor over the whole world; the report, the screen, and the lines of its file."""
    log = folder / "bot.log"
    log.touch()
    played = Played(db, world, log)
    await played(START)
    noted = Noted()
    clock = PlayedClock(START, played)
    monitor = Monitor(db, plan(folder, minutes=minutes, log=log), clock, noted)
    report = await monitor.run(asyncio.Event())
    (path,) = folder.glob("monitor-*.jsonl")
    return report, noted, [json.loads(line) for line in path.read_text().splitlines()]


def same(reading, counts, where):
    assert not reading.missing, f"{where}: {reading.missing}"
    assert reading.by_exchange == {name: n for name, n in counts.items() if n}, where
    assert reading.total == sum(counts.values()), where


def near(spread, took, where):
    assert spread.count == len(took), where
    if took:
        expected = np.percentile(took, [50, 95, 99])
        assert [spread.p50, spread.p95, spread.p99] == pytest.approx(expected, abs=1e-6), where


def check(world, snapshot):
    """One snapshot against the truth of its moment, all windows."""
    at = snapshot.at
    standing = truth_now(world, at, grace=LIMITS.grace, aged_after=LIMITS.aged_after)
    for measure in GAUGES:
        same(snapshot.reading(measure, Window.NOW), standing[measure], (at, measure))
    for window, length in ((Window.MINUTE, MINUTE), (Window.TEN_MINUTES, TEN_MINUTES)):
        counts, took = truth(world, at, length, aged_after=LIMITS.aged_after)
        for measure in COUNTERS:
            reading = snapshot.reading(measure, window)
            if measure is Measure.THROUGHPUT:
                per = length / MINUTE
                assert reading.total == pytest.approx(sum(counts[measure].values()) / per), (at, window)
            else:
                same(reading, counts[measure], (at, window, measure))
        for measure in LATENCIES:
            reading = snapshot.reading(measure, window)
            by_exchange = took[measure]
            near(reading.total, [one for all_of in by_exchange.values() for one in all_of], (at, measure))
            assert set(reading.by_exchange) == set(by_exchange)
            for exchange, spread in reading.by_exchange.items():
                near(spread, by_exchange[exchange], (at, measure, exchange))


async def test_every_metric_of_every_minute_is_the_truth(bot_dsn, tmp_path):
    seed = int(os.environ["SUITE_SEED"])
    sys.stdout.write(f"seed {seed}\n")
    world = make_moving_world(START, MINUTES, seed=seed, troubles=TROUBLES, before=40)
    async with await Database.open(bot_dsn) as db:
        report, noted, lines = await watched(db, world, tmp_path, minutes=MINUTES)
        async with db.snapshot() as connection:
            outbox = await connection.fetch(
                "SELECT kind, topic, event FROM posguard.alert_outbox ORDER BY id"
            )
            kept = await store.snapshots_between(connection, START, world.at(MINUTES))
    assert noted.troubles == []
    assert [line["number"] for line in lines] == list(range(1, MINUTES + 1))
    snapshots = [Snapshot.read(line) for line in lines]
    assert kept == snapshots == noted.taken
    for snapshot in snapshots:
        check(world, snapshot)
    ever_checked(world, snapshots)
    alerts_checked(report, outbox)
    report_checked(world, report)


def ever_checked(world, snapshots):
    """All-time counts, now and then."""
    for snapshot in snapshots[24::25]:
        counts, _ = truth(world, snapshot.at, timedelta(days=10), aged_after=LIMITS.aged_after)
        for measure in COUNTERS:
            same(snapshot.reading(measure, Window.ALL_TIME), counts[measure], (snapshot.at, measure))


def alerts_checked(report, outbox):
    """Each planted trouble was raised once, in the minute in which it began, and cleared in the minute in which it ended."""
    told = {}
    for alert in report["alerts"]:
        minutes = tuple(
            alert[name] and round((datetime.fromisoformat(alert[name]) - START) / MINUTE)
            for name in ("raised_at", "cleared_at")
        )
        told.setdefault((alert["kind"], alert["severity"]), []).append(minutes)
    aged = told.pop(("monitor_aged", "info"))
    assert aged
    assert told == {
        ("monitor_no_stop_loss", "critical"): [(10, 17)],
        ("monitor_emergency_close", "critical"): [(58, 59)],
        ("monitor_error_rate", "warning"): [(55, 56)],
        # three minutes after the last price, five after the last event
        ("monitor_no_price_updates", "warning"): [(43, 50)],
        ("monitor_bot_silent", "warning"): [(25, 33)],
    }
    raised = Counter(one["topic"] for one in outbox if one["event"] == "raised")
    resolved = Counter(one["topic"] for one in outbox if one["event"] == "resolved")
    assert raised["monitor_no_stop_loss:" + report_subject(report)] == 1
    assert sum(raised.values()) == len(report["alerts"])
    assert sum(resolved.values()) == sum(1 for alert in report["alerts"] if alert["cleared_at"])


def report_subject(report):
    (alert,) = [one for one in report["alerts"] if one["kind"] == "monitor_no_stop_loss"]
    return alert["subject"]


def report_checked(world, report):
    counts, took = truth(world, world.at(MINUTES), MINUTES * MINUTE, aged_after=LIMITS.aged_after)
    assert report["monitoring_duration_minutes"] == MINUTES
    counted = [report[f"snapshots_{name}"] for name in ("expected", "taken", "missed")]
    assert counted == [MINUTES, MINUTES, 0]
    assert report["critical_alerts"] == 2
    assert report["total_alerts"] == len(report["alerts"])
    summary = report["metrics_summary"]
    named = {
        "total_positions_opened": Measure.POSITIONS_OPENED,
        "total_positions_closed": Measure.POSITIONS_CLOSED,
        "total_ts_activations": Measure.TRAILING_ACTIVATED,
        "total_sl_updates": Measure.STOP_LOSS_UPDATED,
        "total_aged": Measure.AGED_DETECTED,
        "total_zombies": Measure.ZOMBIE_ORDERS,
        "total_errors": Measure.ERRORS,
        "total_events": Measure.THROUGHPUT,
        "total_price_updates": Measure.PRICE_UPDATES,
        "total_api_errors": Measure.API_ERRORS,
        "total_websocket_reconnects": Measure.WEBSOCKET_RECONNECTS,
    }
    assert {name: summary[name] for name in named} == {
        name: sum(counts[measure].values()) for name, measure in named.items()
    }
    assert len(report["per_hour"]) == -(-MINUTES // 60)
    for name in named:
        assert sum(hour[name] for hour in report["per_hour"]) == summary[name], name
    for measure in LATENCIES:
        values = [one for all_of in took[measure].values() for one in all_of]
        assert report["latency_ms"][measure.value]["all"]["p95"] == pytest.approx(np.percentile(values, 95))
    assert report["first_snapshot"]["number"] == 1
    assert report["last_snapshot"]["number"] == MINUTES
