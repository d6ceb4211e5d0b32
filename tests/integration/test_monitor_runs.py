"""A run of the monitor as it lives: missed snapshots, going on after a death, files mended, a second monitor, late commits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import asyncpg
import pytest

from posguard.demo.moving import make_moving_world
from posguard.demo.playing import Played, PlayedClock
from posguard.errors import ConflictError, DatabaseUnavailableError, SchemaError
from posguard.model.metrics import LATENCIES, OF_EVENTS, Measure, Window
from posguard.model.monitoring import Snapshot
from posguard.monitor.watch import NOBODY, Monitor
from posguard.postgres import monitor, monitorcounts
from posguard.postgres import monitorruns as store
from posguard.postgres.pool import Database
from tests.conftest import run_script
from tests.fixtures.monitor import LIMITS, MINUTE, START, Noted, plan

pytestmark = pytest.mark.postgres


@pytest.fixture
async def db(bot_dsn):
    async with await Database.open(bot_dsn) as opened:
        yield opened


def lines(folder):
    (path,) = folder.glob("monitor-*.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()]


class Stopper:
    """Plays nothing, and does something once when a moment comes."""

    def __init__(self, moment, what):
        self.moment, self.what = moment, what

    async def __call__(self, until):
        if self.what is not None and until >= self.moment:
            what, self.what = self.what, None
            what()


async def stopped_at(db, folder, minute, *, minutes=10):
    """A run that is stopped at a minute, before that minute's snapshot."""
    stop = asyncio.Event()
    clock = PlayedClock(START, Stopper(START + minute * MINUTE, stop.set))
    noted = Noted()
    report = await Monitor(db, plan(folder, minutes=minutes), clock, noted).run(stop)
    return report, noted


async def gone_on(db, folder, now, *, minutes=10, **changes):
    noted = Noted()
    report = await Monitor(db, plan(folder, minutes=minutes, **changes), PlayedClock(now), noted).run(
        asyncio.Event()
    )
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


class Breaking:
    """A database whose look or commit fails between two moments."""

    def __init__(self, db, clock, since, until, *, how):
        self.db, self.clock, self.since, self.until, self.how = db, clock, since, until, how

    def _out(self):
        return self.since <= self.clock.now() < self.until

    def snapshot(self):
        if self._out() and self.how in {"look", "gone"}:
            raise DatabaseUnavailableError("The database did not answer.")
        return self.db.snapshot()

    def transaction(self):
        if self._out() and self.how == "gone":
            raise DatabaseUnavailableError("The database did not answer.")
        if self._out() and self.how == "commit":
            return self._lost()
        return self.db.transaction()

    def _lost(self):
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def committed():
            async with self.db.transaction() as connection:
                yield connection
            self.until = self.since
            raise DatabaseUnavailableError("The acknowledgement was lost.")

        return committed()


async def test_while_the_database_is_gone_snapshots_are_missed_and_alerted_about_once(db, tmp_path):
    clock = PlayedClock(START)
    broken = Breaking(db, clock, START + 3 * MINUTE, START + timedelta(minutes=5, seconds=30), how="look")
    noted = Noted()
    report = await Monitor(broken, plan(tmp_path, minutes=10), clock, noted).run(asyncio.Event())
    told = lines(tmp_path)
    assert [one["number"] for one in told] == list(range(1, 11))
    # the fifth was due at 5:00 and tried until it went through at 5:30
    assert [one["number"] for one in told if one["state"] == "missed"] == [3, 4]
    (alert,) = report["alerts"]
    assert (alert["raised_at"], alert["cleared_at"]) == (told[2]["at"], told[4]["at"])
    # whoever looks at the screen hears of it in the same interval
    assert [one.missed != "" for one in noted.taken][:4] == [False, False, True, True]


async def test_a_commit_whose_acknowledgement_is_lost_is_one_snapshot_and_its_alert_one_alert(db, tmp_path):
    naked = (
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, opened_at) "
        "VALUES ('XUSDT', 'binance', 'long', 1, 1, 'active', $1)"
    )
    async with db.transaction() as connection:
        # past its grace at the third snapshot, whose acknowledgement is lost
        await connection.execute(naked, START + timedelta(minutes=1, seconds=30))
    clock = PlayedClock(START)
    broken = Breaking(db, clock, START + 3 * MINUTE, START + 4 * MINUTE, how="commit")
    noted = Noted()
    report = await Monitor(broken, plan(tmp_path, minutes=4), clock, noted).run(asyncio.Event())
    assert noted.troubles == ["The acknowledgement was lost."]
    assert [(one["number"], one["state"]) for one in lines(tmp_path)] == [(n, "taken") for n in range(1, 5)]
    assert report["snapshots_missed"] == 0
    (alert,) = report["alerts"]
    assert alert["raised_at"] == (START + 3 * MINUTE).isoformat()
    async with db.snapshot() as connection:
        outbox = await connection.fetch("SELECT event FROM posguard.alert_outbox")
    assert [one["event"] for one in outbox] == ["raised"]


async def test_stopped_while_the_database_is_gone_the_report_says_what_it_lacks_and_the_run_can_go_on(
    db, tmp_path
):
    stop = asyncio.Event()
    clock = PlayedClock(START, Stopper(START + 5 * MINUTE, stop.set))
    broken = Breaking(db, clock, START + 3 * MINUTE, START + timedelta(hours=1), how="gone")
    report = await Monitor(broken, plan(tmp_path, minutes=10), clock, Noted()).run(stop)
    assert "did not answer" in report["incomplete"]
    assert (report["snapshots_taken"], report["snapshots_missed"]) == (2, 3)
    assert set(report["metrics_summary"].values()) == {None}, "unknown is not 0"
    (path,) = tmp_path.glob("monitor-*.json")
    assert json.loads(path.read_text())["incomplete"]
    whole, noted = await gone_on(db, tmp_path, START + timedelta(minutes=5, seconds=30))
    assert [again for _, again in noted.runs] == [True]
    assert whole["run_id"] == report["run_id"]
    assert (whole["incomplete"], whole["snapshots_taken"], whole["snapshots_missed"]) == ("", 8, 2)
    assert [one["number"] for one in lines(tmp_path)] == list(range(1, 11))


async def test_connections_that_the_server_cuts_cost_no_snapshot(db, tmp_path, bot_dsn):
    """A server that is restarted, or an administrator: the next try goes through on a new connection."""

    class Cuts:
        async def __call__(self, until):
            if until in {START + 2 * MINUTE, START + 4 * MINUTE}:
                run_script(
                    bot_dsn.get_secret_value(),
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )

    noted = Noted()
    report = await Monitor(db, plan(tmp_path, minutes=6), PlayedClock(START, Cuts()), noted).run(
        asyncio.Event()
    )
    assert [(one["number"], one["state"]) for one in lines(tmp_path)] == [(n, "taken") for n in range(1, 7)]
    assert report["total_alerts"] == 0


INSERT = "INSERT INTO monitoring.events (event_type, exchange, created_at) VALUES ('order_error', 'binance', now())"


async def all_errors(db, counters):
    """A look's all-time count of errors, and the counters after it."""
    async with db.snapshot() as connection:
        seen = await monitor.look(connection, START, LIMITS, monitor.Sources(), counters)
    return seen.readings[Window.ALL_TIME][Measure.ERRORS].number, seen.counters


async def settled_up_to(db, counters, newest):
    """Looks until all of it is final: a transaction in any database of the server may hold that up for a while."""
    counted, counters = await all_errors(db, counters)
    while counters["events"].settled < newest:
        again, counters = await all_errors(db, counters)
        assert again == counted
    assert counters["events"].settled == newest
    return counted, counters


UNNUMBERED = """
SELECT pid, query_start FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND backend_xid IS NULL AND query LIKE 'INSERT%'
"""


async def numbered(db):
    """Waits until each insert under way has its transaction's number: looks are no nearer to each other than its id and that."""
    async with db.connection() as connection:
        begun = {tuple(one) for one in await connection.fetch(UNNUMBERED)}
        while begun & {tuple(one) for one in await connection.fetch(UNNUMBERED)}:  # noqa: ASYNC110 - the server tells no event of it
            await asyncio.sleep(0.01)


async def test_a_transaction_that_commits_late_is_counted_however_many_looks_there_were_before(db, bot_dsn):
    early = await asyncpg.connect(bot_dsn.get_secret_value())
    try:
        async with db.connection() as connection:
            await connection.execute(INSERT)
        late = early.transaction()
        await late.start()
        await early.execute(INSERT)
        counters, settled = {}, []
        for round_ in range(8):
            async with db.connection() as connection:
                await connection.execute(INSERT)
            counted, counters = await all_errors(db, counters)
            assert counted == 2 + round_
            settled.append(counters["events"].settled)
        assert settled[-1] < 2, "nothing is final behind a transaction that is open"
        await late.commit()
        counted, counters = await all_errors(db, counters)
        assert counted == 10
        # what was open has ended: all of it gets final
        counted, counters = await settled_up_to(db, counters, 10)
        assert counted == 10
        assert sum(counters["events"].counts[Measure.ERRORS].values()) == 10
    finally:
        await early.close()


async def test_many_writers_that_commit_in_any_order_are_counted_exactly(db, bot_dsn):
    """Rows of transactions that overlap in all ways, looks all the while: the last count is what the table holds."""
    import random

    seed = int(os.environ["SUITE_SEED"])
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)
    stop = asyncio.Event()

    async def writes():
        connection = await asyncpg.connect(bot_dsn.get_secret_value())
        try:
            for _ in range(25):
                transaction = connection.transaction()
                await transaction.start()
                for _ in range(dice.randint(1, 3)):
                    await connection.execute(INSERT)
                    await asyncio.sleep(dice.random() * 0.01)
                await (transaction.commit() if dice.random() < 0.8 else transaction.rollback())
        finally:
            await connection.close()

    async def looks():
        counters, last = {}, 0
        while not stop.is_set():
            counted, counters = await all_errors(db, counters)
            assert counted >= last
            last = counted
            await numbered(db)
        return counters

    looking = asyncio.create_task(looks())
    await asyncio.gather(*(writes() for _ in range(5)))
    stop.set()
    counters = await looking
    async with db.connection() as connection:
        held = await connection.fetchval("SELECT count(*) FROM monitoring.events")
        newest = await connection.fetchval("SELECT max(id) FROM monitoring.events")
    counted, counters = await settled_up_to(db, counters, newest)
    assert counted == held


async def test_what_is_there_already_is_counted_in_pieces_and_kept(db, monkeypatch):
    monkeypatch.setattr(monitorcounts, "MOST_BEHIND", 50)
    monkeypatch.setattr(monitorcounts, "_CHUNK", 40)
    monkeypatch.setattr(monitorcounts, "_SETTLING", 0.0)
    monkeypatch.setattr(
        monitorcounts, "_PATIENCE", 120.0
    )  # with the transactions of the server's other databases
    async with db.connection() as connection:
        await connection.execute(
            "INSERT INTO monitoring.events (event_type, exchange) SELECT 'order_error', 'bybit' FROM generate_series(1, 130)"
        )
    found, kept = await all_errors_or_none(db, {})
    assert found is None, "too much to read at once"
    pieces = []

    async def keep(counter):
        pieces.append(counter.settled)
        kept[counter.part] = counter

    await monitorcounts.catch_up(db, {}, LIMITS.aged_after, keep, at=START, events=True)
    assert pieces == [40, 80, 120, 130]
    assert (await all_errors(db, kept))[0] == 130


async def all_errors_or_none(db, counters):
    async with db.snapshot() as connection:
        seen = await monitor.look(connection, START, LIMITS, monitor.Sources(), counters)
    reading = seen.readings[Window.ALL_TIME][Measure.ERRORS]
    return (None if reading.missing else reading.number), dict(seen.counters)


def test_the_program_watches_and_sigterm_ends_it_with_its_report(bot_dsn, tmp_path):
    environment = {**os.environ, "POSGUARD_DSN": bot_dsn.get_secret_value(), "NO_COLOR": "1"}
    command = [
        sys.executable, "-m", "posguard", "monitor", "--interval", "1", "--duration", "1", "--out", str(tmp_path), "--json",
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if "2/3600" in line:
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
