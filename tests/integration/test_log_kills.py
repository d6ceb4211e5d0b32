"""A load killed by SIGKILL in the middle, and loaded again: the same rows as if nothing had happened.

`make reliability-logs` kills a hundred times.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from posguard.logs.generator import Recipe, write_rotated
from posguard.logs.ingest import ingest_file
from posguard.logs.sources import files_of
from posguard.postgres.pool import Database
from posguard.settings import LogSource

LONG = os.environ.get("POSGUARD_RELIABILITY") == "long"
KILLS = 100 if LONG else 2
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1800 if LONG else 180)]

START = (datetime.now(UTC) - timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
LOG = Recipe(seed=21, zone="UTC", start=START, noise=200, opens=30, happenings=500, incidents=False)
QUARTER = timedelta(days=90)
CHILD = """
import asyncio, sys
from datetime import timedelta
from posguard.logs import sieve
from posguard.logs.ingest import ingest_file
from posguard.postgres.pool import Database
from posguard.settings import LogSource

sieve.BATCH = 60

async def main(dsn, *paths):
    async with await Database.open(dsn) as db:
        for path in paths:
            await ingest_file(db, LogSource(name="bot", paths=("x",), zone="UTC"), path, retention=timedelta(days=90))

asyncio.run(main(*sys.argv[1:]))
"""
ROWS = "SELECT at, content_hash, ordinal, complete, kind, message, symbol FROM posguard.log_events ORDER BY 1, 2, 3"


async def load(dsn, paths):
    async with await Database.open(dsn) as db:
        for path in paths:
            await ingest_file(db, LogSource(name="bot", paths=("x",), zone="UTC"), path, retention=QUARTER)


def test_killed_in_the_middle_and_loaded_again_the_rows_are_those_of_one_load(bot_dsn, tmp_path):
    seed = int(os.environ.get("POSGUARD_SEED") or random.randrange(2**32))
    print(f"POSGUARD_SEED={seed}")  # noqa: T201 - shown where it fails
    chance = random.Random(seed)
    truth = write_rotated(tmp_path, LOG)
    paths = files_of([str(tmp_path)])
    dsn = bot_dsn.get_secret_value()
    asyncio.run(load(bot_dsn, paths))
    halfway = tries = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        whole = connection.execute(ROWS).fetchall()
        assert len(whole) == truth.events
        # A kill that came after the last batch, or before the first, was none in the middle.
        while halfway < KILLS and tries < 10 * KILLS:
            tries += 1
            connection.execute("TRUNCATE posguard.log_events, posguard.log_files, posguard.log_edges")
            goal = chance.randrange(1, truth.events)
            with subprocess.Popen([sys.executable, "-c", CHILD, dsn, *paths]) as child:
                while child.poll() is None and count(connection) < goal:
                    pass
                child.kill()
            halfway += 0 < count(connection) < truth.events
            asyncio.run(load(bot_dsn, paths))
            assert connection.execute(ROWS).fetchall() == whole, goal
    assert halfway == KILLS, f"{halfway} of {tries} kills came in the middle"


def count(connection):
    return connection.execute("SELECT count(*) FROM posguard.log_events").fetchone()[0]
