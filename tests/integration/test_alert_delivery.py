"""Alerts to a local webhook: grouped, once, retried under the same key, by whoever holds the lease."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from posguard.alert_route import AlertRoute
from posguard.alerts import channels
from posguard.alerts.deliver import PACE, check_deadline, deliver, put_together, send_all
from posguard.model.finding import Severity
from posguard.postgres import alerts as outbox
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from tests.conftest import run_script
from tests.fixtures.alerting import (
    HOUR,
    due,
    hook_route,
    mail_route,
    messages,
    no_second_tries,
    send,
    sql,
)
from tests.fixtures.receivers import reserved_port, running_webhook
from tests.integration.test_alert_outbox import one, put
from tests.integration.test_stores import AT, ORPHAN, db, passed, record
from tests.program import PROGRAM, environment

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("no_second_tries")]
assert db  # a fixture
assert no_second_tries  # a fixture


# Grouped, once


async def test_a_storm_of_500_findings_is_one_message_by_each_route(db, webhook, mail_server):
    storm = [replace(ORPHAN, symbol=f"S{n}USDT", subject=str(n), row_ids=(n,)) for n in range(500)]
    slack = AlertRoute(name="slack", kind="slack", url=f"{webhook.url}/slack")
    routes = (hook_route(webhook), slack, mail_route(mail_server))
    await record(db, passed(AT, *storm))
    assert len(await send(db, *routes)) == 3
    for hours in (1, 2):
        await record(db, passed(AT + hours * HOUR, *storm))
        assert await send(db, *routes) == []
    assert len(webhook.got) == 2
    assert len(mail_server.got) == 1
    document = next(body for body in webhook.bodies if "counts" in body)
    assert (document["counts"], len(document["alerts"]), document["left_out"]) == (
        {"critical": 500},
        200,
        300,
    )
    text = next(body["text"] for body in webhook.bodies if "text" in body)
    assert "500 critical" in text
    assert "… and 495 more" in text
    (mail,) = mail_server.got
    assert mail["Subject"] == "posguard: 500 critical"
    assert mail_server.to == [["ann@desk.example", "bob@desk.example"]]
    assert (await sql(db, "SELECT count(*) FROM posguard.alert_outbox WHERE sent_at IS NULL"))[0][0] == 0


async def test_reopened_is_one_message_and_resolved_is_one(db, webhook):
    route = hook_route(webhook)
    seen = [(ORPHAN,), (ORPHAN,), (), (), (), (ORPHAN,), (ORPHAN,)]
    for hours, findings in enumerate(seen):
        await record(db, passed(AT + hours * HOUR, *findings))
        await send(db, route)
    assert [body["alerts"][0]["event"] for body in webhook.bodies] == ["raised", "resolved", "raised"]
    assert len({body["alerts"][0]["topic"] for body in webhook.bodies}) == 1
    assert len(set(webhook.keys)) == 3
    assert [body["key"] for body in webhook.bodies] == webhook.keys


async def test_what_came_and_went_between_two_passes_is_told_in_one_line(db, webhook):
    for hours, findings in enumerate([(ORPHAN,), (), ()]):
        await record(db, passed(AT + hours * HOUR, *findings))
    await send(db, hook_route(webhook))
    (body,) = webhook.bodies
    assert [alert["event"] for alert in body["alerts"]] == ["resolved"]


async def test_severity_and_owner_choose_the_route_and_the_end_goes_where_the_beginning_went(db, webhook):
    night = hook_route(webhook, "night", severities=("critical",))
    bot = hook_route(webhook, "bot", owners=("bot",))
    mild = replace(ORPHAN, severity=Severity.WARNING)
    for hours, findings in enumerate([(ORPHAN,), (mild,), (), ()]):
        await record(db, passed(AT + hours * HOUR, *findings))
        await send(db, night, bot)
    found = [(message["route"], message["subject"].split(":")[1].strip()) for message in await messages(db)]
    assert found == [("night", "critical"), ("night", "resolved")]


async def test_the_trading_cores_alerts_go_out_as_they_stand(db, webhook):
    from posguard.model.managed import Alert, AlertKind
    from posguard.postgres import managed

    async with db.transaction() as connection:
        for _ in range(2):
            await managed.tell(
                connection,
                Alert("core:7:x:1", "critical", AlertKind.NEEDS_ATTENTION, "Row 7 wants a look", 7),
            )
    await send(db, hook_route(webhook))
    (body,) = webhook.bodies
    (alert,) = body["alerts"]
    assert (alert["key"], alert["topic"], alert["position_id"]) == ("core:7:x:1", None, 7)
    assert alert["runbook"] == "needs-attention"


async def test_alerts_gather_for_the_window_and_no_route_leaves_them_waiting(db, webhook):
    await put(db, one(1), one(2))
    assert await put_together(db, ()) == ()
    assert await put_together(db, (hook_route(webhook),), window=HOUR) == ()
    await sql(
        db, "UPDATE posguard.alert_outbox SET created_at = created_at - interval '2h' WHERE topic = 't1'"
    )
    (draft,) = await put_together(db, (hook_route(webhook),), window=HOUR)
    assert len(draft.alert_ids) == 2


# Retried


@pytest.fixture
def port_of_ours():
    with reserved_port() as port:
        yield port


@pytest.mark.parametrize("fault", ["500", "time-out", "refused"])
async def test_a_receiver_that_is_down_gets_it_later_under_the_same_key(db, port_of_ours, fault):
    async with running_webhook(port_of_ours) as hook:
        route = hook_route(hook)
        hook.status = 500
        hook.hold = asyncio.Event() if fault == "time-out" else None
        await put(db, one())
        if fault != "refused":
            (tried,) = await deliver_now(db, route, patience=0.3 if hook.hold else 30)
            assert tried.error == {"500": "it answered 500", "time-out": "no answer in 0.3 s"}[fault]
    if fault == "refused":
        (tried,) = await deliver_now(db, route)
        assert tried.error == "the connection was refused"
    (stored,) = await messages(db)
    assert (stored["attempts"], stored["sent_at"], stored["last_error"]) == (1, None, tried.error)
    assert timedelta(seconds=1) < stored["next_try"] - stored["created_at"] < timedelta(seconds=30)
    assert await deliver_now(db, route) == []  # not due yet
    await due(db)
    async with running_webhook(port_of_ours) as up:
        (again,) = await deliver_now(db, route)
        assert again.sent
        assert up.keys == [stored["key"]] == [up.bodies[0]["key"]]
        assert set(hook.keys) <= set(up.keys)
        await due(db)
        assert await deliver_now(db, route) == []


async def deliver_now(db, *routes, owner="me", patience=30):
    async def quick(route, message, told):
        return await channels.send(route, message, told, patience=patience)

    await put_together(db, routes)
    return await deliver(db, routes, owner=owner, send=quick)


async def test_a_route_gets_its_messages_in_order_and_what_is_late_says_so(db, webhook):
    route = hook_route(webhook)
    webhook.status = 500
    for hours, findings in enumerate([(ORPHAN,), (), (), (ORPHAN,), (ORPHAN,)]):
        await record(db, passed(AT + hours * HOUR, *findings))
        await send(db, route)
    assert len(await messages(db)) == 3
    assert len(webhook.got) == 1  # the others wait for the first
    for _ in range(outbox.PATIENCE - 1):
        await due(db)
        await send(db, route)
    await sql(
        db, "UPDATE posguard.alert_messages SET attempts = 4, next_try = now() + interval '1h' WHERE id < 3"
    )
    webhook.status = 200
    webhook.got.clear()
    assert len(await send(db, route)) == 1  # past the two that have failed so often
    await due(db)
    await send(db, route)
    told = [(body["alerts"][0]["event"], body["alerts"][0]["since_then"]) for body in webhook.bodies]
    assert told == [("raised", None), ("raised", "raised"), ("resolved", "raised")]


async def test_a_receiver_that_asks_for_a_pause_gets_it_and_holds_no_other_up(db, webhook):
    async with running_webhook() as busy:
        busy.status, busy.headers = 429, {"Retry-After": "300"}
        await put(db, one())
        tried = await send(db, hook_route(busy, "busy"), hook_route(webhook))
    assert {one.message.route: one.sent for one in tried} == {"busy": False, "hook": True}
    (waits,) = [m for m in await messages(db) if m["route"] == "busy"]
    assert waits["next_try"] - waits["created_at"] > timedelta(seconds=290)


async def test_a_redirect_is_not_followed(db, webhook):
    async with running_webhook() as elsewhere:
        webhook.status, webhook.headers = 307, {"Location": elsewhere.url}
        await put(db, one())
        (tried,) = await send(db, hook_route(webhook, token="hunter2"))
        assert tried.error == "it answered 307"
        assert elsewhere.got == []


async def test_a_bug_in_one_message_is_kept_with_it_and_stops_no_other(db, webhook):
    async def breaks(route, message, told):
        if route.name == "bad":
            raise KeyError("hunter2")
        return await channels.send(route, message, told)

    await put(db, one())
    routes = (hook_route(webhook, "bad"), hook_route(webhook, "good"))
    await put_together(db, routes)
    tried = await deliver(db, routes, owner="me", send=breaks)
    assert sorted((one.message.route, one.sent) for one in tried) == [("bad", False), ("good", True)]
    assert "hunter2" not in str(await messages(db))


async def test_a_sender_killed_between_sending_and_marking_sends_again_under_the_same_key(
    db, bot_dsn, webhook, tmp_path
):
    await put(db, one())
    webhook.hold = asyncio.Event()
    routes = json.dumps([{"name": "hook", "kind": "webhook", "url": webhook.url}])
    given = environment(POSGUARD_DSN=bot_dsn.get_secret_value(), POSGUARD_ALERT_ROUTES=routes)
    sender = await asyncio.create_subprocess_exec(PROGRAM, "alerts", "send", cwd=tmp_path, env=given)
    await asyncio.wait_for(webhook.arrived.wait(), 60)
    os.kill(sender.pid, signal.SIGKILL)
    assert await sender.wait() == -signal.SIGKILL
    webhook.hold = None
    (left,) = await sql(db, "SELECT lease_until - clock_timestamp() AS lease FROM posguard.alert_messages")
    assert left["lease"] + timedelta(seconds=PACE) < timedelta(seconds=40), (
        "goes out within a minute of the death"
    )
    assert await send(db, hook_route(webhook)) == []  # the lease of the dead one still stands
    await due(db)
    (again,) = await send(db, hook_route(webhook))
    assert again.sent
    assert len(webhook.keys) == 2
    assert len(set(webhook.keys)) == 1
    assert webhook.bodies[0] == webhook.bodies[1]


async def test_a_sender_that_lives_keeps_its_lease_however_long_a_receiver_takes(db, webhook):
    webhook.hold = asyncio.Event()
    route = hook_route(webhook)
    await put(db, one())
    await put_together(db, (route,))
    lease = timedelta(seconds=3)
    sending = asyncio.create_task(deliver(db, [route], owner="slow", lease=lease))
    await webhook.arrived.wait()
    (claimed,) = await messages(db)
    async with asyncio.timeout(60):
        while (await messages(db))[0]["lease_until"] < claimed["lease_until"] + lease:
            assert await deliver(db, [route], owner="quick") == []
            await asyncio.sleep(0.1)
    webhook.hold.set()
    (tried,) = await sending
    assert tried.sent
    assert len(webhook.keys) == 1


async def test_who_lost_the_lease_marks_nothing(db, webhook):
    await put(db, one())
    await put_together(db, (hook_route(webhook),))
    async with db.transaction() as connection:
        (mine,) = await outbox.claim(connection, ["hook"], owner="slow", lease=timedelta(), limit=1)
        (theirs,) = await outbox.claim(connection, ["hook"], owner="quick", lease=HOUR, limit=1)
        assert mine.key == theirs.key
        assert not await outbox.mark_sent(connection, mine.id, owner="slow")
        await outbox.mark_failed(connection, mine.id, owner="slow", error="x", delay=HOUR)
        assert await outbox.mark_sent(connection, theirs.id, owner="quick")
    (stored,) = await messages(db)
    assert (stored["last_error"], stored["lease_owner"]) == ("", None)


async def test_two_senders_at_once_send_each_message_once(db, bot_dsn, webhook):
    routes = [hook_route(webhook, f"r{n}") for n in range(30)]
    await put(db, *(one(n) for n in range(20)))
    async with await Database.open(bot_dsn) as other:
        both = await asyncio.gather(send(db, *routes), send(other, *routes))
    assert sorted(one.message.route for tried in both for one in tried) == sorted(r.name for r in routes)
    assert len(webhook.keys) == len(set(webhook.keys)) == 30


async def test_the_monitors_role_may_send(bot_dsn, server_dsn, db, webhook):
    prefix = f"r{uuid.uuid4().hex[:8]}"
    run_script(bot_dsn.get_secret_value(), roles_sql("monitor", prefix=prefix))
    run_script(server_dsn, f"ALTER ROLE {prefix}_monitor PASSWORD 'pw'")
    address = re.sub(r"//[^@/]*@", f"//{prefix}_monitor:pw@", bot_dsn.get_secret_value())
    try:
        async with await Database.open(address) as monitor:
            await put(monitor, one())
            assert await check_deadline(monitor, HOUR) is False
            (tried,) = await send_all(monitor, [hook_route(webhook)], deadline=HOUR)
            assert tried.sent
    finally:
        run_script(bot_dsn.get_secret_value(), f"DROP OWNED BY {prefix}_monitor")
        run_script(server_dsn, f"DROP ROLE {prefix}_monitor")
