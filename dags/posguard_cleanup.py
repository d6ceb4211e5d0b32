"""### Plan a cleanup, or carry one out, by hand.

Without a code the run **makes a plan and changes nothing**: every row with what would happen to it, every order, what cannot be
undone. The plan is in the log of the task `summary` and on the page *Data quality* under Plans, with its code.

With the code in `confirm` the run **carries out that plan and nothing else**: a backup first; then each line is decided once
more on what is there now, done, recorded, and looked at again. The other params are not read then, `production` excepted.

| task | what |
| --- | --- |
| gate | params, Connections, schema; with a code: that it is right, unused, not expired, of this database and these worlds |
| plan | makes and stores the plan (without a code) |
| approve | waits for a person, for the modes that the variable `posguard_cleanup_approval` names |
| apply | carries the plan out (with a code) |
| summary | what became of each line; red unless every line is done and verified |

A shut gate fails the first task with one line that says why, and nothing is touched. The approval waits until a minute before the
plan expires; rejected or unanswered, the run fails there. **Every retry is safe**: `apply` claims each line, looks an order up by its
client id before it would send it, and goes on where the last try ended.

Connections: those of `posguard_reconcile` to read; `posguard_db_cleanup`, `posguard_binance_trade` and `posguard_bybit_trade` to
change something, read in `apply` alone. A schedule of the safe modes is `posguard_cleanup_scheduled`.
"""

from __future__ import annotations

from datetime import timedelta

import posguard_cleanup_params as form
import posguard_cleanup_tasks as work
from airflow.sdk import Param, TriggerRule, dag, get_current_context, task
from posguard_airflow import CLEANUP
from posguard_approval import PlanApproval
from posguard_dags import house

from posguard.model.plan import Mode

# Text that may stay empty is null: an empty string counts as missing in the form, which then cannot be sent.
FORM = {
    "confirm": Param(
        None,
        type=["null", "string"],
        title="Confirm code",
        description="Empty: a plan is made and nothing changes. The code of a plan, like ABCD-EFGH: that plan is carried out.",
        pattern=f"^{form.CODE}$",
        maxLength=12,
    ),
    "mode": Param(
        Mode.DUPLICATES.value,
        type="string",
        title="Mode",
        description="What the plan is about. all takes every mode in a safe order; positions without a row only with an action.",
        enum=[mode.value for mode in Mode],
        values_display={
            Mode.UNPROTECTED.value: "unprotected: place the missing stop-loss, else close",
            Mode.DUPLICATES.value: "duplicates: retire the rows that do not match the exchange",
            Mode.ORPHANED_DB.value: "orphaned-db: close rows whose position is proven gone",
            Mode.INCOMPLETE.value: "incomplete: finish or end rows stuck on their way to active",
            Mode.MISMATCH.value: "mismatch: take over the exchange's quantity",
            Mode.ZOMBIES.value: "zombies: cancel orders left behind",
            Mode.ORPHANED_EX.value: "orphaned-ex: positions that no row owns (choose an action)",
            Mode.ALL.value: "all: everything, in a safe order",
        },
    ),
    "exchange": Param(
        form.ALL_EXCHANGES,
        type="string",
        title="Exchange",
        description="One exchange, or all of them.",
        enum=list(form.EXCHANGE_CHOICES),
    ),
    "symbol": Param(
        None,
        type=["null", "string"],
        title="Symbol",
        description="One symbol, like BTCUSDT; empty for all.",
        pattern=f"^{form.SYMBOL}$",
        maxLength=30,
    ),
    "min_age_hours": Param(
        1,
        type="number",
        title="Least age in hours",
        description="Mode incomplete leaves out rows that are younger; 0.25 is a quarter of an hour.",
        minimum=0,
        maximum=form.MOST_HOURS,
    ),
    "action": Param(
        form.NO_ACTION,
        type="string",
        title="Action on positions that no row owns",
        description="Modes orphaned-ex and all: close them on the exchange, or adopt them into the database. none leaves them out.",
        enum=list(form.ACTION_CHOICES),
    ),
    "production": Param(
        None,
        type=["null", "string"],
        title="Production database",
        description="To carry out a plan on production: the database's fingerprint, as the plan shows it. Else empty.",
        pattern=f"^{form.FINGERPRINT}$",
        maxLength=16,
    ),
}


@dag(
    dag_id=CLEANUP,
    dag_display_name="posguard: cleanup",
    description="Plans a cleanup; with the plan's code, carries it out",
    schedule=None,
    # By hand alone, and a plan without a code: paused, a triggered run would only wait.
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=3),
    params=FORM,
    tags=["posguard", "cleanup"],
    doc_md=__doc__,
    **house(task_timeout=timedelta(minutes=5)),
)
def posguard_cleanup() -> None:
    """Plan or apply; the module's text is its documentation."""

    @task.branch(doc_md="Params and code. A shut gate ends the run here, and nothing is touched.")
    def gate() -> str:
        return work.gate(get_current_context())

    @task(
        execution_timeout=timedelta(minutes=10),
        doc_md="Makes and stores the plan; hands on its number. Changes nothing.",
    )
    def plan() -> int:
        return work.plan(get_current_context())

    approve = PlanApproval(
        task_id="approve",
        subject="Carry out cleanup plan {{ ti.xcom_pull(task_ids='gate', key='plan')['code'] }}?",
        body="{{ ti.xcom_pull(task_ids='gate', key='plan')['text'] }}",
        defaults=PlanApproval.REJECT,
        response_timeout=timedelta(minutes=10),  # replaced by what is left of the plan's time
        doc_md="Approve or reject, until a minute before the plan expires. Silence rejects.",
    )

    @task(
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        retries=3,
        retry_delay=timedelta(minutes=1),  # together longer than a line's lease
        execution_timeout=timedelta(minutes=15),
        doc_md="Backup, then line by line. Reads the keys that may trade. Again is safe: it goes on where it was.",
    )
    def apply() -> int:
        return work.apply(get_current_context())

    @task(
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        doc_md="What became of each line. Red unless every line is done and verified.",
    )
    def summary() -> None:
        pulled = get_current_context()["ti"].xcom_pull(task_ids=["plan", "apply"])
        work.summary(next(number for number in pulled if number), strict=True)

    begun, made, done = gate(), plan(), apply()
    begun >> [made, approve, done]
    approve >> done
    [made, done] >> summary()


posguard_cleanup()
