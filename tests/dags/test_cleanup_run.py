"""The cleanup DAGs run for real: plans, codes that open the gate and codes that do not, retries, the schedule and its breaker."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from posguard.model.plan import Mode, PlanState
from posguard.postgres import planlists, plans, runs
from posguard.postgres.pool import Database
from posguard.reconcile import breaker
from posguard.simulator.client import SimulatorControl
from posguard.simulator.defaults import READ_KEY, READ_SECRET, TRADE_KEY, TRADE_SECRET
from tests.dags.conftest import of_dsn
from tests.fixtures.known import AT
from tests.fixtures.plans import order_line, plan, row_line

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(300)]

VENUE = {"login": READ_KEY, "password": READ_SECRET, "extra": {"world": "simulator"}}
TRADE = {"login": TRADE_KEY, "password": TRADE_SECRET}
ROWS = "SELECT to_jsonb(p)::text FROM monitoring.positions p ORDER BY id"
DEFAULTS = {
    "mode": "duplicates",
    "exchange": "all",
    "symbol": None,
    "min_age_hours": 1,
    "action": "none",
    "confirm": None,
    "production": None,
}
PLANNED = {
    "gate": "success",
    "plan": "success",
    "approve": "skipped",
    "apply": "skipped",
    "summary": "success",
}
APPLIED = PLANNED | {"plan": "skipped", "apply": "success"}
REFUSED = dict.fromkeys(PLANNED, "upstream_failed") | {"gate": "failed"}


@pytest.fixture
def connected(connect, empty_dsn, simulator_url, monkeypatch, tmp_path):
    """Connections that read, quick passes, a folder for the backups."""
    venue = VENUE | {"host": simulator_url}
    connect(posguard_db=of_dsn(empty_dsn, sslmode="disable"), posguard_binance=venue, posguard_bybit=venue)
    monkeypatch.setenv("POSGUARD_SNAPSHOT_GAP", "0.02s")
    monkeypatch.setenv("POSGUARD_WEIGHT_SHARE", "1")
    monkeypatch.setenv("POSGUARD_BACKUP_FOLDER", str(tmp_path / "backups"))
    return connect


@pytest.fixture
def run_dag(dag_bag, airflow_database):
    """Runs a cleanup DAG once; gives its tasks' states and the run. Tasks are tried once."""

    def run(name="posguard_cleanup", **conf):
        dag = dag_bag.dags[name]
        # In whole: a run that is tested leaves its params on the DAG.
        whole = DEFAULTS | conf if name == "posguard_cleanup" else conf
        done = dag.test(run_after=datetime.now(UTC), logical_date=None, run_conf=whole)
        return {task.task_id: str(task.state) for task in done.get_task_instances()}, done

    return run


@pytest.fixture
def no_retries(dag_bag, monkeypatch):
    for task in dag_bag.dags["posguard_cleanup"].tasks:
        monkeypatch.setattr(task, "retries", 0)


def world(dsn, url):
    """Everything that nobody may have touched: the bot's rows, and what was sent to the venues."""

    async def sent():
        async with SimulatorControl(url) as control:
            return [entry for entry in await control.log() if entry["method"] != "GET"]

    with psycopg.connect(dsn.get_secret_value()) as connection:
        return connection.execute(ROWS).fetchall(), asyncio.run(sent())


def stored(dsn, *made):
    """The plans, newest first; made are stored before."""

    async def read():
        async with await Database.open(dsn) as db:
            for one in made:
                async with db.transaction() as connection:
                    await plans.store(connection, one)
            async with db.connection() as connection:
                listed = await planlists.summaries(connection, 20)
                return [await plans.by_id(connection, one.id) for one in listed]

    return asyncio.run(read())


def fingerprint(dsn):
    async def read():
        async with await Database.open(dsn) as db, db.connection() as connection:
            return await runs.database_fingerprint(connection)

    return asyncio.run(read())


def lines_of(caplog):
    """What the tasks said in the one line of an error."""
    return [record.getMessage() for record in caplog.records if record.name == "posguard_airflow"]


def test_without_a_code_a_plan_is_stored_and_shown_and_nothing_is_touched(
    demo_world, connected, run_dag, empty_dsn, simulator_url, caplog
):
    caplog.set_level("INFO", "posguard_cleanup_tasks")
    before = world(empty_dsn, simulator_url)
    states, dag_run = run_dag(mode="all", action="close", min_age_hours=0.1)
    assert states == PLANNED
    (made,) = stored(empty_dsn)
    assert {one.line.mode for one in made.lines} >= {Mode.DUPLICATES, Mode.UNPROTECTED, Mode.ORPHANED_EX}
    assert made.state is PlanState.PLANNED
    assert made.plan.source == "airflow"
    assert made.plan.created_by == f"dag_test, Airflow run {dag_run.run_id}"
    said = "\n".join(
        record.getMessage() for record in caplog.records if record.name == "posguard_cleanup_tasks"
    )
    assert f"confirm {made.code}" in said
    assert "IRREVERSIBLE" in said
    assert world(empty_dsn, simulator_url) == before


def test_the_code_carries_out_that_plan_once_and_keeps_its_backup(
    demo_world, connected, run_dag, empty_dsn, simulator_url, caplog
):
    run_dag(mode="duplicates")
    (made,) = stored(empty_dsn)
    assert made.lines
    states, _ = run_dag(confirm=made.code.lower().replace("-", " "))
    assert states == APPLIED
    (done,) = stored(empty_dsn)
    assert done.state is PlanState.APPLIED
    assert all(one.verified for one in done.lines)
    assert stat.S_IMODE(Path(done.backup).stat().st_mode) == 0o600
    run_dag(mode="duplicates")
    assert stored(empty_dsn)[0].lines == ()
    after = world(empty_dsn, simulator_url)
    caplog.clear()
    assert run_dag(confirm=made.code)[0] == REFUSED
    (line,) = lines_of(caplog)
    assert f"The code {made.code} was used" in line
    assert world(empty_dsn, simulator_url) == after


def test_a_code_that_opens_nothing_ends_the_run_at_its_first_task_in_one_line(
    demo_world, connected, run_dag, empty_dsn, simulator_url, caplog
):
    mark, now = fingerprint(empty_dsn), datetime.now(UTC)
    here = {"made": now, "database_fingerprint": mark, "worlds": {"binance": "simulator"}}
    named = {key: value for key, value in here.items() if key != "worlds"}
    expired = plan(row_line(), **(here | {"made": AT}))
    elsewhere = plan(row_line(), **(here | {"database_fingerprint": "f" * 16}))
    other_world = plan(row_line(), **named, worlds={venue_name(): "testnet"})
    on_a_word = plan(row_line(accepts_absence=True), **named, worlds={venue_name(): "simulator"})
    stored(empty_dsn, expired, elsewhere, other_world, on_a_word)
    before = world(empty_dsn, simulator_url)
    for code, says in (
        ("2222-2222", "There is no plan of the code 2222-2222"),
        (expired.code, f"The code {expired.code} expired at"),
        (elsewhere.code, "is for the database ffffffffffffffff"),
        (other_world.code, "in its testnet world, which is simulator here"),
        (on_a_word.code, f"Type it: posguard cleanup --confirm {on_a_word.code} --rows 1"),
    ):
        caplog.clear()
        assert run_dag(confirm=code)[0] == REFUSED, says
        (line,) = lines_of(caplog)
        assert says in line
        assert "Nothing was changed" in line
        assert "\n" not in line
        assert "Traceback" not in caplog.text.replace("Task failed with exception", "")
    assert world(empty_dsn, simulator_url) == before


def venue_name():
    from posguard.model.venue import VenueId

    return str(VenueId("binance"))


def test_production_is_carried_out_only_with_the_database_named(connected, bot_dsn, simulator_url, connect):
    import posguard_cleanup_tasks as work
    from posguard_airflow import read_connections
    from posguard_cleanup_params import read_params

    from posguard.errors import RefusedError

    mark = fingerprint(bot_dsn)
    venue = VENUE | {"host": simulator_url, "extra": {"world": "production"}}
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"), posguard_binance=venue)
    made = plan(
        row_line(),
        made=datetime.now(UTC),
        database_fingerprint=mark,
        worlds={venue_name(): "production"},
    )
    stored(bot_dsn, made)
    asked = read_params(DEFAULTS | {"confirm": made.code}, {})
    for production in ("", "0" * 16):
        with pytest.raises(RefusedError, match=f"fingerprint {mark} into the param production"):
            asyncio.run(work._checked(read_connections(), replace(asked, production=production)))
    assert asyncio.run(work._checked(read_connections(), replace(asked, production=mark))).code == made.code


def test_a_schedule_touches_production_only_where_a_variable_names_the_database(
    connected, bot_dsn, simulator_url, connect, monkeypatch
):
    import posguard_cleanup_tasks as work
    from airflow.sdk.exceptions import AirflowFailException

    mark = fingerprint(bot_dsn)
    venue = VENUE | {"host": simulator_url, "extra": {"world": "production"}}
    connect(posguard_db=of_dsn(bot_dsn, sslmode="disable"), posguard_binance=venue)
    with pytest.raises(AirflowFailException, match=mark):
        work.scheduled_gate()
    monkeypatch.setenv("AIRFLOW_VAR_POSGUARD_CLEANUP_PRODUCTION", mark)
    assert work.scheduled_gate() == mark


def test_the_trade_key_is_asked_for_by_apply_alone_and_orders_are_sent_with_it(
    demo_world, connected, run_dag, no_retries, empty_dsn, simulator_url, caplog, monkeypatch
):
    run_dag(mode="zombies")
    (made,) = stored(empty_dsn)
    venues = {one.line.key.exchange for one in made.lines}
    assert venues
    before = world(empty_dsn, simulator_url)
    caplog.clear()
    states, _ = run_dag(confirm=made.code)
    assert states == APPLIED | {"apply": "failed", "summary": "upstream_failed"}
    (line,) = lines_of(caplog)
    assert f"posguard_{min(venues)}_trade is not there" in line
    assert world(empty_dsn, simulator_url) == before
    assert stored(empty_dsn)[0].state is PlanState.PLANNED
    for name in venues:
        connected(**{f"posguard_{name}_trade": TRADE})
    states, _ = run_dag(confirm=made.code)
    (done,) = stored(empty_dsn)
    assert states == APPLIED, [one.reason for one in done.lines]
    assert done.state is PlanState.APPLIED
    _, sent = world(empty_dsn, simulator_url)
    assert len(sent) > len(before[1])


class Ti:
    """A task instance that keeps what is handed on."""

    def __init__(self):
        self.kept = {}

    def xcom_push(self, key, value):
        self.kept["gate", key] = value

    def xcom_pull(self, task_ids, key="return_value"):
        return self.kept.get((task_ids, key))


class Run:
    dag_id = "posguard_cleanup"
    run_id = "manual__1"
    triggering_user_name = "ann"
    conf = None


def context(ti=None, **params):
    return {"params": DEFAULTS | params, "dag_run": Run, "ti": ti or Ti()}


def test_a_retry_after_the_end_says_what_was_done_and_does_nothing_twice(
    demo_world, connected, empty_dsn, simulator_url
):
    import posguard_cleanup_tasks as work
    from airflow.sdk.exceptions import AirflowFailException

    number = work.plan(context(mode="duplicates"))
    (made,) = stored(empty_dsn)
    ti = Ti()
    assert work.gate(context(ti, confirm=made.code)) == "apply"
    assert work.apply(context(ti, confirm=made.code)) == number
    after = world(empty_dsn, simulator_url)
    assert work.apply(context(ti, confirm=made.code)) == number  # the try whose answer got lost
    assert world(empty_dsn, simulator_url) == after
    with pytest.raises(AirflowFailException, match="was used"):
        work._carry_out(number, "ben, Airflow run manual__2", "")


def test_the_variable_says_which_modes_wait_for_a_person_and_the_approver_is_on_record(
    demo_world, connected, empty_dsn, monkeypatch
):
    import posguard_cleanup_tasks as work

    work.plan(context(mode="duplicates"))
    (made,) = stored(empty_dsn)
    for modes, leads_to in (("duplicates, all", "approve"), ("every", "approve"), ("zombies", "apply")):
        monkeypatch.setenv("AIRFLOW_VAR_POSGUARD_CLEANUP_APPROVAL", modes)
        ti = Ti()
        assert work.gate(context(ti, confirm=made.code)) == leads_to
    handed = ti.kept["gate", "plan"]
    assert (handed["id"], handed["code"]) == (made.id, made.code)
    assert datetime.fromisoformat(handed["expires_at"]) == made.plan.expires_at
    ti.kept["approve", "return_value"] = {"responded_by_user": {"id": "1", "name": "boss"}}
    assert work.actor(context(ti)) == "ann, approved by boss, Airflow run manual__1"


def test_the_schedule_carries_out_the_safe_modes_alone_and_sends_nothing(
    demo_world, connected, run_dag, empty_dsn, simulator_url
):
    _, before = world(empty_dsn, simulator_url)
    states, dag_run = run_dag("posguard_cleanup_scheduled")
    assert states == dict.fromkeys(("gate", "plan", "apply", "summary"), "success")
    (done,) = stored(empty_dsn)
    assert done.lines
    assert all(one.line.safe and not one.line.orders for one in done.lines)
    assert {one.line.mode for one in done.lines} <= {Mode.DUPLICATES, Mode.ORPHANED_DB, Mode.INCOMPLETE}
    assert done.state in {PlanState.APPLIED, PlanState.PARTLY}
    assert done.backup
    assert world(empty_dsn, simulator_url)[1] == before
    assert dag_run.run_id in done.plan.created_by


def test_a_tripped_breaker_closes_nothing_and_ends_red_with_the_command_to_type(
    demo_world, connected, run_dag, empty_dsn, monkeypatch, caplog
):
    monkeypatch.setattr(breaker, "allowed_closings", lambda _: 0)
    states, _ = run_dag("posguard_cleanup_scheduled")
    (made,) = stored(empty_dsn)
    assert not [one for one in made.lines if one.line.mode is Mode.ORPHANED_DB]
    assert states["summary"] == "failed"
    assert "posguard cleanup orphaned-db --exchange" in "\n".join(lines_of(caplog))


def test_an_exchange_that_cannot_be_judged_gets_no_plan_and_the_run_says_so(
    demo_world, connected, run_dag, no_retries, empty_dsn, simulator_url, caplog
):
    async def lose():
        async with SimulatorControl(simulator_url) as control:
            await control.fault("html", path="*positionRisk*", venue="binance", count=None)

    asyncio.run(lose())
    states, _ = run_dag(mode="orphaned-db", exchange="binance")
    assert states == PLANNED | {"summary": "failed"}
    assert "INCONCLUSIVE: nothing is planned" in lines_of(caplog)[0]


def test_a_plan_that_expires_while_it_is_approved_is_refused_by_apply(
    demo_world, connected, empty_dsn, simulator_url, monkeypatch
):
    """The gate let it through; by the time apply begins it is over."""
    import posguard_cleanup_tasks as work
    from airflow.sdk.exceptions import AirflowFailException

    made = plan(
        row_line(), made=AT, database_fingerprint=fingerprint(empty_dsn), worlds={venue_name(): "simulator"}
    )
    (kept,) = stored(empty_dsn, made)
    before = world(empty_dsn, simulator_url)
    with pytest.raises(AirflowFailException, match="expired at"):
        work._carry_out(kept.id, "ann, Airflow run manual__1", "")
    assert world(empty_dsn, simulator_url) == before
    assert order_line().orders
    assert timedelta() < made.expires_at - made.created_at
