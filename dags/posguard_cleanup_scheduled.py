"""### Clean up what is safe for a schedule, every hour. Paused until somebody unpauses it.

Plans and carries out, without asking anybody, only: duplicate rows without orders of their own, rows whose position is **proven**
gone from the exchange, and rows stuck at `pending_entry` whose order is proven never sent. It sends no order, so that all of it can be
restored from the backup that it makes first.

| task | what |
| --- | --- |
| gate | Connections and schema; on production, that it is named |
| plan | makes and stores a plan of the safe modes |
| apply | carries it out: backup, then line by line |
| summary | what became of each line; red where one failed, or where the breaker tripped |

**The breaker**: more than two rows, or a fifth of a venue's open rows, proven gone at once is rather a wrong key or a wiped testnet than
an accident. None of that venue's rows is closed then, the run ends red, and the message has the command that a person types instead.

A skipped line is no failure: what changed between plan and apply is left alone, and the next run looks again. **Every retry is safe.**
On production the variable `posguard_cleanup_production` must hold the database's fingerprint. Plan and result are on the page
*Data quality* under Plans.
"""

from __future__ import annotations

from datetime import timedelta

import posguard_cleanup_tasks as work
from airflow.sdk import CronDataIntervalTimetable, dag, get_current_context, task
from posguard_airflow import SCHEDULED_CLEANUP
from posguard_dags import house


@dag(
    dag_id=SCHEDULED_CLEANUP,
    dag_display_name="posguard: scheduled cleanup of the safe modes",
    description="Carries out what is safe without a person; paused when installed",
    # Half an hour after the reconciliation, so that the two never share a venue's request budget.
    schedule=CronDataIntervalTimetable("30 * * * *", timezone="UTC"),
    is_paused_upon_creation=True,
    dagrun_timeout=timedelta(minutes=50),
    tags=["posguard", "cleanup"],
    doc_md=__doc__,
    **house(),
)
def posguard_cleanup_scheduled() -> None:
    """The safe modes; the module's text is its documentation."""

    @task(execution_timeout=timedelta(minutes=2), doc_md="Connections, schema, production; changes nothing.")
    def gate() -> str:
        return work.scheduled_gate()

    @task(doc_md="Makes and stores a plan of the safe modes; hands on its number. Changes nothing.")
    def plan() -> int:
        return work.scheduled_plan(get_current_context())

    @task(
        retries=3,
        retry_delay=timedelta(minutes=1),  # together longer than a line's lease
        execution_timeout=timedelta(minutes=15),
        doc_md="Backup, then line by line. Sends no order. Again is safe: it goes on where it was.",
    )
    def apply(plan_id: int, production: str) -> int:
        return work.scheduled_apply(get_current_context(), plan_id, production)

    @task(
        execution_timeout=timedelta(minutes=2),
        doc_md="What became of each line. Red where one failed or the breaker tripped.",
    )
    def summary(plan_id: int) -> None:
        work.summary(plan_id, strict=False)

    named = gate()
    planned = plan()
    named >> planned
    summary(apply(planned, named))


posguard_cleanup_scheduled()
