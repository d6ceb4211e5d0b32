"""A month of archives through a running Airflow: backfilled, counted against the generator's truth, and backfilled again.

Starts PostgreSQL and Airflow of its own in a temporary folder, writes a packed file for each day (half of them addressed as
object storage), and ends all that it started. 1 where a count differs, that of the races' findings too, or where the second backfill changed anything.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

import psycopg
from pydantic import SecretStr

from posguard.demo import airflow
from posguard.demo.processes import Processes
from posguard.demo.record import AirflowAddress
from posguard.logs.generator import Recipe, make_log
from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer, free_port
from posguard.postgres.queries import script

DAG = "posguard_ingest_archive"
ROOT = Path(__file__).resolve().parents[1]
ZONE = "Europe/Berlin"
PATIENCE = 1800.0
ROWS = "SELECT at, content_hash, ordinal, kind, message FROM posguard.log_events ORDER BY 1, 2, 3"


def main() -> int:
    """Prints the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=30)
    options.add_argument("--runs", type=int, default=2, help="runs at once")
    asked = options.parse_args()
    folder = Path(mkdtemp(prefix="posguard-backfill-"))
    folder.chmod(0o755)
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        server = EmbeddedServer.start(folder / "server")
        closing.callback(server.remove)
        for database in ("bot", "airflow"):
            server.ensure_database(database)
        bot = server.dsn("bot")
        with psycopg.connect(bot, autocommit=True) as connection:
            connection.execute(script("bot_schema"))
        migrate.upgrade(SecretStr(bot))
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
            days=asked.days + 1
        )
        truth, lines, races = write_archives(folder, first, asked.days)
        print(f"{asked.days} archives, {lines} lines, {sum(truth.values())} events, {races} races")
        paths = [str(folder / "disk"), f"file://{folder}/storage"]
        sources = json.dumps([{"name": "bot", "paths": paths, "zone": ZONE}])
        env = started(folder, server, bot, closing, {"POSGUARD_LOG_SOURCES": sources})
        good = backfilled(env, server, bot, first=first, asked=asked, truth=truth)
        (findings,) = ask(bot, "SELECT count(*) FROM posguard.findings")
        (covered,) = ask(bot, "SELECT count(*) FROM posguard.log_intervals")
        print(f"{findings[0]} races as findings; {covered[0]} intervals covered")
        return 0 if good and findings[0] == races else 1


def write_archives(folder: Path, first: datetime, days: int) -> tuple[Counter[str], int, int]:
    """A packed file for each day, the later half in another folder; their events by kind, their lines, and their races."""
    truth: Counter[str] = Counter()
    lines = races = 0
    for name in ("disk", "storage"):
        (folder / name).mkdir()
    for day in range(days):
        start = first + timedelta(days=day)
        recipe = Recipe(
            seed=day + 1,
            zone=ZONE,
            start=start,
            hours=23.9,
            noise=3000,
            opens=60,
            happenings=300,
            incidents=False,
        )
        data, told = make_log(recipe)
        place = folder / ("disk" if day < days // 2 else "storage")
        (place / f"bot.log.{start:%Y-%m-%d}.gz").write_bytes(gzip.compress(data, 6))
        truth.update(told.kinds)
        lines += told.lines
        races += len(told.races)
    return truth, lines, races


def started(
    folder: Path, server: EmbeddedServer, bot: str, closing: ExitStack, more: dict[str, str]
) -> dict[str, str]:
    """Airflow's environment with `more` in it, and all four components up."""
    port = free_port(8090)
    metadata = server.dsn("airflow")
    env = airflow.environment(
        folder / "airflow", ROOT, port=port, metadata=metadata, passwords={"admin": "backfill"}
    )
    place = urlsplit(bot)
    database = {
        "host": place.hostname,
        "port": place.port,
        "login": place.username,
        "password": place.password or "",
        "schema": "bot",
        "sslmode": "disable",
    }
    env = airflow.with_connections(
        env, {"posguard_db": airflow.connection_of_database(database)}, metadata=metadata
    )
    env |= {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True", **more}
    began = monotonic()
    command(env, "db", "migrate")
    (folder / "logs").mkdir(exist_ok=True)
    processes = Processes(folder)
    closing.callback(processes.stop)
    address = AirflowAddress(url=f"http://127.0.0.1:{port}", user="admin", password=SecretStr("backfill"))
    client = airflow.AirflowClient(address, processes.check)
    for component in airflow.COMPONENTS:
        if component == "scheduler":
            client.wait_until_listening(180)
        processes.start(component, [*airflow.program(), component], env)
    client.wait_until_ready(180)
    print(f"Airflow is up after {monotonic() - began:.0f} s")
    return env


def backfilled(
    env: dict[str, str],
    server: EmbeddedServer,
    bot: str,
    *,
    first: datetime,
    asked: argparse.Namespace,
    truth: Counter[str],
) -> bool:
    """Whether the counts are the truth, and the second backfill changes nothing."""
    metadata = server.dsn("airflow")
    until(
        lambda: ask(metadata, "SELECT 1 FROM serialized_dag WHERE dag_id = %s", DAG), "the DAG was not read"
    )
    command(env, "dags", "unpause", DAG)
    last = first + timedelta(days=asked.days - 1)
    before: list[Any] = []
    good = True
    for behaviour in ("none", "completed"):
        began = monotonic()
        command(
            env, "backfill", "create", "--dag-id", DAG, "--from-date", f"{first:%Y-%m-%d}", "--to-date", f"{last:%Y-%m-%d}",
            "--max-active-runs", str(asked.runs), "--reprocess-behavior", behaviour,
        )  # fmt: skip
        until(
            lambda: not ask(metadata, "SELECT 1 FROM backfill WHERE completed_at IS NULL"), "it did not end"
        )
        states = ask(
            metadata, "SELECT state, count(*) FROM dag_run WHERE run_type = 'backfill' GROUP BY state"
        )
        tasks = ask(
            metadata, "SELECT count(*) FROM task_instance WHERE dag_id = %s AND task_id = 'load'", DAG
        )
        kinds = dict(ask(bot, "SELECT kind, count(*) FROM posguard.log_events GROUP BY kind"))
        rows = ask(bot, ROWS)
        same = not before or rows == before
        before = rows
        equal = kinds == dict(truth)
        good = good and equal and same and dict(states) == {"success": asked.days}
        print(
            f"reprocess {behaviour}: {monotonic() - began:.0f} s, runs {dict(states)}, {tasks[0][0]} load tasks, "
            f"{sum(kinds.values())} events, counts {'equal' if equal else 'NOT EQUAL'} to the truth, "
            f"rows {'unchanged' if same else 'CHANGED'}"
        )
    return good


def until(done: Any, complaint: str) -> None:
    """Returns when `done()`; raises TimeoutError."""
    deadline = monotonic() + PATIENCE
    while not done():
        if monotonic() > deadline:
            raise TimeoutError(complaint)
        sleep(1)


def ask(dsn: str, query: str, *values: Any) -> list[Any]:
    """The rows of a query."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, values or None).fetchall()  # type: ignore[arg-type]  # texts of this file


def command(env: dict[str, str], *words: str) -> None:
    """Runs Airflow's command; its output is shown where it fails."""
    done = subprocess.run([*airflow.program(), *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr)
        done.check_returncode()


if __name__ == "__main__":
    sys.exit(main())
