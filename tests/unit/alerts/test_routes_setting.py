"""POSGUARD_ALERT_ROUTES and its neighbours: what is taken, and what is refused without a value of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from posguard.errors import SettingsError
from posguard.settings import load_settings

GOOD = {"name": "a", "kind": "webhook", "url": "https://h.example/hunter2"}
MAIL = {
    "name": "a",
    "kind": "email",
    "url": "smtp://u:hunter2@h.example:25",
    "sender": "p@h.example",
    "to": ["hunter2@h.example"],
}


@pytest.fixture
def routes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def read(*given, text=None):
        monkeypatch.setenv("POSGUARD_ALERT_ROUTES", text or json.dumps(given))
        return load_settings().alert_routes

    return read


def test_routes_are_read_and_show_no_more_than_the_host(routes):
    hook, mail = routes(GOOD, MAIL | {"name": "m", "severities": ["critical"], "owners": ["bot"]})
    assert hook.severities == ("critical", "warning")
    assert hook.place == "https://h.example"
    assert mail.place == "smtp://h.example, recipients: 1"
    assert (mail.severities, mail.owners) == (("critical",), ("bot",))
    assert "hunter2" not in f"{hook!r} {mail!r} {load_settings()!r}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (GOOD | {"url": "ftp://hunter2"}, "its url is not https:// or http:// with a host"),
        (GOOD | {"url": "https://h:hunter2"}, "its url"),
        (GOOD | {"url": "https://u:hunter2@h.example", "token": "hunter2"}, "exclude each other"),
        (GOOD | {"secret": "hunter2"}, "Extra inputs"),
        (GOOD | {"severities": []}, "at least 1 item"),
        (MAIL | {"url": "https://hunter2"}, "smtps:// or smtp://"),
        (MAIL | {"to": []}, "needs sender and to"),
        (MAIL | {"to": ["hunter2"]}, "name@host"),
        (MAIL | {"sender": "hunter2@x\r\nBcc: e@x"}, "name@host"),
    ],
)
def test_a_wrong_route_is_named_and_nothing_of_it_is_told(routes, wrong, said):
    with pytest.raises(SettingsError) as caught:
        routes(wrong)
    assert said in str(caught.value)
    assert "POSGUARD_ALERT_ROUTES" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_two_routes_of_one_name_and_what_is_no_json_are_refused(routes):
    with pytest.raises(SettingsError, match="same name"):
        routes(GOOD, GOOD)
    with pytest.raises(SettingsError, match="POSGUARD_ALERT_ROUTES is no JSON") as caught:
        routes(text="[{hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_window_beyond_the_minute_and_a_heartbeat_elsewhere_are_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_settings().alert_deadline == timedelta(hours=2, minutes=10)
    monkeypatch.setenv("POSGUARD_ALERT_WINDOW", "46s")
    with pytest.raises(SettingsError, match="ALERT_WINDOW"):
        load_settings()
    monkeypatch.setenv("POSGUARD_ALERT_WINDOW", "45s")
    monkeypatch.setenv("POSGUARD_HEARTBEAT_URL", "file:///hunter2")
    with pytest.raises(SettingsError, match="HEARTBEAT_URL") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
