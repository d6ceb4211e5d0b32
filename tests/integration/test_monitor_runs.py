"""A run of the monitor as it lives: missed snapshots, going on after a death, files mended, a second monitor."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from posguard.demo.moving import make_moving_world
from posguard.demo.playing import Played, PlayedClock
from posguard.errors import ConflictError, SchemaError
from posguard.model.metrics import LATENCIES, OF_EVENTS, Measure, Window
from posguard.model.monitoring import Snapshot
from posguard.monitor.watch import NOBODY, Monitor
from posguard.postgres import monitorruns as store
from tests.conftest import run_script
from tests.fixtures.monitor import MINUTE, START, Noted, Stopper, db, gone_on, lines, plan

pytestmark = pytest.mark.postgres
assert db  # a fixture


async def stopped_at(db, folder, minute, *, minutes=10):
    """A run that is stopped at a minute, before that minute's snapshot."""
    stop = asyncio.Event()
    clock = PlayedClock(START, Stopper(START + minute * MINUTE, stop.set))
    noted = Noted()
    report = await Monitor(db, plan(folder, minutes=minutes), clock, noted).run(stop)
    return report, noted


async def test_without_a_log_and_without_events_there_is_no_source_and_never_0(db, tmp_path, bot_dsn):
    run_script(bot_dsn.get_secret_value(), "DROP TABLE monitoring.events")
    report, noted = await gone_on(db, tmp_path, START, minutes=2)
    snapshot = noted.taken[0]
    for measure in (Measure.PRICE_UPDATES, Measure.API_ERRORS, Measure.WEBSOCKET_RECONNECTS):
        for window in (Window.MINUTE, Window.TEN_MINUTES, Window.ALL_TIME):
            assert "no log is named" in snapshot.reading(measure, window).missing
    for measure in (*OF_EVENTS, *LATENCIES):
        assert "monitoring.events has no column" in snapshot.reading(measure, Window.MINUTE).missing
    assert snapshot.reading(Measure.POSITIONS_ACTIVE, Window.NOW).number == 0
    assert report["metrics_summary"]["total_errors"] is None
    assert report["metrics_summary"]["total_positions_opened"] == 0
    assert "monitoring.events" in report["no_source"]["total_errors"]
    assert report["total_alerts"] == 0


async def test_a_database_that_is_not_the_bots_is_refused(db, tmp_path, bot_dsn):
    run_script(bot_dsn.get_secret_value(), "ALTER TABLE monitoring.positions DROP COLUMN closed_at")
    with pytest.raises(SchemaError, match="closed_at"):
        await gone_on(db, tmp_path, START)


async def test_stopped_and_started_again_it_goes_on_and_what_was_due_meanwhile_is_missed(db, tmp_path):
    first, noted = await stopped_at(db, tmp_path, 4)
    assert [one.number for one in noted.taken] == [1, 2, 3, 4]
    assert (first["snapshots_expected"], first["snapshots_taken"], first["snapshots_missed"]) == (4, 4, 0)
    report, noted = await gone_on(db, tmp_path, START + timedelta(minutes=7, seconds=10))
    assert [again for _, again in noted.runs] == [True]
    told = lines(tmp_path)
    assert [one["number"] for one in told] == list(range(1, 11))
    assert [(one["number"], one["why"]) for one in told if one["state"] == "missed"] == [
        (5, NOBODY),
        (6, NOBODY),
    ]
    assert report["snapshots_missed"] == 2
    assert report["run_id"] == first["run_id"]
    (alert,) = report["alerts"]
    assert alert["kind"] == "monitor_snapshots_missed"
    assert (alert["raised_at"], alert["cleared_at"]) == (told[4]["at"], told[6]["at"])
    async with db.snapshot() as connection:
        outbox = await connection.fetch("SELECT event FROM posguard.alert_outbox ORDER BY id")
    assert [one["event"] for one in outbox] == ["raised", "resolved"]


async def test_a_run_whose_time_has_passed_is_ended_and_a_new_one_begins(db, tmp_path):
    async with db.transaction() as connection:
        clock = PlayedClock(START)
        dead = await store.begin(
            connection,
            Monitor(db, plan(tmp_path, minutes=10), clock, Noted())._new_run(START),
            owner="somebody who died",
        )
    report, noted = await gone_on(db, tmp_path, START + timedelta(hours=1), minutes=2)
    assert [again for _, again in noted.runs] == [True, False]
    assert report["run_id"] != dead.id
    assert report["snapshots_taken"] == 2
    (path,) = tmp_path.glob(f"monitor-*-{dead.id}.json")
    ended = json.loads(path.read_text())
    assert (ended["snapshots_expected"], ended["snapshots_taken"], ended["snapshots_missed"]) == (10, 0, 10)


@pytest.mark.parametrize("changes", [{"fresh": True}, {"minutes": 20}, {"interval": timedelta(seconds=30)}])
async def test_another_kind_of_run_or_new_begins_anew(db, tmp_path, changes):
    await stopped_at(db, tmp_path, 4)
    named = {"minutes": 10, **changes}
    _, noted = await gone_on(db, tmp_path, START + 5 * MINUTE, **named)
    assert [again for _, again in noted.runs] == [False]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-20],
        lambda data: data + b'{"number": 5, "at": "20',
        lambda data: data[:0],
        lambda data: data + data.splitlines(keepends=True)[-1],
        lambda data: data.replace(b'"number":3', b'"number":9'),
    ],
    ids=["torn", "half a line too many", "empty", "doubled", "changed"],
)
async def test_a_harmed_file_says_at_the_next_start_what_the_database_has(db, tmp_path, harm):
    await stopped_at(db, tmp_path, 4)
    (path,) = tmp_path.glob("monitor-*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    await gone_on(db, tmp_path, START + timedelta(minutes=4, seconds=30))
    assert path.read_bytes().startswith(whole)
    assert [one["number"] for one in lines(tmp_path)] == list(range(1, 11))


async def test_a_report_whose_file_is_missing_is_written_at_the_next_start(db, tmp_path):
    """Killed after the database had the report, and before the file had."""
    first, _ = await gone_on(db, tmp_path, START, minutes=2)
    (path,) = tmp_path.glob("monitor-*.json")
    whole = json.loads(path.read_text())
    path.unlink()
    second, _ = await gone_on(db, tmp_path, START + 3 * MINUTE, minutes=2)
    assert second["run_id"] != first["run_id"]
    assert json.loads(path.read_text()) == whole


async def test_who_is_replaced_writes_nothing_more(db, tmp_path):
    noted = Noted()

    async def replaced():
        async with db.transaction() as connection:
            run = await store.latest_run(connection)
            await store.take_over(connection, run.id, owner="another")

    class Replaces:
        async def __call__(self, until):
            if until == START + 3 * MINUTE:
                await replaced()

    monitor_ = Monitor(db, plan(tmp_path, minutes=10), PlayedClock(START, Replaces()), noted)
    with pytest.raises(ConflictError, match="taken this run over"):
        await monitor_.run(asyncio.Event())
    assert [one.number for one in noted.taken] == [1, 2]
    assert [one["number"] for one in lines(tmp_path)] == [1, 2]


def test_the_program_watches_and_sigterm_ends_it_with_its_report(bot_dsn, tmp_path):
    environment = {**os.environ, "POSGUARD_DSN": bot_dsn.get_secret_value(), "NO_COLOR": "1"}
    command = [
        sys.executable, "-m", "posguard", "monitor", "--interval", "1", "--duration", "1", "--out", str(tmp_path), "--json",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            found = re.search(r"(\d+)/3600", line)
            if found and int(found[1]) >= 2:
                process.send_signal(signal.SIGTERM)
                break
        out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == 0
    assert report["snapshots_taken"] >= 1  # a machine that is busy for a second misses one, and says so
    told = lines(tmp_path)
    assert [one["number"] for one in told] == list(range(1, report["snapshots_expected"] + 1))
    missed = [one["number"] for one in told if one["state"] == "missed"]
    assert (len(missed), len(told) - len(missed)) == (report["snapshots_missed"], report["snapshots_taken"])
    (path,) = tmp_path.glob("monitor-*.json")
    assert json.loads(path.read_text())["ended_at"].startswith(report["ended_at"].rstrip("Z")[:19])


async def test_a_world_goes_on_over_a_stop_as_if_there_had_been_none(db, tmp_path):
    """All-time counts and the mean of the last ten minutes do not care who counted them."""
    world = make_moving_world(START, 12, seed=3, before=5)
    played = Played(db, world)
    await played(START)
    stop = asyncio.Event()
    clock = PlayedClock(START, played)

    class StopsAt:
        async def __call__(self, until):
            await played(until)
            if until == START + 6 * MINUTE:
                stop.set()

    await Monitor(db, plan(tmp_path, minutes=12), PlayedClock(START, StopsAt()), Noted()).run(stop)
    clock._now = START + 6 * MINUTE
    await Monitor(db, plan(tmp_path, minutes=12), clock, Noted()).run(asyncio.Event())
    told = [Snapshot.read(one) for one in lines(tmp_path)]
    assert [one.number for one in told] == list(range(1, 13))
    last = told[-1]
    active = [one.reading(Measure.POSITIONS_ACTIVE, Window.NOW).number for one in told[2:]]
    mean = last.reading(Measure.POSITIONS_ACTIVE, Window.TEN_MINUTES).number
    assert mean == pytest.approx(sum(active) / len(active), abs=0.001)
    ever = [one.reading(Measure.POSITIONS_OPENED, Window.ALL_TIME).number for one in told]
    assert ever == [sum(s.created_at <= one.at for s in world.stories) for one in told]
