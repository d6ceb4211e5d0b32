"""How fast log events get into PostgreSQL, beside a bare COPY of the same rows into the same partitioned table with its unique index.

Everything in one run on one server, the best of three: the bare COPY, the load of the same events (identity, check, rows, COPY by
batches), the load from the file (reading included), and loading again. The bar is half the bare COPY.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, process_time

import psycopg
from pydantic import SecretStr

from posguard.logs.generator import Recipe, make_log
from posguard.logs.identity import identified
from posguard.logs.ingest import ingest_file
from posguard.logs.load import LogFile, load_file
from posguard.logs.readings import FileReading
from posguard.model.log_event import LogEvent
from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.logevents import Row, Values, make_partition, row_of
from posguard.postgres.pool import Database
from posguard.postgres.queries import script
from posguard.settings import LogSource

BAR = 0.5
TRIES = 3
NEVER = (1e9, 1e9)
YEARS = timedelta(days=900)


@dataclass
class Held:
    """Events in memory, as a file that is read in no time."""

    events: list[LogEvent]
    bytes_read: int

    def __post_init__(self) -> None:
        self.first_at: datetime | None = self.events[0].at
        self.last_at: datetime | None = self.events[-1].at
        self.bytes_skipped = 0

    def __iter__(self) -> Iterator[LogEvent]:
        return iter(self.events)


def main() -> int:
    """Prints a line for each way; 1 where the bar is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=300_000, help="how many events, about")
    options.add_argument("--dsn", default="", help="a server of one's own; the embedded one by default")
    asked = options.parse_args()
    folder = Path(mkdtemp(prefix="posguard-bench-"))
    server = None
    try:
        if not asked.dsn:
            server = EmbeddedServer.start(folder / "server")
            server.ensure_database("bench")
        dsn = SecretStr(asked.dsn or server.dsn("bench"))
        return asyncio.run(bench(dsn, folder, asked.events))
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(folder, ignore_errors=True)


async def bench(dsn: SecretStr, folder: Path, wanted: int) -> int:
    """Measures on a database of its own."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(script("bot_schema"))
        version = connection.execute("SHOW server_version").fetchone()
    migrate.upgrade(dsn)
    path, source = folder / "bot.log", LogSource(name="bot", paths=("bot.log",), zone="UTC")
    start = datetime.now(UTC) - timedelta(days=20)
    recipe = Recipe(
        seed=1,
        zone="UTC",
        start=start,
        hours=400,
        noise=wanted,
        opens=wanted // 25,
        happenings=wanted // 3,
        incidents=False,
    )
    data, truth = make_log(recipe)
    path.write_bytes(data)
    reading = FileReading(source, str(path))
    events = list(reading)
    held = Held(events, reading.bytes_read)
    # tuples without names, which go through the COPY more quickly than a Row does: the bare COPY gets them as the load does
    rows = [tuple(row_of(event, one.content_hash, one.ordinal, 1)) for one, event in identified(events)]
    print(
        f"PostgreSQL {version[0] if version else '?'}, {len(rows)} events of {truth.lines} lines, {len(data) / 1e6:.0f} MB"
    )
    ways: dict[str, Callable[[Database], Awaitable[object]]] = {
        "bare COPY": lambda db: bare_copy(db, rows),
        "load": lambda db: load_file(db, LogFile("bot", "bot.log", b"h" * 16), held, retention=YEARS),
        "load from the file": lambda db: ingest_file(db, source, str(path), retention=YEARS),
    }
    best: dict[str, tuple[float, float]] = {}
    gc.collect()
    gc.freeze()  # what stands ready for the measuring is not gone through again and again
    async with await Database.open(dsn, timeout=600, size=3) as db:
        async with db.connection() as connection:
            for month in sorted({(event.at.year, event.at.month) for event in events}):
                await make_partition(connection, datetime(*month, 1, tzinfo=UTC))
        for _ in range(TRIES):
            for name, way in ways.items():
                empty(dsn)
                best[name] = min(best.get(name, NEVER), await timed(way, db))
            best["load again"] = min(best.get("load again", NEVER), await timed(ways["load"], db))
    bare = best["bare COPY"][0]
    for name, (seconds, used) in best.items():
        print(
            f"{name:20} {len(rows) / seconds:10,.0f} rows/s  {bare / seconds:5.2f} of the bare COPY  "
            f"{used / len(rows) * 1e6:5.1f} µs a row of this process"
        )
    met = bare / best["load"][0] >= BAR
    print(f"the bar is {BAR} of the bare COPY: {'met' if met else 'MISSED'}")
    return 0 if met else 1


async def bare_copy(db: Database, rows: list[Values]) -> None:
    """The rows as they are, in one COPY."""
    async with db.transaction() as connection:
        await connection.copy_records_to_table(
            "log_events", schema_name="posguard", records=rows, columns=Row._fields
        )


def empty(dsn: SecretStr) -> None:
    """Takes the last load away."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("TRUNCATE posguard.log_events, posguard.log_files, posguard.log_edges")
        connection.execute("CHECKPOINT")


async def timed(way: Callable[[Database], Awaitable[object]], db: Database) -> tuple[float, float]:
    """Seconds on the wall, and those of processor that this process took; the server's are not among them."""
    begun, used = perf_counter(), process_time()
    await way(db)
    return perf_counter() - begun, process_time() - used


if __name__ == "__main__":
    sys.exit(main())
