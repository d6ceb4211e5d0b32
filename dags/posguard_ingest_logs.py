"""### What the bot logged in the last hour, into the database.

Reads the declared sources of the bot's logs and keeps each record that a pattern knows, once, in `posguard.log_events`. It reads
files, and writes to the schema `posguard` alone.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronDataIntervalTimetable, dag
from posguard_airflow import INGEST_LOGS
from posguard_dags import INGESTION, house, ingestion


@dag(
    dag_id=INGEST_LOGS,
    dag_display_name="posguard: the bot's logs, hourly",
    description="Loads the bot's log events of an hour; races become findings",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    dagrun_timeout=timedelta(minutes=50),
    tags=["posguard", "logs"],
    doc_md=f"{__doc__}{INGESTION}",
    **house(task_timeout=timedelta(minutes=5)),
)
def posguard_ingest_logs() -> None:
    """One hour of log; the module's text is its documentation."""
    ingestion()


posguard_ingest_logs()
