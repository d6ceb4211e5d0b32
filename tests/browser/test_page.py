"""The data-quality page inside a running Airflow, driven by a real browser over a real run of the DAG."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import Error, expect

from posguard.demo.record import TRUTH
from posguard.demo.truth import compare, read_truth
from posguard.postgres import findings, results
from posguard.postgres.pool import Database
from posguard.simulator.client import SimulatorControl
from tests.browser.conftest import loaded, places

FRAME = "iframe[title='Data quality']"
PATHS = (
    "/",
    "/findings",
    "/findings/1",
    "/races",
    "/runs",
    "/runs/1",
    "/plans",
    "/static/report.css",
    "/dags/posguard_reconcile",
)
RUN = "/api/v2/dags/posguard_reconcile/dagRuns"


def waited(work):
    """The result of a coroutine; in a thread of its own, as Playwright's loop holds this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def opened(page, site):
    """The report's frame after a click on its entry in the navigation."""
    page.goto(site.url)
    page.get_by_role("link", name="Data quality").first.click()
    frame = page.frame_locator(FRAME)
    loaded(frame.locator("h1"))
    return frame


def direct(page, site, path="/"):
    """The report by itself, without Airflow's frame around it."""
    page.goto(f"{site.url}/posguard{path}")
    page.locator("h1").wait_for()
    return page


@contextmanager
def in_database(demo, before, after):
    """Changes the database for the length of a test."""
    with psycopg.connect(demo.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute(before)
        try:
            yield
        finally:
            connection.execute(after)


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_in_without_a_login(site, path):
    assert site.call(f"/posguard{path}")[0] == 401
    assert site.call(f"/posguard{path}", token="made.up.token")[0] in {401, 403}


@pytest.mark.parametrize("path", PATHS)
def test_a_viewer_may_look_and_nobody_may_do_more(site, path):
    token = site.token("viewer")
    status, headers, _ = site.call(f"/posguard{path}", token=token)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    for method in ("POST", "PUT", "DELETE"):
        assert site.call(f"/posguard{path}", method=method, token=token)[0] == 405


def test_what_is_not_there_is_said_and_odd_questions_do_no_harm(site):
    token = site.token("viewer")
    missing = (
        "/findings/999999",
        "/runs/99999999999999999999",
        "/dags/posguard_reconcile/runs/none",
        "/static/base.html",
    )
    for path in missing:
        assert site.call(f"/posguard{path}", token=token)[0] == 404, path
    nasty = quote("'; DROP TABLE posguard.runs; --\x00\u202e")
    assert site.call(f"/posguard/findings?symbol={nasty}&kind={nasty}&state={nasty}", token=token)[0] == 200
    assert "no DAG of posguard" in site.call("/posguard/dags/other", token=token)[2]


def test_from_the_navigation_to_the_rows_of_a_finding(demo, site, visit, shot):
    page = visit()
    frame = opened(page, site)
    expect(frame.get_by_text("DEMO DATA")).to_be_visible()
    assert frame.locator(".hero .light").inner_text() == "CRITICAL"
    assert frame.locator(".chip", has_text="simulator").count() == 2
    shot(page, "overview")
    duplicate = (
        frame.locator("details.finding", has_text="KASUSDT").filter(has_text="Duplicate position").first
    )
    duplicate.locator("summary").click()
    table = duplicate.locator("table.sides")
    expect(table.locator("th", has_text="row #275")).to_be_visible()
    expect(table.locator("th", has_text="row #276")).to_be_visible()
    assert "posguard cleanup duplicates --symbol KASUSDT --exchange bybit" in duplicate.inner_text()
    shot(page, "rows")
    duplicate.get_by_role("link", name="Finding").click()
    loaded(frame.get_by_role("heading", name="Life"))
    assert frame.locator(".life li").first.inner_text().split("UTC ")[1].startswith("found")
    page.wait_for_url("**/plugin/posguard/posguard/findings/*")
    page.reload()  # the address leads back to the same finding
    frame.get_by_role("heading", name="Life").wait_for()
    shot(page, "finding")
    assert not [text for text in page.complaints if "Content Security Policy" in text]


def test_the_page_shows_what_was_planted_and_nothing_else(demo, site, visit):
    truth = read_truth((demo.folder / TRUTH).read_text())

    async def stored():
        async with await Database.open(demo.dsn) as db, db.snapshot() as connection:
            judged = await results.latest_run_with_results(connection)
            seen = [f for f in await findings.unresolved(connection) if f.counts]
            return seen, await results.results_of(connection, judged)

    seen, judged = waited(stored())
    report = compare(truth, [f.finding for f in seen], judged, at=datetime.now(UTC))
    assert report.exact, "\n".join((*report.missed, *report.unexpected, *report.differing))
    page = direct(visit(), site)
    shown = {
        int(one.get_attribute("id").removeprefix("finding-")) for one in page.locator("details.finding").all()
    }
    assert shown == {f.id for f in seen}
    assert len(shown) == report.planted > 50
    assert page.locator("details.check.violation").count() == report.violations_planted > 10
    assert page.locator("details.check.error").count() == 0


def test_every_number_on_the_first_screen_leads_to_its_rows(site, visit):
    page = direct(visit(), site)
    for tile in page.locator(".counts a").all():
        number, target = int(tile.locator("b").inner_text().split(" ")[0]), tile.get_attribute("href")
        other = page.context.new_page()
        other.goto(site.url + target)
        listed = other.locator("details.finding").count()
        other.close()
        of = tile.locator("small")
        assert listed == (int(of.inner_text().split(" ")[-1]) - number if of.count() else number), target


def test_the_tab_on_the_dag_run_shows_that_run(demo, site, visit, shot):
    page = visit()
    page.goto(f"{site.url}/dags/posguard_reconcile/runs/{quote(demo.run_id, safe='')}")
    # by its address: the navigation has a link of the same name, which may be there first
    page.locator("a[href*='/runs/']").filter(has_text="Data quality").click()
    frame = page.frame_locator(FRAME)
    loaded(frame.locator("h1"))
    assert frame.locator("h1").inner_text().startswith("Run 1,")
    expect(frame.get_by_text(demo.run_id)).to_be_visible()
    shot(page, "dag-run")


def test_no_script_runs_in_the_page_whatever_a_row_says(demo, site, visit):
    page = direct(visit(), site)
    with pytest.raises(Error):
        page.add_script_tag(content="window.taken = 1")
    hostile = '<img src=x onerror="window.taken=1"><script>window.taken=1</script>'
    with in_database(
        demo,
        f"UPDATE posguard.findings SET title = title || '{hostile}' WHERE id = 1",
        f"UPDATE posguard.findings SET title = replace(title, '{hostile}', '') WHERE id = 1",
    ):
        direct(page, site, "/findings/1")
        assert "<img src=x" in page.locator("h1").inner_text()
        assert page.evaluate("window.taken") is None


def test_a_missing_schema_is_one_line_with_the_command(demo, site, visit, shot):
    page = visit()
    with in_database(
        demo, "ALTER SCHEMA posguard RENAME TO posguard_away", "ALTER SCHEMA posguard_away RENAME TO posguard"
    ):
        direct(page, site)
        assert "posguard db upgrade" in page.locator(".hero").inner_text()
        assert page.locator(".hero.absent").count() == 1
        shot(page, "missing-schema")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(site, visit, shot, width, scheme):
    page = visit(width=width, height=800, scheme=scheme)
    for path in ("/", "/findings/1", "/runs", "/runs/1"):
        direct(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        shot(page, f"{path.strip('/').replace('/', '-') or 'overview'}-{width}-{scheme}", full_page=True)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
    assert light is (scheme == "light")


def test_world_and_age_stay_in_sight_while_scrolling(site, visit):
    for width in (390, 1280):
        page = direct(visit(width=width, height=800), site)
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        boxes = places(page.locator(".always"), ".chip")
        assert boxes
        for box in boxes:
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 800


def test_the_keyboard_is_enough(site, visit):
    page = direct(visit(), site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("details.finding summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details.finding").first).to_have_attribute("open", "")


def test_an_inconclusive_venue_is_grey_and_the_last_complete_run_stays_in_sight(demo, site, visit, shot):
    async def lose(kind=None):
        async with SimulatorControl(demo.simulator) as control:
            await control.clear_faults()
            if kind:
                await control.fault(kind, venue="binance", path="*positionRisk*", count=None)

    waited(lose("html"))
    try:
        token = site.token("admin")
        made = site.call(RUN, method="POST", token=token, body={"logical_date": None})
        run_id = json.loads(made[2])["dag_run_id"]
        state = ""
        page = direct(visit(), site)
        while state not in {"success", "failed"}:
            state = json.loads(site.call(f"{RUN}/{run_id}", token=token)[2])["state"]
            page.wait_for_timeout(500)
    finally:
        waited(lose())
    assert state == "failed"
    tasks = json.loads(site.call(f"{RUN}/{run_id}/taskInstances", token=token)[2])["task_instances"]
    assert {t["task_id"]: t["state"] for t in tasks} == dict.fromkeys(
        ("preflight", "reconcile", "suites", "publish"), "success"
    ) | {"verdict": "failed"}
    direct(page, site)
    hero = page.locator(".hero")
    assert hero.get_attribute("class") == "hero inconclusive"
    assert "HTML instead of a list" in hero.inner_text()
    assert "Last complete" in hero.inner_text()
    assert page.locator(".counts .unknown").count() >= 1
    assert page.locator(".b-inconclusive").count() >= 1
    shot(page, "inconclusive", full_page=True)
