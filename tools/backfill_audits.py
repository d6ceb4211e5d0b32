"""Reports of past windows through a running Airflow: three days backfilled, each report looked for on the page, and backfilled again.

Starts PostgreSQL and Airflow of its own in a temporary folder, on half a year of made-up trading, and ends all that it started. 1
where a run failed, an interval has not exactly one report, a run's tab does not lead to its own, or the second backfill changed one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import urllib.request
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from posguard.postgres import migrate
from posguard.postgres.embedded import EmbeddedServer
from tools.backfill_logs import ask, command, started, until
from tools.bench_analysis import UNTIL, fill

DAG = "posguard_audit"
HOURS = timedelta(hours=8)
# All of a report but when, and by which run, it was made.
ROWS = "SELECT id, window_start, window_end, identity, light, headline, counts::text, missing::text FROM posguard.audits ORDER BY window_start"
RUNS = (
    "SELECT run_id, data_interval_start, data_interval_end, state FROM dag_run WHERE dag_id = %s ORDER BY 2"
)


def main() -> int:
    """Prints the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=3)
    options.add_argument("--runs", type=int, default=2, help="runs at once")
    options.add_argument(
        "--size", type=int, default=20_000, help="positions of the half year; ten events each"
    )
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
        fill(SecretStr(bot), asked.size, indexes=True)
        migrate.upgrade(SecretStr(bot))
        env = started(folder, server, bot, closing, {})
        return 0 if backfilled(env, server, bot, asked) else 1


def backfilled(env: dict[str, str], server: EmbeddedServer, bot: str, asked: argparse.Namespace) -> bool:
    """Whether each interval has its one report, each run's tab leads to it, and the second backfill changes nothing."""
    metadata, site = server.dsn("airflow"), Site(env["AIRFLOW__API__BASE_URL"])
    first = UNTIL.replace(hour=0) - timedelta(days=asked.days)
    wanted = [(first + n * HOURS, first + (n + 1) * HOURS) for n in range(asked.days * 3)]
    until(
        lambda: ask(metadata, "SELECT 1 FROM serialized_dag WHERE dag_id = %s", DAG), "the DAG was not read"
    )
    command(env, "dags", "unpause", DAG)
    good, before = True, []
    for behaviour in ("none", "completed"):
        began = monotonic()
        command(
            env, "backfill", "create", "--dag-id", DAG, "--from-date", f"{first:%Y-%m-%d}",
            "--to-date", f"{wanted[-1][0]:%Y-%m-%dT%H:%M:%S}", "--max-active-runs", str(asked.runs),
            "--reprocess-behavior", behaviour,
        )  # fmt: skip
        until(
            lambda: not ask(metadata, "SELECT 1 FROM backfill WHERE completed_at IS NULL"), "it did not end"
        )
        runs = [run for run in ask(metadata, RUNS, DAG) if (run[1], run[2]) in wanted]
        tasks = ask(
            metadata,
            "SELECT task_id, state, count(*), max(try_number) FROM task_instance WHERE dag_id = %s AND run_id = ANY(%s) GROUP BY 1, 2 ORDER BY 1",
            DAG,
            [run[0] for run in runs],
        )
        reports = [row for row in ask(bot, ROWS) if (row[1], row[2]) in wanted]
        links = [site.leads(f"/dags/{DAG}/runs/{quote(run[0], safe='')}") for run in runs]
        shown = sum(site.shows(f"/audits/{row[0]}", f"{row[1]:%Y-%m-%d %H:%M}") for row in reports)
        facts = {
            "every run went well": [run[3] for run in runs] == ["success"] * len(wanted),
            "one report an interval": [(row[1], row[2]) for row in reports] == wanted,
            "each run's tab leads to its report": links == [f"/audits/{row[0]}" for row in reports],
            "each report is on the page": shown == len(wanted),
            "nothing changed": behaviour == "none" or reports == before,
        }
        before = reports
        good = good and all(facts.values())
        print(f"reprocess {behaviour}: {monotonic() - began:.0f} s, {len(runs)} runs, {len(reports)} reports")
        for name, state, number, tries in tasks:
            print(f"  {name:10} {state} {number}, tries up to {tries}")
        for fact, holds in facts.items():
            print(f"  {'yes' if holds else 'NO '} {fact}")
    for row in before:
        print(f"  {row[1]:%Y-%m-%d %H:%M} {row[4]:12} {row[5][:100]}")
    return good


class Site:
    """The report's pages of a running Airflow, as the user admin sees them."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        body = json.dumps({"username": "admin", "password": "backfill"}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            self._token = json.load(answer)["access_token"]

    def leads(self, path: str) -> str:
        """The page that a path of the report leads to."""
        with self._open(path) as answer:
            return str(answer.url).removeprefix(f"{self.url}/posguard")

    def shows(self, path: str, text: str) -> bool:
        """Whether a page of the report has a text in it."""
        with self._open(path) as answer:
            return text in answer.read().decode()

    def _open(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self.url}/posguard{path}", headers=headers)  # noqa: S310
        return urllib.request.urlopen(request, timeout=60)  # noqa: S310


if __name__ == "__main__":
    sys.exit(main())
