"""### What the bot logged in a day, from archives.

The same as `posguard_ingest_logs`, by the day: for logs that come in bulk, and to backfill months of them in a run a day
(paused as installed; unpause it before):

    airflow backfill create --dag-id posguard_ingest_archive --from-date 2026-01-01 --to-date 2026-01-30 --max-active-runs 2
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronDataIntervalTimetable, dag
from posguard_airflow import INGEST_ARCHIVE
from posguard_dags import INGESTION, house, ingestion


@dag(
    dag_id=INGEST_ARCHIVE,
    dag_display_name="posguard: the bot's logs, by the day",
    description="Loads a day of the bot's log events from archives; made for backfills",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    is_paused_upon_creation=True,
    dagrun_timeout=timedelta(minutes=110),
    tags=["posguard", "logs"],
    doc_md=f"{__doc__}{INGESTION}",
    **house(task_timeout=timedelta(minutes=5)),
)
def posguard_ingest_archive() -> None:
    """One day of log; the module's text is its documentation."""
    ingestion()


posguard_ingest_archive()
