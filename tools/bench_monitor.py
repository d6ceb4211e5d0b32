"""What the monitor costs on a large database of the bot: the queries of one snapshot, and the load of a run.

A million positions and ten million events over --days, made by generate_series, the indexes by the upgrade of target `bot`. Bars: all
queries of a snapshot under 100 ms in sum (median of 20); the time that the server spends on the monitor, planning included, by
pg_stat_statements, under 1 % of the time it watches. POSGUARD_TEST_DSN names a server that has the extension preloaded, which the
embedded one has not; without it the server's time is taken as the client's, which is more. Last, the 14 sections of an audit's eight
hours, under 20 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from pydantic import SecretStr

from posguard.demo.playing import PlayedClock
from posguard.model.monitor_alerts import Thresholds
from posguard.monitor.watch import Monitor, Plan
from posguard.postgres import botupgrade, migrate, monitor, monitorruns
from posguard.postgres.analysis import analyse
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import Database
from posguard.postgres.queries import script
from tools.bench_analysis import FILL, UNTIL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posguard.model.monitor_alerts import Changes, MonitorAlert
    from posguard.model.monitoring import MonitorRun, Snapshot

MOST_MS = 100.0
MOST_LOAD = 0.01
MOST_SECTIONS = 20.0
LOOKS = 20
MINUTES = 60
LIMITS = monitor.Limits(timedelta(seconds=60), timedelta(hours=3))
NAME = "posguard_bench_monitor"
# Everything that the monitor's own role did, whatever it was; the extension counts planning where it is told to.
SPENT = """
SELECT coalesce(sum(total_exec_time + total_plan_time), 0), count(*)
FROM pg_stat_statements AS s
INNER JOIN pg_database AS d ON s.dbid = d.oid
WHERE d.datname = current_database()
"""


class Quiet:
    """A screen that shows how the counting goes, and troubles."""

    def began(self, run: MonitorRun, *, again: bool, slow: Sequence[str]) -> None:  # noqa: ARG002
        """Names the indexes that are missing."""
        if slow:
            print(f"without {', '.join(slow)}")

    def counting(self, done: int, total: int) -> None:
        """Nothing."""

    def took(
        self, run: MonitorRun, snapshot: Snapshot, changes: Changes, standing: Sequence[MonitorAlert]
    ) -> None:
        """Nothing."""

    def trouble(self, text: str) -> None:
        """Shows it."""
        print(text)


def main() -> int:
    """Prints a line for each figure; 1 where a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=1_000_000, help="positions; ten events each")
    options.add_argument("--days", type=int, default=30, help="over how many days they are spread")
    asked = options.parse_args()
    folder = Path(mkdtemp(prefix="posguard-bench-"))
    named = os.environ.get("POSGUARD_TEST_DSN")
    server = None
    try:
        if not named:
            server = EmbeddedServer.start(folder / "server", options={"max_wal_size": "4GB"})
            named = server.dsn("postgres")
        with psycopg.connect(named, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {NAME}")
        dsn = SecretStr(urlunsplit(urlsplit(named)._replace(path=f"/{NAME}")))
        try:
            fill(dsn, asked.size, asked.days)
            return asyncio.run(bench(dsn, folder, asked.size))
        finally:
            with psycopg.connect(named, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def fill(dsn: SecretStr, size: int, days: int) -> None:
    """Makes the rows, then brings posguard's schema and the bot's tables up as an operator would."""
    begun = perf_counter()
    since = (UNTIL - timedelta(days=days)).isoformat()
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(script("bot_schema"))
        for statement in FILL.format(size=size, days=days, since=since).split(";\n"):
            connection.execute(statement)
        connection.execute(
            "SELECT setval('monitoring.positions_id_seq', (SELECT max(id) FROM monitoring.positions))"
        )
        version = connection.execute("SHOW server_version").fetchone()
    migrate.upgrade(dsn)
    asyncio.run(botupgrade.upgrade(dsn))
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    made = f"{size:,} positions, {size * 10:,} events over {days} days"
    print(f"PostgreSQL {version[0] if version else '?'}: {made}, made in {perf_counter() - begun:.0f} s")


async def bench(dsn: SecretStr, folder: Path, size: int) -> int:
    """Counts what is there once, then measures single snapshots, then a run of an hour at speed."""
    plan = Plan(
        duration=timedelta(minutes=MINUTES),
        interval=timedelta(minutes=1),
        limits=LIMITS,
        thresholds=Thresholds(),
        out=folder,
    )
    since = UNTIL - timedelta(minutes=MINUTES + 30)
    async with await Database.open(dsn, size=2, timeout=600) as db:
        begun = perf_counter()
        await Monitor(db, replace(plan, duration=timedelta(minutes=5)), PlayedClock(since), Quiet()).run(
            asyncio.Event()
        )
        print(f"first start, all rows counted once, and 5 snapshots: {perf_counter() - begun:.1f} s")
        look = await looks(db)
        counted = has_statements(dsn)
        begun = perf_counter()
        client = await run(db, plan)
        spent = spent_ms(dsn) if counted else client
        begun = perf_counter()
        await analyse(db, UNTIL - timedelta(hours=8), UNTIL)
        sections = perf_counter() - begun
    share = spent / (MINUTES * 60_000)
    how = "by pg_stat_statements" if counted else "as the client saw it"
    print(f"a snapshot's queries in sum: median {look:.1f} ms of {LOOKS}; the bar is {MOST_MS:.0f} ms")
    print(
        f"{MINUTES} snapshots, {how}: {spent:.0f} ms of the server in {MINUTES} min, {share:.3%} of a core; the bar is 1 %"
    )
    print(
        f"the 14 sections of eight hours: {sections:.1f} s; the bar is {MOST_SECTIONS:.0f} s (make bench-analysis has each)"
    )
    if size < 1_000_000:
        return 0
    met = look < MOST_MS and share < MOST_LOAD and sections < MOST_SECTIONS
    print("met" if met else "MISSED")
    return 0 if met else 1


async def looks(db: Database) -> float:
    """The median of a snapshot's queries in sum, in milliseconds, all-time counts included."""
    took = []
    for number in range(LOOKS):
        at = UNTIL - timedelta(minutes=number)
        async with db.snapshot() as connection:
            counters = await monitorruns.counters(connection)
            begun = perf_counter()
            await monitor.look(connection, at, LIMITS, monitor.Sources(), counters)
            took.append((perf_counter() - begun) * 1000)
    return statistics.median(took)


async def run(db: Database, plan: Plan) -> float:
    """A run at speed; the client's milliseconds."""
    begun = perf_counter()
    clock = PlayedClock(UNTIL - timedelta(minutes=MINUTES))
    report: dict[str, Any] = await Monitor(db, plan, clock, Quiet()).run(asyncio.Event())
    assert report["snapshots_taken"] == MINUTES
    return (perf_counter() - begun) * 1000


def has_statements(dsn: SecretStr) -> bool:
    """Whether the server counts its statements; they are counted from now on."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
        if not loaded or "pg_stat_statements" not in loaded[0]:
            return False
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT pg_stat_statements_reset()")
        return True


def spent_ms(dsn: SecretStr) -> float:
    """What the server spent on all statements of this database since."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        found = connection.execute(SPENT).fetchone()
        assert found is not None
        print(f"{found[1]} different statements")
        return float(found[0])


if __name__ == "__main__":
    sys.exit(main())
