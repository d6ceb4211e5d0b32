"""A running demo and a real Chromium, started once for all tests of the page."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import mkdtemp

import pytest

CHROMIUM = os.environ.get("POSGUARD_CHROMIUM") or next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
SHOTS = os.environ.get("POSGUARD_SCREENSHOTS")
PATIENCE = 60_000  # milliseconds of a wait that ends as soon as the thing is there


# Once the document is there in whole, its style sheet and fonts included: what is measured before that is a page on its way.
LOADED = """async () => {
    if (document.readyState !== "complete") await new Promise(done => addEventListener("load", done, {once: true}));
    await document.fonts.ready;
}"""
# All places at one moment: a frame may change its width while they are asked for one by one.
PLACES = (
    """(root, part) => [...root.querySelectorAll(part)].map(one => one.getBoundingClientRect().toJSON())"""
)


def loaded(there):
    """Waits for an element that only the page in question has, and then until that page is there in whole."""
    there.wait_for()
    there.evaluate(LOADED)


def places(root, part):
    """Where the parts of an element stand, read at one moment."""
    return root.evaluate(PLACES, part)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.airflow)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))


class Site:
    """The demo's Airflow over HTTP, and its login."""

    def __init__(self, stack):
        self.stack = stack
        self.url = stack.address.url
        self.users = {
            "admin": stack.address.password.get_secret_value(),
            "viewer": stack.viewer_password,
        }

    def call(self, path, *, method="GET", token="", body=None):
        """Status, headers and text of an answer."""
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def token(self, user):
        """A token of the API."""
        body = {"username": user, "password": self.users[user]}
        return json.loads(self.call("/auth/token", method="POST", body=body)[2])["access_token"]


# For this folder and not for the session: Playwright keeps a loop running in this thread until it is closed, under which no
# asynchronous test of another folder can run, and a demo left up would take the others' processor.
@pytest.fixture(scope="package")
def demo():
    """A whole demo with its first reconciliation done, in a folder of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium found; set POSGUARD_CHROMIUM to its path")
    from posguard.demo.stack import running_demo

    folder = Path(mkdtemp(prefix="posguard-browser-"))
    try:
        with running_demo(lambda *_: None, lambda _: None, folder=folder) as stack:
            yield stack
            server = stack.server
        server.remove()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def site(demo):
    return Site(demo)


@pytest.fixture(scope="package")
def chromium():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def logins(chromium, site):
    """Each user's cookies after logging in through Airflow's own form, once."""
    known = {}

    def of(user):
        if user not in known:
            context = chromium.new_context()
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(site.url)
            page.fill("input[name=username]", user)
            page.fill("input[name=password]", site.users[user])
            page.click("button[type=submit]")
            page.get_by_role("link", name="Data quality").first.wait_for()
            known[user] = context.storage_state()
            context.close()
        return known[user]

    return of


@pytest.fixture
def visit(chromium, logins):
    """A browser's page of a user who is logged in; what its console complains about is kept on it."""
    contexts = []

    def open_as(user="viewer", *, width=1280, height=900, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=logins(user)
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        return page

    yield open_as
    for context in contexts:
        context.close()


@pytest.fixture
def shot(request):
    """Keeps a screenshot where POSGUARD_SCREENSHOTS names a folder."""

    def take(page, name, **more):
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(SHOTS) / f"{name}.png", **more)

    return take
