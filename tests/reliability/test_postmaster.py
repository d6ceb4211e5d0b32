"""The database server killed under load: what was acknowledged stands, what was not is done once or not at all."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from pydantic import SecretStr

from posguard.postgres import botupgrade, migrate
from posguard.postgres.pool import Database
from posguard.postgres.queries import script
from posguard.trading import Result, TradingCore
from tests.conftest import run_script
from tests.reliability.harness.postmaster import Postmaster
from tests.reliability.harness.scene import Scene, brisk, lease_over, request

pytestmark = pytest.mark.postgres
WIDTH = 16


@pytest.fixture
def postmaster():
    with Postmaster.start() as found:
        found.server.ensure_database("bot")
        found.dsn = SecretStr(found.server.dsn("bot"))
        run_script(found.server.dsn("bot"), script("bot_schema"))
        migrate.upgrade(found.dsn)
        # a loop of its own, whatever loop the test runs in
        thread = threading.Thread(target=lambda: asyncio.run(botupgrade.upgrade(found.dsn)))
        thread.start()
        thread.join()
        yield found


async def load(core, chance, symbol, key):
    """Opens until something is known, and may be closes again; what the caller was told."""
    await asyncio.sleep(chance.uniform(0, 0.1))
    opened = await core.open(request(symbol, key))
    if opened.result is Result.ACTIVE and chance.random() < 0.3:
        closed = await asyncio.gather(core.close(opened.position_id, "a test"), return_exceptions=True)
        return opened if isinstance(closed[0], Exception) else closed[0]
    return opened


@pytest.mark.timeout(1500)
async def test_killed_under_load(postmaster, long, seed, figure):
    chance, settings = random.Random(seed), brisk()
    told = rounds = 0
    assert postmaster.server.psql("bot", "SHOW fsync") == "on"
    bad = []
    for rounds in range(1, (102 if long else 1) + 1):
        scene = Scene.of(postmaster.dsn.get_secret_value(), WIDTH)
        keys = {symbol: f"round{rounds}-{symbol}" for symbol in scene.symbols}
        async with await Database.open(postmaster.dsn, size=8) as database:
            core = TradingCore(
                database, [scene.venue(lambda: asyncio.sleep(chance.uniform(0, 0.02)))], settings
            )
            at_work = [asyncio.create_task(load(core, chance, *item)) for item in keys.items()]
            await asyncio.sleep(chance.uniform(0.02, 0.25))
            await asyncio.to_thread(postmaster.crash)
            await asyncio.to_thread(postmaster.restart)
            answers = await asyncio.gather(*at_work)
            await core.finish()
            await lease_over(settings)
            after = TradingCore(database, [scene.venue()], settings, owner="the next one")
            await after.recover()
            await after.synchronise()
            again = await asyncio.gather(*(after.open(request(s, key)) for s, key in keys.items()))
        rows = {row["id"]: row["status"] for mine in scene.positions().values() for row in mine}
        for answer in answers:
            kept = {Result.ACTIVE: {"active", "closed"}, Result.CLOSED: {"closed"}}.get(answer.result)
            told += kept is not None
            if kept is not None and rows.get(answer.position_id) not in kept:
                bad.append(f"told {answer}, is {rows.get(answer.position_id)}")
        bad += [each for each in again if each.result in {Result.PENDING, Result.REFUSED}]
        bad += [*scene.broken(entries=1), *scene.gaps_tell()]
        found = scene.rows("SELECT request_key FROM monitoring.positions")
        bad += [key for key in keys.values() if sum(r["request_key"] == key for r in found) != 1]
        scene.forget()
    figure("SIGKILL of the postmaster under load", postmaster.crashes, len(bad), f"{told} answers kept")
    assert not bad, "\n".join(map(str, bad))
    assert postmaster.crashes == rounds
