"""### What happened in a window of time, written down.

Every eight hours the report of the eight hours before: issues with severity, priority, evidence, root cause or "unknown", repair and
retest; an action plan; what the data say of each hour. It reads the bot's tables, the findings, suites and log records that
posguard keeps of the window, and the exchanges only where no complete pass lies in a window that reaches the present. It writes the report
to the schema `posguard`, where *Data quality*, *Audits* shows it; the tab of the run leads to it.

| task | what |
| --- | --- |
| preflight | params, database and schema are as the rest needs them |
| audit | the report of the window, stored; tried again it replaces itself |
| publish | the numbers into the task's log, and the event of the asset `posguard_audit` |
| missing | each source that was not there, as a warning; it fails nothing |

**Which window**: the params `from` and `to` where they are given; else the data interval; else, for a run triggered by hand, the
last `hours`. Past windows are backfilled, one run each, without asking any exchange:

    airflow backfill create --dag-id posguard_audit --from-date 2026-01-01 --to-date 2026-01-08 --max-active-runs 1

Paused as installed; unpause it before. Issues are results, not failures. The Connections are those of `posguard_reconcile`; `posguard_db` alone is enough. docs/audit.md tells more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import posguard_audit_tasks as work
from airflow.sdk import Asset, CronDataIntervalTimetable, Metadata, Param, dag, get_current_context, task
from posguard_airflow import AUDIT
from posguard_dags import house

REPORT = Asset(name="posguard_audit", uri="posguard://audit")
FORM = {
    "from": Param(
        None,
        type=["null", "string"],
        title="From",
        description="Where the window begins, UTC: 2026-01-01T08:00. Empty: the data interval, or so many hours before its end.",
        pattern=f"^{work.TIME}$",
        maxLength=35,
    ),
    "to": Param(
        None,
        type=["null", "string"],
        title="To",
        description="Where it ends, UTC. Empty: the data interval's end, or now.",
        pattern=f"^{work.TIME}$",
        maxLength=35,
    ),
    "hours": Param(
        8,
        type="number",
        title="Hours",
        description="How long the window is where neither From nor a data interval says it.",
        exclusiveMinimum=0,
        maximum=work.MOST_HOURS,
    ),
}


@dag(
    dag_id=AUDIT,
    dag_display_name="posguard: audit",
    description="The written report of a window of eight hours, or of any other",
    schedule=CronDataIntervalTimetable("0 */8 * * *", timezone="UTC"),
    is_paused_upon_creation=True,
    dagrun_timeout=timedelta(minutes=50),
    params=FORM,
    tags=["posguard", "audit"],
    doc_md=__doc__,
    **house(),
)
def posguard_audit() -> None:
    """One window; the module's text is its documentation."""

    @task(execution_timeout=timedelta(minutes=2), doc_md="Params, database and schema; changes nothing.")
    def preflight() -> None:
        work.preflight(get_current_context())

    @task(doc_md="Makes and stores the report; hands on its number. Again is safe: it replaces itself.")
    def audit() -> int:
        return work.audit(get_current_context())

    @task(
        outlets=[REPORT],
        execution_timeout=timedelta(minutes=2),
        doc_md="The numbers into this log, and the asset's event with window, counts and what was missing.",
    )
    def publish(audit_id: int) -> Any:
        yield Metadata(REPORT, work.publish(audit_id))

    @task(
        execution_timeout=timedelta(minutes=2),
        doc_md="What could not be looked at, as warnings in this log. It fails nothing.",
    )
    def missing(audit_id: int) -> int:
        return work.missing(audit_id)

    made = audit()
    preflight() >> made
    publish(made)
    missing(made)


posguard_audit()
