"""The incident view inside a running Airflow: the demo bot's log is loaded, and its races are looked at in a real browser."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from playwright.sync_api import expect

from posguard.demo.botlog import log_source
from posguard.logs.ingest import end_interval, ingest_file, span_of
from posguard.postgres.pool import Database
from tests.browser.conftest import loaded, places

FRAME = "iframe[title='Data quality']"
# 34.6 ms lie between the two rows; the log's lines are to the millisecond.
TWINS = re.compile(r"3[45] ms")
KINDS = ("duplicate_key_race", "silent_double_create")


@pytest.fixture(scope="module")
def races(demo):
    """How many races the loaded log tells of; what was loaded is taken out again, for the tests of the other pages."""
    source = log_source(demo.folder)

    async def load():
        async with await Database.open(demo.dsn, application="test", size=2) as db:
            done = await ingest_file(db, source, source.paths[0], retention=timedelta(days=90))
            ended = await end_interval(db, [source], span_of(None, [done.loaded.taken]))
            return ended.races

    # in a thread of its own, as Playwright's loop holds this one
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(asyncio.run, load()).result()
    with psycopg.connect(demo.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("TRUNCATE posguard.log_races, posguard.log_events, posguard.log_files CASCADE")
        ids = "SELECT id FROM posguard.findings WHERE kind = ANY (%s)"
        connection.execute(f"DELETE FROM posguard.finding_events WHERE finding_id IN ({ids})", (list(KINDS),))
        for table in ("findings", "alert_outbox"):
            connection.execute(f"DELETE FROM posguard.{table} WHERE kind = ANY (%s)", (list(KINDS),))


def test_from_the_navigation_to_the_lanes_of_a_race(races, site, visit, shot):
    assert races == 2
    page = visit()
    page.goto(site.url)
    page.get_by_role("link", name="Data quality").first.click()
    frame = page.frame_locator(FRAME)
    frame.get_by_role("link", name="Races").click()
    rows = frame.locator(".races tbody tr")
    loaded(rows.first)
    expect(rows).to_have_count(races)
    shot(page, "races")
    row = rows.filter(has_text="APTUSDT")
    assert "3.756 s" in row.inner_text()
    assert "duplicate-key error" in row.inner_text()
    assert TWINS.search(rows.filter(has_text="KASUSDT").inner_text())
    row.get_by_role("link").click()
    drawing = frame.locator("svg.lanes.wide")
    loaded(drawing)
    assert drawing.locator("text.lane").all_text_contents() == ["signal", "synchroniser"]
    assert drawing.locator("text.gaplabel").text_content() == "3.756 s"
    expect(frame.locator("svg.lanes.narrow")).to_be_hidden()
    window, *creates = places(drawing, "rect.window, .m-create circle")
    middles = [box["x"] + box["width"] / 2 for box in creates]
    assert len(middles) == 2
    assert window["x"] == pytest.approx(min(middles), abs=1.5)
    assert window["x"] + window["width"] == pytest.approx(max(middles), abs=1.5)
    assert window["height"] > 80
    lines = frame.locator(".lines tbody tr")
    assert lines.count() == drawing.locator(".dot").count() > 10
    assert "UTC" in frame.locator(".facts").inner_text()
    assert "Asia/Dubai" in frame.locator(".facts").inner_text()
    drawing.scroll_into_view_if_needed()
    shot(page, "race")
    assert not [text for text in page.complaints if "Content Security Policy" in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_the_lanes_and_the_gap_fit_the_screen(races, site, visit, shot, scheme):
    page = visit(width=390, height=844, scheme=scheme)
    page.goto(f"{site.url}/posguard/races")
    loaded(page.locator("h1"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, f"races-390-{scheme}", full_page=True)
    page.locator(".races tbody tr").filter(has_text="KASUSDT").get_by_role("link").click()
    drawing = page.locator("svg.lanes.narrow")
    loaded(drawing)
    expect(page.locator("svg.lanes.wide")).to_be_hidden()
    assert TWINS.fullmatch(drawing.locator("text.gaplabel").text_content())
    for part in ("rect.window", "text.gaplabel", "text.lane", ".dot"):
        boxes = places(drawing, part)
        assert boxes, part
        for box in boxes:
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390, part
    said, *_ = places(page.locator(".lines"), ".said")
    assert said["x"] + said["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, f"race-390-{scheme}", full_page=True)
