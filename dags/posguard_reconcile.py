"""### What is wrong between the bot's database and its exchanges, every hour.

Compares the open rows of `monitoring.positions` with what Binance USDⓈ-M and Bybit say, runs the Great Expectations
suites, and keeps every finding with its life. It reads the bot's tables and the exchanges, and writes to the schema
`posguard` alone.

| task | what |
| --- | --- |
| preflight | Connections, database and schema are as the rest needs them |
| reconcile | one pass over all venues, recorded as one run |
| suites | every suite of `expectations/`, recorded with that run |
| publish | the summary into the task's log, and the event of the asset `posguard_reconciliation` |
| verdict | fails when a venue could not be judged, after all else is stored |

**Findings are results, not failures**: a run that finds a duplicate position is green. A red `verdict` means that nobody
knows how things stand on a venue; its message says why.

Connections: `posguard_db` (Postgres), `posguard_binance`, `posguard_bybit` (login the key, password the secret, extra
`{"world": "testnet"}`). A retry continues the same run; clearing a task makes a new one. The page is *Data quality* in
the navigation.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import posguard_tasks as work
from airflow.sdk import (
    Asset,
    CronDataIntervalTimetable,
    Metadata,
    TriggerRule,
    dag,
    get_current_context,
    task,
)
from posguard_airflow import DAG_ID
from posguard_dags import house

RECONCILIATION = Asset(name="posguard_reconciliation", uri="posguard://reconciliation")


@dag(
    dag_id=DAG_ID,
    dag_display_name="posguard: reconciliation",
    description="Bot database against exchanges, with data-quality suites",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    dagrun_timeout=timedelta(minutes=50),
    tags=["posguard", "data-quality"],
    doc_md=__doc__,
    **house(),
)
def posguard_reconcile() -> None:
    """The hourly pass; the module's text is its documentation."""

    @task(execution_timeout=timedelta(minutes=2), doc_md="Connections, database and schema; changes nothing.")
    def preflight() -> None:
        work.preflight()

    @task(doc_md="One pass over all venues. Hands on the number of the stored run.")
    def reconcile() -> int:
        return work.reconcile(get_current_context()["dag_run"])

    @task(doc_md="All suites in one task: Great Expectations takes seconds to load.")
    def suites(run: int) -> None:
        work.suites(run)

    @task(
        outlets=[RECONCILIATION],
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
        execution_timeout=timedelta(minutes=2),
        doc_md="The summary into this log, and the asset's event with run, outcome and counts.",
    )
    def publish(run: int) -> Any:
        yield Metadata(RECONCILIATION, work.publish(run))

    @task(
        execution_timeout=timedelta(minutes=2),
        doc_md="Fails when a venue could not be judged. Findings do not fail it.",
    )
    def verdict(run: int) -> None:
        work.verdict(run)

    run = reconcile()
    checked, published = suites(run), publish(run)
    preflight() >> run
    checked >> published
    [checked, published] >> verdict(run)


posguard_reconcile()
