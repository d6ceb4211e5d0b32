"""Messages whose route is gone are told, moved or given up; what was sent long ago is forgotten, and nothing else."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from posguard.alerts.deliver import put_together
from posguard.alerts.minding import check_routes, forget
from posguard.model.alert import AlertEvent
from posguard.model.finding import Severity
from posguard.postgres import alerts as outbox
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from tests.conftest import run_script
from tests.fixtures.alerting import hook_route, kinds, messages, program, send, sql
from tests.integration.test_alert_outbox import one, put
from tests.integration.test_stores import db

pytestmark = pytest.mark.postgres
assert db  # a fixture

YEAR = timedelta(days=365)
RESOLVED = AlertEvent.RESOLVED


async def older(db, age):
    """As if all of it were so much older."""
    await sql(
        db,
        "UPDATE posguard.alert_messages SET created_at = created_at - $1::interval, sent_at = sent_at - $1::interval",
        age,
    )
    await sql(
        db,
        "UPDATE posguard.alert_outbox SET created_at = created_at - $1::interval, sent_at = sent_at - $1::interval",
        age,
    )


async def stranded(db, webhook):
    """A message for the route `gone`, twenty minutes old."""
    await put(db, one(1))
    await put_together(db, [hook_route(webhook, "gone")])
    await older(db, timedelta(minutes=20))


async def of_routes(db):
    return [kind for kind in await kinds(db) if kind[0] == "alert_route_gone"]


async def test_messages_of_a_route_that_is_gone_are_told_once_by_the_others_and_their_end_once(db, webhook):
    await put(db, one(1))
    await put_together(db, [hook_route(webhook, "gone")])
    assert await send(db, hook_route(webhook)) == []
    assert await of_routes(db) == [], "another sender may still be about to send it"
    await older(db, timedelta(minutes=20))
    for _ in range(2):
        await send(db, hook_route(webhook))
    assert await of_routes(db) == [("alert_route_gone", "raised")]
    (alert,) = webhook.bodies[0]["alerts"]
    assert alert["text"].startswith("1 messages wait for the route gone, which is not set, since ")
    assert (alert["severity"], alert["runbook"]) == ("warning", "alert-route-gone")
    await check_routes(db, [hook_route(webhook, "gone")])
    assert await of_routes(db) == [("alert_route_gone", "raised")], "who knows it has not sent it yet"
    await send(db, hook_route(webhook), hook_route(webhook, "gone"))
    await send(db, hook_route(webhook))
    assert await of_routes(db) == [("alert_route_gone", "raised"), ("alert_route_gone", "resolved")]


async def test_a_message_is_moved_to_another_route_under_its_key(db, webhook):
    await stranded(db, webhook)
    (before,) = await messages(db)
    async with db.transaction() as connection:
        await sql(
            db,
            "UPDATE posguard.alert_messages SET attempts = 3, lease_owner = 'x', lease_until = now() + interval '1h'",
        )
        assert await outbox.reroute(connection, "gone", "hook") == [], "somebody is sending it"
    await sql(
        db,
        "UPDATE posguard.alert_messages SET lease_owner = NULL, lease_until = NULL, next_try = now() + interval '1h'",
    )
    async with db.transaction() as connection:
        (moved,) = await outbox.reroute(connection, "gone", "hook")
    assert (moved.key, moved.route, moved.attempts) == (before["key"], "hook", 0)
    (tried,) = await send(db, hook_route(webhook))
    assert (tried.sent, webhook.keys) == (True, [before["key"]])


async def test_what_was_given_up_is_on_record_goes_nowhere_and_holds_nothing_up(db, webhook):
    await put(db, one(1))
    await put_together(db, [hook_route(webhook, "gone"), hook_route(webhook)])
    async with db.transaction() as connection:
        (given,) = await outbox.give_up(connection, "gone", "ann")
        assert await outbox.give_up(connection, "gone", "bob") == []
        assert not await outbox.mark_sent(connection, given.id, owner="x")
    both = (hook_route(webhook), hook_route(webhook, "gone"))
    assert [tried.message.route for tried in await send(db, *both)] == ["hook"]
    await put(db, one(2))
    assert sorted(tried.message.route for tried in await send(db, *both)) == ["gone", "hook"], (
        "the next one goes past it"
    )
    (kept,) = [m for m in await messages(db) if m["given_up_by"]]
    assert (kept["given_up_by"], kept["sent_at"]) == ("ann", None)
    assert await sql(db, "SELECT FROM posguard.alert_outbox WHERE sent_at IS NULL") == []
    async with db.snapshot() as connection:
        assert (await outbox.totals(connection)).unsent == 0


async def test_an_alert_is_sent_where_its_last_waiting_message_was_given_up(db, webhook):
    await put(db, one(1), one(2))
    gone = hook_route(webhook, "gone")
    await put_together(db, [gone, hook_route(webhook)])
    await send(db, hook_route(webhook))
    assert len(await sql(db, "SELECT FROM posguard.alert_outbox WHERE sent_at IS NULL")) == 2
    async with db.transaction() as connection:
        await outbox.give_up(connection, "gone", "ann")
    assert await sql(db, "SELECT FROM posguard.alert_outbox WHERE sent_at IS NULL") == []


async def left(db):
    found = await sql(db, "SELECT coalesce(topic, key) AS what, event FROM posguard.alert_outbox ORDER BY id")
    return [(row["what"], row["event"]) for row in found]


async def test_only_what_was_sent_long_ago_and_stands_no_more_is_forgotten(db, webhook):
    hook, night = hook_route(webhook), hook_route(webhook, "night", severities=("critical",))
    await put(db, one(1), one(2), one(3))
    await send(db, hook)
    await put(db, one(1, RESOLVED), one(3, RESOLVED))
    await send(db, hook)
    await put(db, one(3))  # t3 stands again
    await put(db, replace(one(4), severity=Severity.CRITICAL))
    await put(db, one(4, RESOLVED))
    await put_together(db, [night])  # what waits for its route
    await put(db, replace(one(5), severity=Severity.INFO))
    await send(db, hook)  # taken by no route
    await sql(
        db,
        "INSERT INTO posguard.alert_outbox (key, severity, kind, text) VALUES ('core:1', 'critical', 'needs_attention', 'x')",
    )
    await send(db, hook)
    everything = await left(db)
    assert await forget(db, YEAR) == ""
    assert await left(db) == everything, "nothing is old"
    await older(db, YEAR + timedelta(days=1))
    await forget(db, YEAR)
    gone = [("t1", "raised"), ("t1", "resolved"), ("core:1", "raised")]
    assert await left(db) == [what for what in everything if what not in gone]
    assert len(await sql(db, "SELECT FROM posguard.alert_messages WHERE sent_at IS NULL")) == 1
    unsent = await sql(
        db,
        "SELECT FROM posguard.alert_messages AS m WHERE NOT EXISTS (SELECT FROM posguard.alert_message_items WHERE message_id = m.id)",
    )
    assert unsent == []
    webhook.got.clear()
    await put(db, one(1))  # again, under the key that the outbox had before
    (tried,) = await send(db, hook)
    assert tried.sent


async def test_a_role_that_may_not_delete_is_told_and_the_monitors_may(bot_dsn, server_dsn, db, webhook):
    await put(db, one(1))
    await send(db, hook_route(webhook))
    await put(db, one(1, RESOLVED))
    await send(db, hook_route(webhook))
    await older(db, YEAR + timedelta(days=1))
    prefix = f"r{uuid.uuid4().hex[:8]}"
    run_script(bot_dsn.get_secret_value(), roles_sql("monitor", prefix=prefix))
    run_script(server_dsn, f"ALTER ROLE {prefix}_monitor PASSWORD 'pw'")
    address = re.sub(r"//[^@/]*@", f"//{prefix}_monitor:pw@", bot_dsn.get_secret_value())
    try:
        async with await Database.open(address) as monitor:
            await sql(db, f"REVOKE DELETE ON posguard.alert_outbox FROM {prefix}_monitor")
            assert "may not do this" in await forget(monitor, YEAR)
            assert len(await left(db)) == 2
            await sql(db, f"GRANT DELETE ON posguard.alert_outbox TO {prefix}_monitor")
            assert await forget(monitor, YEAR) == ""
            assert await left(db) == await messages(db) == []
    finally:
        run_script(bot_dsn.get_secret_value(), f"DROP OWNED BY {prefix}_monitor")
        run_script(server_dsn, f"DROP ROLE {prefix}_monitor")


async def test_the_program_lists_moves_and_gives_up(db, bot_dsn, webhook, tmp_path):
    routes = [{"name": "hook", "kind": "webhook", "url": webhook.url}]

    async def run(*words):
        return await asyncio.to_thread(program, tmp_path, bot_dsn, routes, *words)

    await stranded(db, webhook)
    listed = await run("list")
    assert "1 messages wait for the route gone, which is not set here" in listed.out
    assert "posguard alerts give-up gone" in listed.out
    assert (await run("list", "--json")).json["without_route"] == {"gone": 1}
    (await run("move", "gone", "--to", "nowhere", "--confirm")).fails_with(2, "The route nowhere is not set")
    dry = await run("move", "gone", "--to", "hook")
    assert "1 messages would be moved to hook" in dry.out
    assert [m["route"] for m in await messages(db)] == ["gone"]
    moved = await run("move", "gone", "--to", "hook", "--confirm", "--json")
    assert (moved.json["done"], moved.json["messages"][0]["route"]) == (True, "hook")
    assert "1 messages would be given up" in (await run("give-up", "hook")).out
    given = await run("give-up", "hook", "--by", "ann", "--confirm")
    assert "1 messages were given up." in given.out
    assert "given up by ann" in (await run("list", "--all")).out
    assert "Nothing was changed" in (await run("give-up", "hook", "--confirm")).out
