"""Alerts by e-mail to a local SMTP server: by STARTTLS and login where they are wanted, and nothing secret in what is said."""

from __future__ import annotations

import ssl

import pytest

from tests.fixtures.alerting import (
    due,
    mail_route,
    messages,
    no_second_tries,
    send,
)
from tests.integration.test_alert_outbox import one, put
from tests.integration.test_stores import db

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("no_second_tries")]
assert db  # a fixture
assert no_second_tries  # a fixture


async def test_mail_goes_by_starttls_and_login_and_is_known_again_by_its_id(
    db, mail_server, monkeypatch, tmp_path
):
    import trustme

    authority = trustme.CA()
    mail_server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(mail_server.tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mail_server.login = "ann:hunter2"
    await put(db, one())
    routes = (mail_route(mail_server, user="ann:hunter2", query=""),)
    (stranger,) = await send(db, *routes)
    assert stranger.error == "its certificate or its TLS was refused"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    mail_server.says = b"451 busy, hunter2"
    for says, error in ((b"451 later", "it answered 451"), (b"250 ok", "")):
        mail_server.says = says
        await due(db)
        (tried,) = await send(db, *routes)
        assert tried.error == error
    ids = [mail["Message-ID"] for mail in mail_server.got]
    assert ids == [f"<{tried.message.key}@desk.example>"] * 2
    assert mail_server.secured == 2


@pytest.mark.parametrize(
    ("setup", "error"),
    [
        ({"login": "ann:right"}, "the login was refused (535)"),
        ({"refuses": frozenset({"ann@desk.example", "bob@desk.example"})}, "every recipient was refused"),
        ({"says": b"554 no"}, "it answered 554"),
    ],
    ids=["login", "recipients", "message"],
)
async def test_what_a_mail_server_refuses_is_said_without_its_words(db, mail_server, setup, error):
    for name, value in setup.items():
        setattr(mail_server, name, value)
    await put(db, one())
    user = "ann:hunter2" if mail_server.login else ""
    (tried,) = await send(db, mail_route(mail_server, user=user))
    assert tried.error == error


async def test_a_server_without_starttls_gets_neither_login_nor_message(db, mail_server):
    await put(db, one())
    (tried,) = await send(db, mail_route(mail_server, user="ann:hunter2", query=""))
    assert tried.error == "it does not offer what is needed (STARTTLS, or a login)"
    assert mail_server.got == []


async def test_one_refused_recipient_is_said_and_the_others_get_it_once(db, mail_server):
    mail_server.refuses = frozenset({"bob@desk.example"})
    await put(db, one())
    (tried,) = await send(db, mail_route(mail_server))
    assert (tried.sent, tried.note) == (True, "1 of 2 recipients were refused")
    await due(db)
    assert await send(db, mail_route(mail_server)) == []
    assert mail_server.to == [["ann@desk.example"]]
    assert (await messages(db))[0]["last_error"] == tried.note
