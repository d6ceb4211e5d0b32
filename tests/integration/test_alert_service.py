"""The deadline of reconciliations, and `posguard alerts` as a program and as a service that goes on."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from datetime import timedelta

import pytest

from posguard.alerts.deliver import check_deadline, keep_sending
from posguard.errors import DatabaseUnavailableError
from posguard.reconcile.run import record_pass
from tests.fixtures.alerting import (
    HOUR,
    OFF,
    due,
    hook_route,
    kinds,
    messages,
    no_second_tries,
    program,
    sql,
)
from tests.fixtures.receivers import running_webhook
from tests.integration.test_alert_outbox import one, put
from tests.integration.test_stores import AT, db, passed
from tests.program import PROGRAM, environment, posguard

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("no_second_tries")]
assert db  # a fixture
assert no_second_tries  # a fixture


# The deadline


async def test_a_reconciliation_that_is_overdue_is_told_once_and_its_return_once(db):
    limit = timedelta(hours=2, minutes=10)
    assert not await check_deadline(db, limit)  # the watch has only begun
    await sql(db, "UPDATE posguard.alert_watch SET since = since - interval '3h'")
    assert await check_deadline(db, limit)
    await record_pass(db, passed(AT, conclusive=False), source="cli")
    assert await check_deadline(db, limit)
    assert not await check_deadline(db, OFF)
    overdue = ("reconciliation_overdue", "raised")
    assert await kinds(db) == [overdue, ("run_inconclusive", "raised")]
    now = (await sql(db, "SELECT now()"))[0][0]
    await record_pass(db, passed(now), source="cli")
    assert not await check_deadline(db, limit)
    assert sorted(await kinds(db)) == sorted([
        overdue, ("run_inconclusive", "raised"),
        ("reconciliation_overdue", "resolved"), ("run_inconclusive", "resolved")])  # fmt: skip
    await sql(db, "UPDATE posguard.runs SET finished_at = finished_at - interval '3h'")
    assert await check_deadline(db, limit)


async def test_filtered_runs_do_not_keep_the_deadline(db):
    from posguard.model.scope import Scope

    now = (await sql(db, "SELECT now()"))[0][0]
    await sql(db, "UPDATE posguard.alert_watch SET since = since - interval '3h'")
    await record_pass(db, passed(now, scope=Scope("binance")), source="cli")
    assert await check_deadline(db, HOUR)


# The program


async def test_the_program_shows_sends_and_lists_and_no_secret_is_anywhere(db, bot_dsn, webhook, tmp_path):
    webhook.status = 404
    routes = [
        {"name": "hook", "kind": "webhook", "url": f"{webhook.url}/T0/hunter2", "token": "hunter2"},
        {"name": "mail", "kind": "email", "url": "smtp://ann:hunter2@127.0.0.1:9", "sender": "hunter2@a.example", "to": ["hunter2@b.example"]},
    ]  # fmt: skip
    await put(db, one(1), one(2))

    async def run(*words):
        done = await asyncio.to_thread(program, tmp_path, bot_dsn, routes, *words)
        assert "hunter2" not in done.out + done.err
        return done

    plan = await run("send", "--dry-run", "--json")
    assert (plan.code, plan.json["waiting"], webhook.got) == (0, 2, [])
    assert [one["place"] for one in plan.json["messages"]] == [
        "http://127.0.0.1", "smtp://127.0.0.1, recipients: 1"]  # fmt: skip
    assert await messages(db) == []
    failed = await run("send", "--json")
    assert failed.code == 3
    assert [one["sent"] for one in failed.json["messages"]] == [False, False]
    assert {one["key"] for one in plan.json["messages"]} == {one["key"] for one in failed.json["messages"]}
    webhook.status = 200
    await due(db)
    partly = await run("send")
    assert partly.code == 5
    assert "sent hook" in partly.out
    assert len(set(webhook.keys)) == 1
    listed = await run("list")
    assert "the connection was refused" in listed.out
    assert "1 messages are not sent, 1 of them failed at least once" in listed.out
    tables = await sql(
        db, "SELECT format('posguard.%I', tablename) AS name FROM pg_tables WHERE schemaname = 'posguard'"
    )
    for table in tables:
        assert "hunter2" not in str(await sql(db, f"SELECT t::text FROM {table['name']} AS t")), table["name"]


async def test_the_program_says_that_no_route_is_set(bot_dsn, tmp_path):
    done = posguard("alerts", "send", folder=tmp_path, POSGUARD_DSN=bot_dsn.get_secret_value())
    done.fails_with(3, "No route is set", "POSGUARD_ALERT_ROUTES")


async def test_a_route_is_tried_with_a_made_up_message(webhook):
    from posguard.alerts.trial import try_routes

    async with running_webhook() as down:
        down.status = 500
        good, bad = await try_routes([hook_route(webhook, "good"), hook_route(down, "bad")])
    assert (good.sent, bad.error) == (True, "it answered 500")
    assert webhook.bodies[0]["alerts"][0]["kind"] == "test"


async def test_the_service_sends_soon_and_ends_well(db, bot_dsn, webhook, tmp_path):
    routes = json.dumps([{"name": "hook", "kind": "webhook", "url": webhook.url}])
    given = environment(
        POSGUARD_DSN=bot_dsn.get_secret_value(), POSGUARD_ALERT_ROUTES=routes, POSGUARD_ALERT_WINDOW="0s"
    )
    await put(db, one())
    service = await asyncio.create_subprocess_exec(
        PROGRAM, "alerts", "send", "--watch", cwd=tmp_path, env=given,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await asyncio.wait_for(webhook.arrived.wait(), 60)
    assert re.match(rb"Sending alerts by hook \(webhook\)", await service.stdout.readline())
    assert b" sent hook: " in await service.stdout.readline()
    service.send_signal(signal.SIGTERM)
    _, said = await service.communicate()
    assert service.returncode == 0
    assert b"Traceback" not in said


async def test_without_a_route_the_service_minds_the_deadline_alone(bot_dsn, db, tmp_path):
    await sql(db, "UPDATE posguard.alert_watch SET since = since - interval '3h'")
    given = environment(POSGUARD_DSN=bot_dsn.get_secret_value())
    service = await asyncio.create_subprocess_exec(
        PROGRAM, "alerts", "send", "--watch", cwd=tmp_path, env=given, stderr=asyncio.subprocess.PIPE
    )
    assert b"No route is set: alerts wait" in await asyncio.wait_for(service.stderr.readline(), 60)
    async with asyncio.timeout(60):
        while not await kinds(db):  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.05)
    service.send_signal(signal.SIGTERM)
    await service.communicate()
    assert service.returncode == 0
    assert await kinds(db) == [("reconciliation_overdue", "raised")]


async def test_the_service_outlives_a_database_that_does_not_answer(webhook):
    class Gone:
        def transaction(self):
            raise DatabaseUnavailableError("gone")

    said, passes = [], 0

    async def count(_):
        nonlocal passes
        passes += 1
        if passes == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_sending(
            Gone(),
            [hook_route(webhook)],
            deadline=HOUR,
            window=OFF,
            keep=timedelta(days=365),
            say=print,
            trouble=said.append,
            sleep=count,
        )
    assert said == ["gone"]
