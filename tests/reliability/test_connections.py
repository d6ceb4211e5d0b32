"""Connections to the database that break: before, in, and after a statement, the acknowledgement of a COMMIT included."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from posguard.errors import DatabaseUnavailableError
from posguard.postgres import pool
from posguard.postgres.pool import Database
from posguard.trading import Result, TradingCore
from tests.reliability.harness.proxy import Break, Point, PostgresProxy, Way, commits
from tests.reliability.harness.scene import Scene, brisk, lease_over, request

pytestmark = pytest.mark.postgres
WIDTH = 20
UNKNOWN = {Result.PENDING, Result.REFUSED}


@pytest.fixture
async def proxy(core_dsn):
    parts = urlsplit(core_dsn.get_secret_value())
    async with PostgresProxy(parts.hostname, parts.port) as found:
        found.dsn = SecretStr(parts._replace(netloc=f"{parts.username}@127.0.0.1:{found.port}").geturl())
        yield found


def breaks(chance, proxy):
    """A fault for each symbol, anywhere in what a batch sends; a third of them at a COMMIT."""
    for _ in range(WIDTH):
        point, way = chance.choice(list(Point)), chance.choice(list(Way))
        if chance.random() < 0.34:
            proxy.arm(Break(point, way, commits, skip=chance.randrange(WIDTH), stall=0.05))
        else:
            proxy.arm(Break(point, way, skip=chance.randrange(WIDTH * 8), stall=0.05))


async def insist(core, symbol, key):
    """What a bot does: asks again with the same key while nothing is known."""
    for _ in range(5):
        opened = await core.open(request(symbol, key))
        if opened.result not in UNKNOWN:
            break
    return opened


async def act(core, chance, symbol, number):
    """Something done to a position; a database that stays away is told, and nothing else is raised."""
    try:
        match chance.randrange(4):
            case 0:
                return await core.close(number, "a test")
            case 1:
                return await core.rollback(number, "a test")
            case 2:
                return await core.move_stop(number, Decimal("0.97"))
            case _:
                return await core.recover()
    except DatabaseUnavailableError:
        return None


@pytest.mark.timeout(900)
async def test_whatever_breaks_there_is_one_row_for_each_key(core_dsn, proxy, long, seed, figure):
    chance, settings = random.Random(seed), brisk()
    hit = rounds = 0
    bad = []
    while hit < (1100 if long else 60):
        rounds += 1
        scene = Scene.of(core_dsn.get_secret_value(), WIDTH)
        async with (
            await Database.open(proxy.dsn, size=8) as broken,
            await Database.open(core_dsn, size=4) as whole,
        ):
            core = TradingCore(broken, [scene.venue()], settings)
            breaks(chance, proxy)
            keys = {symbol: f"round{rounds}-{symbol}" for symbol in scene.symbols}
            opened = await asyncio.gather(*(insist(core, *item) for item in keys.items()))
            standing = [
                (symbol, one.position_id)
                for symbol, one in zip(scene.symbols, opened, strict=True)
                if one.result is Result.ACTIVE and chance.random() < 0.5
            ]
            await asyncio.gather(*(act(core, chance, *each) for each in standing))
            await core.finish()
            hit += WIDTH - len(proxy.armed)
            proxy.disarm()
            await lease_over(settings)
            after = TradingCore(whole, [scene.venue()], settings, owner="the next one")
            await after.recover()
            await after.synchronise()
            again = await asyncio.gather(*(after.open(request(s, key)) for s, key in keys.items()))
        bad += [each for each in again if each.result in UNKNOWN or each.needs_attention]
        bad += scene.broken(entries=1)
        found = scene.rows("SELECT request_key, count(*) AS n FROM monitoring.positions GROUP BY 1")
        bad += [each for each in found if each["n"] != 1 or each["request_key"] not in keys.values()]
        bad += [keys[s] for s in set(scene.symbols) - {r["request_key"].split("-")[1] for r in found}]
        scene.forget()
    figure("connections broken, one row for each key", hit, len(bad), f"{rounds * WIDTH} opens")
    assert not bad, "\n".join(map(str, bad))


async def test_a_database_that_never_answers_is_not_waited_for(core_dsn, proxy, monkeypatch):
    monkeypatch.setattr(pool, "_GRACE", 0.2)
    scene = Scene.of(core_dsn.get_secret_value(), 1)
    async with await Database.open(proxy.dsn, size=2, timeout=0.3) as broken:
        core = TradingCore(broken, [scene.venue()], brisk())
        proxy.arm(Break(Point.SENT, Way.STALL, stall=3600))
        opened = await asyncio.wait_for(core.open(request("TESTUSDT", "k")), 20)
        assert opened.result in UNKNOWN
        again = await asyncio.wait_for(core.open(request("TESTUSDT", "k")), 20)
        assert again.result in {Result.ACTIVE, *UNKNOWN}
    assert len(scene.rows("SELECT FROM monitoring.positions")) == 1
