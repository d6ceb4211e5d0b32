"""What posguard's DAGs have in common: how they run, and the tasks of the two that load logs.

Imported by the DAG files alone; it holds no work, which is in the modules of the tasks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import posguard_log_tasks
from airflow.sdk import Asset, Metadata, TriggerRule, get_current_context, task
from posguard_airflow import OWNER
from posguard_alerts import OutboxNotifier

LOG_EVENTS = Asset(name="posguard_log_events", uri="posguard://log_events")

INGESTION = """
| task | what |
| --- | --- |
| preflight | database and schema are as the rest needs them; without a declared source the run is skipped |
| files | which files of the declared sources the run has to read |
| load | one file each (mapped): its records of the interval, and its late lines |
| races | what the loaded stretch tells of races, as findings, and the event of the asset `posguard_log_events` |

**The data interval decides what is loaded, not the clock**: an interval run again, or covered by both `posguard_ingest_logs` and
`posguard_ingest_archive`, changes nothing, and so does a file that was rotated, renamed or packed since. A line that came late is
loaded by the next run that reads its file. A run triggered by hand has no interval and loads all that retention lets in.

The sources are those of `POSGUARD_LOG_SOURCES` in the environment of the workers, on local disks or object storage; the Connection
is `posguard_db`. docs/logs.md tells more, backfills included.
"""


def house(*, task_timeout: timedelta = timedelta(minutes=10)) -> dict[str, Any]:
    """The arguments that all DAGs of posguard share: one run at a time, nothing caught up, tasks that are tried again, alerts after it."""
    return {
        "start_date": datetime(2025, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "on_success_callback": OutboxNotifier(failed=False),
        "on_failure_callback": OutboxNotifier(failed=True),
        "default_args": {
            "owner": OWNER,
            "retries": 2,
            "retry_delay": timedelta(seconds=20),
            "execution_timeout": task_timeout,
        },
    }


def ingestion() -> None:
    """The tasks of a DAG that loads logs, inside a function that `dag` decorates."""

    @task(
        execution_timeout=timedelta(minutes=2), doc_md="Database, schema, declared sources; changes nothing."
    )
    def preflight() -> None:
        posguard_log_tasks.preflight()

    @task(doc_md="The files that hold something of the interval, or may; changes nothing.")
    def files() -> list[dict[str, Any]]:
        return posguard_log_tasks.files(get_current_context()["dag_run"])

    @task(
        execution_timeout=timedelta(minutes=15),
        doc_md="One file into the schema `posguard`. Again is safe: what is there already stays as it is.",
    )
    def load(group: dict[str, Any]) -> dict[str, Any]:
        return posguard_log_tasks.load(get_current_context()["dag_run"], group)

    @task(
        outlets=[LOG_EVENTS],
        trigger_rule=TriggerRule.NONE_FAILED,
        doc_md="Races of the loaded stretch as findings; the interval is covered then.",
    )
    def races(loaded: Any) -> Any:
        yield Metadata(LOG_EVENTS, posguard_log_tasks.races(get_current_context()["dag_run"], loaded))

    listed = files()
    preflight() >> listed
    races(load.expand(group=listed))
