"""The cleanup DAG in a running Airflow: from the trigger form to a plan on the page, approved, carried out, and the way back."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from posguard.postgres import plans, runs
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from tests.browser.conftest import loaded
from tests.fixtures.known import AT
from tests.fixtures.plans import plan, row_line

RUNS = "/api/v2/dags/posguard_cleanup/dagRuns"
ENDED = {"success", "failed"}


@cache
def token(site, user):
    """A token of the API, asked for once."""
    return site.token(user)


def asked(site, user, path, *, method="GET", body=None):
    """Status and JSON of an answer of the API."""
    status, _, text = site.call(path, method=method, token=token(site, user), body=body)
    return status, json.loads(text) if text else None


def newest(site):
    """The newest run of the cleanup DAG."""
    return asked(site, "admin", f"{RUNS}?limit=1&order_by=-id")[1]["dag_runs"]


def tasks(site, run):
    """The state of each task of a run."""
    found = asked(site, "admin", f"{RUNS}/{quote(run, safe='')}/taskInstances")[1]["task_instances"]
    return {task["task_id"]: task["state"] for task in found}


def until(page, look, reached):
    """What `look` gives once `reached` says yes of it."""
    seen = look()
    while not reached(seen):
        page.wait_for_timeout(300)
        seen = look()
    return seen


def ended(page, site, run):
    """The end of a run, and of each of its tasks."""
    path = f"{RUNS}/{quote(run, safe='')}"
    state = until(page, lambda: asked(site, "admin", path)[1]["state"], ENDED.__contains__)
    return state, tasks(site, run)


def until_parked(page, demo, site, run):
    """Once the question stands and the scheduler has heard of its process's end; an answer before that is asked for again."""
    until(page, lambda: tasks(site, run)["approve"], lambda state: state == "awaiting_input")
    log = demo.folder / "logs" / "scheduler.log"
    heard = re.compile(
        f"TaskInstance Finished: .*task_id=approve, run_id={re.escape(run)}, .*state=awaiting_input"
    )
    until(page, lambda: log.read_text(encoding="utf-8"), heard.search)


def triggered(site, **conf):
    """The id of a run that an administrator asked for over the API."""
    status, made = asked(site, "admin", RUNS, method="POST", body={"logical_date": None, "conf": conf})
    assert status == 200, made
    return made["dag_run_id"]


def report(page, site, path):
    """A page of the report, without Airflow's frame."""
    page.goto(f"{site.url}/posguard{path}")
    page.locator("h1").wait_for()
    return page


@pytest.fixture(scope="module")
def known():
    """What one test hands to the next: the plan that was made and its code."""
    return {}


def test_the_trigger_form_is_usable_and_without_a_code_makes_a_plan(site, visit, shot, known):
    page = visit("admin", height=1500)
    page.goto(f"{site.url}/dags/posguard_cleanup")
    page.get_by_test_id("trigger-dag-button").first.click()
    page.locator("#element_confirm").wait_for()
    dialog = page.get_by_role("dialog")
    for words in ("Confirm code", "Least age in hours", "Empty: a plan is made and nothing changes"):
        expect(dialog.get_by_text(words).first).to_be_visible()
    shot(page, "trigger-form", full_page=True)
    expect(page.get_by_test_id("trigger-dag-submit")).to_be_enabled()
    before = {run["dag_run_id"] for run in newest(site)}
    page.get_by_test_id("trigger-dag-submit").click()
    (run,) = until(page, lambda: newest(site), lambda runs: {r["dag_run_id"] for r in runs} - before)
    state, ends = ended(page, site, run["dag_run_id"])
    assert (state, ends["plan"], ends["apply"]) == ("success", "success", "skipped")
    page.goto(f"{site.url}/dags/posguard_cleanup/runs/{quote(run['dag_run_id'], safe='')}")
    page.locator("a[href*='/runs/']").filter(has_text="Data quality").click()
    frame = page.frame_locator("iframe[title='Data quality']")
    loaded(frame.get_by_role("heading", name="cleanup duplicates"))
    assert frame.locator(".hero .light").inner_text() == "OPEN"
    expect(frame.get_by_role("cell", name="rolled_back").first).to_be_visible()
    expect(frame.get_by_text("What it costs to be wrong")).to_be_visible()
    known["code"] = frame.locator("code.code").inner_text()
    known["plan"] = frame.locator(".crumbs").inner_text().rpartition("/")[2].strip()
    shot(page, "plan-open")


def test_a_viewer_sees_the_plan_and_cannot_trigger(site, visit, shot, known):
    body = {"logical_date": None, "conf": {"confirm": known["code"]}}
    count = len(asked(site, "admin", RUNS)[1]["dag_runs"])
    assert asked(site, "viewer", RUNS, method="POST", body=body)[0] == 403
    assert len(asked(site, "admin", RUNS)[1]["dag_runs"]) == count
    page = report(visit("viewer"), site, "/plans")
    assert page.locator("table.list tbody tr").first.locator("th").inner_text() == known["plan"]
    shot(page, "plans")


def test_a_wrong_code_fails_at_the_first_task_with_one_line(site, visit, shot):
    status, _ = asked(
        site, "admin", RUNS, method="POST", body={"logical_date": None, "conf": {"confirm": "a;b"}}
    )
    assert status == 400
    page = visit("admin")
    run = triggered(site, confirm="2222-2222")
    state, ends = ended(page, site, run)
    assert state == "failed"
    assert ends == dict.fromkeys(ends, "upstream_failed") | {"gate": "failed"}
    log = site.call(f"{RUNS}/{quote(run, safe='')}/taskInstances/gate/logs/1", token=token(site, "admin"))[2]
    assert "There is no plan of the code 2222-2222 in this database. Nothing was changed." in log
    assert "Traceback" not in log
    assert "error_detail" not in log


def bots_rows(demo):
    """The bot's rows that a plan of duplicates may change, as the database shows them."""
    return demo.server.psql(
        "bot",
        "SELECT id, status, exit_reason, closed_at FROM monitoring.positions WHERE created_at < now() - interval '5 min' ORDER BY id",
    )


def failed_at(site, run, task):
    """What the log of a task says of why it failed."""
    state = tasks(site, run)
    assert state[task] == "failed", state
    path = f"{RUNS}/{quote(run, safe='')}/taskInstances/{task}/logs/"
    log = "".join(site.call(f"{path}{number}", token=token(site, "admin"))[2] for number in (1, 2))
    assert "Traceback" not in log
    return log


def an_expired_plan(demo):
    """The code of a plan of this database and its worlds whose quarter of an hour is over."""

    async def store():
        async with await Database.open(demo.dsn) as db, db.transaction() as connection:
            mark = await runs.database_fingerprint(connection)
            made = plan(row_line(), made=AT, database_fingerprint=mark, world="simulator")
            return (await plans.store(connection, made)).code

    with ThreadPoolExecutor() as apart:  # Playwright's loop runs in this thread
        return apart.submit(asyncio.run, store()).result()


def test_an_expired_code_fails_at_the_first_task(demo, site, visit):
    before, code = bots_rows(demo), an_expired_plan(demo)
    run = triggered(site, confirm=code)
    state, ends = ended(visit("admin"), site, run)
    assert (state, ends) == ("failed", dict.fromkeys(ends, "upstream_failed") | {"gate": "failed"})
    assert f"The code {code} expired at" in failed_at(site, run, "gate")
    assert bots_rows(demo) == before


def test_silence_rejects_and_touches_nothing(demo, site, visit, known):
    """Nobody answers until a minute before the plan expires; the test brings that moment near in Airflow's own database."""
    variable = {"key": "posguard_cleanup_approval", "value": "duplicates, unprotected"}
    assert asked(site, "admin", "/api/v2/variables", method="POST", body=variable)[0] == 201
    before, page = bots_rows(demo), visit("admin")
    run = triggered(site, confirm=known["code"])
    until_parked(page, demo, site, run)
    waits = (
        f"FROM task_instance WHERE dag_id = 'posguard_cleanup' AND run_id = '{run}' AND task_id = 'approve'"
    )
    expires = demo.server.psql(
        "bot", f"SELECT extract(epoch FROM expires_at) FROM posguard.plans WHERE code = '{known['code']}'"
    )
    deadline = demo.server.psql("airflow", f"SELECT extract(epoch FROM trigger_timeout) {waits}")
    # as much later as the way from the task to the server took
    assert -1 < float(deadline) - (float(expires) - 60) < 30
    demo.server.psql(
        "airflow", f"UPDATE task_instance SET trigger_timeout = now() WHERE id = (SELECT id {waits})"
    )
    state, ends = ended(page, site, run)
    assert (state, ends["apply"], ends["summary"]) == ("failed", "upstream_failed", "upstream_failed")
    assert "Nobody approved the plan in time, which rejects it. Nothing was changed." in failed_at(
        site, run, "approve"
    )
    assert bots_rows(demo) == before
    report(page, site, f"/plans/{known['plan']}")
    assert page.locator(".hero .light").inner_text() == "OPEN", "the code still holds"


NOTE_WRITERS = """
CREATE TABLE writers (who text);
GRANT INSERT ON writers TO PUBLIC;
CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.writers VALUES (current_user); RETURN NEW; END $$;
CREATE TRIGGER note_writer BEFORE INSERT ON posguard.cleanup_actions FOR EACH ROW EXECUTE FUNCTION note_writer()
"""


def test_over_the_api_alone_an_approved_plan_is_carried_out_by_the_cleanup_role_with_the_trade_key(
    demo, site, visit
):
    """From the trigger to the end without a browser: Connections, plan, code, approval by PATCH, a stop on the exchange."""
    demo.server.psql("bot", roles_sql())
    demo.server.psql("bot", "ALTER ROLE posguard_cleanup PASSWORD 'only-in-this-demo'")
    demo.server.psql("bot", NOTE_WRITERS)
    bots = urlsplit(demo.dsn.get_secret_value())
    database = {
        "conn_type": "postgres", "host": bots.hostname, "port": bots.port, "schema": bots.path.strip("/"),
        "login": "posguard_cleanup", "password": "only-in-this-demo", "extra": '{"sslmode": "disable"}',
    }  # fmt: skip
    trade = {"conn_type": "generic", "login": TRADE_KEY, "password": TRADE_SECRET}
    for name, fields in {"posguard_db_cleanup": database, "posguard_binance_trade": trade}.items():
        status, said = asked(
            site, "admin", "/api/v2/connections", method="POST", body={"connection_id": name} | fields
        )
        assert status == 201, said
    page = visit("admin")
    made = triggered(site, mode="unprotected", exchange="binance", symbol="WLDUSDT")
    assert ended(page, site, made)[0] == "success"
    code = demo.server.psql("bot", "SELECT code FROM posguard.plans ORDER BY id DESC LIMIT 1").strip()
    run = triggered(site, confirm=code)
    until_parked(page, demo, site, run)
    answer = f"{RUNS}/{quote(run, safe='')}/taskInstances/approve/-1/hitlDetails"
    assert asked(site, "admin", answer, method="PATCH", body={"chosen_options": ["Approve"]})[0] == 200
    state, ends = ended(page, site, run)
    assert (state, ends["apply"], ends["summary"]) == ("success", "success", "success"), ends
    assert demo.server.psql("bot", "SELECT DISTINCT who FROM writers").split() == ["posguard_cleanup"]
    actors = demo.server.psql(
        "bot", "SELECT DISTINCT actor FROM posguard.cleanup_actions WHERE event = 'outcome'"
    )
    assert "approved by admin" in actors
    with urlopen(f"{demo.simulator}/control/log") as log:
        sent = [
            entry for entry in json.load(log) if entry["method"] != "GET" and "WLDUSDT" in json.dumps(entry)
        ]
    assert len(sent) == 1, sent


def test_with_its_code_and_an_approval_the_plan_is_carried_out(demo, site, visit, shot, known):
    run = triggered(site, confirm=known["code"])
    page = visit("admin")
    until_parked(page, demo, site, run)
    answer = f"{RUNS}/{quote(run, safe='')}/taskInstances/approve/-1/hitlDetails"
    assert asked(site, "viewer", answer, method="PATCH", body={"chosen_options": ["Approve"]})[0] == 403
    page.goto(f"{site.url}/dags/posguard_cleanup/runs/{quote(run, safe='')}/tasks/approve/required_actions")
    approve = page.get_by_role("button", name="Approve")
    approve.wait_for()
    shot(page, "approval")
    approve.click()
    state, ends = ended(page, site, run)
    report(page, site, f"/plans/{known['plan']}")
    assert (state, ends["apply"], ends["summary"]) == ("success", "success", "success"), page.inner_text(
        "main"
    )
    assert page.locator(".hero .light").inner_text() == "APPLIED"
    expect(page.get_by_text("approved by admin").first).to_be_visible()
    assert f"posguard restore {demo.folder.resolve()}/backups/" in page.inner_text("main")
    assert (
        page.locator(".finding.planned").count() == page.locator(".badge.clear", has_text="verified").count()
    )
    shot(page, "plan-applied", full_page=True)
    page.locator(".finding.planned a").first.click()
    page.get_by_role("heading", name="Cleanup plans").wait_for()
    expect(page.locator(f"a[href$='/plans/{known['plan']}']")).to_have_count(1)
    assert not [text for text in page.complaints if "Content Security Policy" in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plans_fit_a_phone(site, visit, shot, known, scheme):
    page = visit(width=390, height=800, scheme=scheme)
    for path in ("/plans", f"/plans/{known['plan']}"):
        report(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        shot(page, f"{path.strip('/').replace('/', '-')}-390-{scheme}", full_page=True)
