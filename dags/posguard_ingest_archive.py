"""### What the bot logged in a day, from archives.

The same as `posguard_ingest_logs`, by the day: for logs that come in bulk, and to backfill months of them in a run a day
(paused as installed; unpause it before):

    airflow backfill create --dag-id posguard_ingest_archive --from-date 2026-01-01 --to-date 2026-01-30 --max-active-runs 2

| task | what |
| --- | --- |
| preflight | database and schema are as the rest needs them; without a declared source the run is skipped |
| files | which files of the declared sources the run has to read |
| load | one file each (mapped): its records of the interval, and its late lines |
| races | what the loaded stretch tells of races, as findings, and the event of the asset `posguard_log_events` |

**The data interval decides what is loaded, not the clock**: an interval run again, or covered by `posguard_ingest_logs` too, changes nothing,
and so does a file that was rotated, renamed or packed since. A line that came late is loaded by the next run that reads its file.
A run triggered by hand has no interval and loads all that retention lets in.

The sources are those of `POSGUARD_LOG_SOURCES` in the environment of the workers, on local disks or object storage; the Connection
is `posguard_db`. docs/logs.md tells more, backfills included.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import posguard_log_tasks as work
from airflow.sdk import (
    Asset,
    CronDataIntervalTimetable,
    Metadata,
    TriggerRule,
    dag,
    get_current_context,
    task,
)
from posguard_airflow import INGEST_ARCHIVE, OWNER

LOG_EVENTS = Asset(name="posguard_log_events", uri="posguard://log_events")


@dag(
    dag_id=INGEST_ARCHIVE,
    dag_display_name="posguard: the bot's logs, by the day",
    description="Loads a day of the bot's log events from archives; made for backfills",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=110),
    tags=["posguard", "logs"],
    doc_md=__doc__,
    default_args={
        "owner": OWNER,
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "execution_timeout": timedelta(minutes=5),
    },
)
def posguard_ingest_archive() -> None:
    """One day of log; the module's text is its documentation."""

    @task(
        execution_timeout=timedelta(minutes=2), doc_md="Database, schema, declared sources; changes nothing."
    )
    def preflight() -> None:
        work.preflight()

    @task(doc_md="The files that hold something of the interval, or may; changes nothing.")
    def files() -> list[dict[str, Any]]:
        return work.files(get_current_context()["dag_run"])

    @task(
        execution_timeout=timedelta(minutes=15),
        doc_md="One file into the schema `posguard`. Again is safe: what is there already stays as it is.",
    )
    def load(group: dict[str, Any]) -> dict[str, Any]:
        return work.load(get_current_context()["dag_run"], group)

    @task(
        outlets=[LOG_EVENTS],
        trigger_rule=TriggerRule.NONE_FAILED,
        doc_md="Races of the loaded stretch as findings; the interval is covered then.",
    )
    def races(loaded: Any) -> Any:
        yield Metadata(LOG_EVENTS, work.races(get_current_context()["dag_run"], loaded))

    listed = files()
    preflight() >> listed
    races(load.expand(group=listed))


posguard_ingest_archive()
