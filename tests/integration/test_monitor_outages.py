"""The monitor while its database is away: what it misses and alerts about, and that a lost answer is no second snapshot."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from posguard.demo.playing import PlayedClock
from posguard.errors import DatabaseUnavailableError
from posguard.monitor.watch import Monitor
from tests.conftest import run_script
from tests.fixtures.monitor import MINUTE, START, Noted, Stopper, db, gone_on, lines, plan

pytestmark = pytest.mark.postgres
assert db  # a fixture


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
