"""The monitor killed by SIGKILL at random moments while the bot goes on writing: no snapshot lost or doubled, the report right.

`make reliability-monitor` kills two hundred times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import psycopg
import pytest

LONG = os.environ.get("POSGUARD_RELIABILITY") == "long"
KILLS = 200 if LONG else 3
INTERVAL = 0.1
# Longer than all lives together, however slow the machine is: the last one is told to stop.
SECONDS = 4 * 3600
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(3600 if LONG else 180)]

CHILD = """
import asyncio, signal, sys
from datetime import timedelta
from pathlib import Path
from posguard.model.monitor_alerts import Thresholds
from posguard.monitor.clock import ServerClock
from posguard.monitor.watch import Monitor, Plan
from posguard.postgres.monitor import Limits
from posguard.postgres.pool import Database

class Screen:
    def began(self, run, *, again, slow): pass
    def counting(self, done, total): pass
    def took(self, run, snapshot, changes, standing):
        if not snapshot.missed:
            print(snapshot.number, flush=True)
    def trouble(self, text): print(text, file=sys.stderr)

async def main(dsn, folder, seconds, interval):
    plan = Plan(
        timedelta(seconds=float(seconds)), timedelta(seconds=float(interval)),
        Limits(timedelta(0), timedelta(hours=3)), Thresholds(error_rate=10**6), Path(folder),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await Database.open(dsn, size=2) as db:
        await Monitor(db, plan, ServerClock(), Screen()).run(stop)

asyncio.run(main(*sys.argv[1:]))
"""
NAKED = """
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, has_stop_loss)
VALUES ('NAKEDUSDT', 'binance', 'long', 1, 1, 'active', false)
"""
OPEN = """
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, has_stop_loss, stop_loss_price, created_at, opened_at)
VALUES ('S' || %s, 'bybit', 'long', 1, 1, 'active', true, 1, clock_timestamp(), clock_timestamp()) RETURNING id
"""
EVENT = """
INSERT INTO monitoring.events (event_type, position_id, exchange, severity, created_at)
VALUES ('order_error', %s, 'bybit', 'ERROR', clock_timestamp())
"""


class Bot(threading.Thread):
    """Writes rows all the while, some in transactions that commit late."""

    def __init__(self, dsn, seed):
        super().__init__()
        self.dsn, self.dice, self.over = dsn, random.Random(seed), threading.Event()

    def run(self):
        with psycopg.connect(self.dsn) as connection:
            number = 0
            while not self.over.wait(self.dice.random() * 0.04):
                number += 1
                row = connection.execute(OPEN, [number]).fetchone()[0]
                for _ in range(self.dice.randint(0, 3)):
                    connection.execute(EVENT, [row])
                if self.dice.random() < 0.5:
                    connection.execute(
                        "UPDATE monitoring.positions SET status = 'closed', closed_at = clock_timestamp() WHERE id = %s",
                        [row],
                    )
                if self.dice.random() < 0.1:
                    time.sleep(self.dice.random() * 0.3)
                connection.commit()


def test_killed_again_and_again_it_loses_and_doubles_nothing(bot_dsn, tmp_path):
    seed = int(os.environ["SUITE_SEED"])
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)
    dsn = bot_dsn.get_secret_value()
    command = [sys.executable, "-c", CHILD, dsn, str(tmp_path), str(SECONDS), str(INTERVAL)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(NAKED)
    bot = Bot(dsn, seed)
    bot.start()
    try:
        for _ in range(KILLS):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                # a moment of its life: before its first snapshot, in one, or between two
                for _ in range(dice.randint(0, 6)):
                    assert child.stdout.readline()
                time.sleep(dice.random() * 2 * INTERVAL)
                assert child.poll() is None
                child.kill()
    finally:
        bot.over.set()
        bot.join()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as last:
        # the bot writes no more: a snapshot from now on has all that it wrote
        assert last.stdout.readline()
        last.send_signal(signal.SIGTERM)
        _, said = last.communicate()
    assert last.returncode == 0, said
    judge(dsn, tmp_path)


def judge(dsn, folder):
    (path,) = folder.glob("monitor-*.jsonl")
    (report_path,) = folder.glob("monitor-*.json")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    report = json.loads(report_path.read_text())
    assert [line["number"] for line in lines] == list(range(1, report["snapshots_expected"] + 1))
    states = Counter(line["state"] for line in lines)
    assert (report["snapshots_taken"], report["snapshots_missed"]) == (states["taken"], states["missed"])
    sys.stdout.write(f"{states['taken']} snapshots taken, {states['missed']} missed\n")
    with psycopg.connect(dsn) as connection:
        stored = connection.execute(
            "SELECT snapshot FROM posguard.monitor_snapshots ORDER BY run_id, number"
        ).fetchall()
        assert [one[0] for one in stored] == lines
        runs = connection.execute("SELECT report FROM posguard.monitor_runs").fetchall()
        assert [one[0] for one in runs] == [report]
        told(connection, report)
        true = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status = 'closed') FROM monitoring.positions"
        ).fetchone()
        errors = connection.execute("SELECT count(*) FROM monitoring.events").fetchone()[0]
        ever = [line for line in lines if line["state"] == "taken"][-1]["all_time"]
        assert (ever["positions_opened"]["all"], ever["positions_closed"]["all"]) == true
        assert (ever["errors"]["all"], ever["throughput"]["all"]) == (errors, errors)
        within = connection.execute(
            "SELECT count(*) FROM monitoring.positions, posguard.monitor_runs WHERE created_at > started_at"
        ).fetchone()[0]
    assert report["metrics_summary"]["total_positions_opened"] == within


def told(connection, report):
    """Alerts were raised and resolved by turns; the naked position's once, and it still stands."""
    outbox = connection.execute("SELECT topic, event FROM posguard.alert_outbox ORDER BY id").fetchall()
    by_topic = {}
    for topic, event in outbox:
        by_topic.setdefault(topic, []).append(event)
    naked = [events for topic, events in by_topic.items() if topic.startswith("monitor_no_stop_loss")]
    assert naked == [["raised"]]
    for events in by_topic.values():
        assert events == [("raised", "resolved")[n % 2] for n in range(len(events))]
    raised = Counter(event for _, event in outbox)
    assert raised["raised"] == report["total_alerts"]
    assert raised["resolved"] == sum(one["cleared_at"] is not None for one in report["alerts"])
