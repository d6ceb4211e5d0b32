"""Behind pgbouncer in transaction mode everything works, whatever the database's own default for isolation is."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from pydantic import SecretStr

from posguard.postgres.pool import Database
from posguard.trading import Result
from tests.conftest import run_script
from tests.reliability.harness import pgbouncer
from tests.reliability.harness.scene import Scene, request
from tests.reliability.harness.wave import Waves

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="pgbouncer is not installed"),
]
WIDTH = 24


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_every_call_works_behind_a_pooler(core_dsn, seed, isolation, figure):
    name = core_dsn.get_secret_value().rpartition("/")[2]
    run_script(
        core_dsn.get_secret_value(),
        f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{isolation}'",
    )
    scene = Scene.of(core_dsn.get_secret_value(), WIDTH + 8)
    symbols, others = scene.symbols[:WIDTH], scene.symbols[WIDTH:]
    with pgbouncer.pooler(core_dsn.get_secret_value(), servers=3) as dsn:
        async with await Database.open(SecretStr(dsn), size=12) as database:
            stand = Waves(scene, None, database, seed)
            core = stand.core()
            # two for each key at the same time: the lock, the check and the index are put to use
            opened = await asyncio.gather(*(core.open(request(s)) for s in symbols for _ in range(2)))
            ids = [one.position_id for one in opened if one.result is Result.ACTIVE]
            assert len(ids) == WIDTH, opened
            assert [one.result for one in opened].count(Result.EXISTING) == WIDTH
            moved = await asyncio.gather(*(core.move_stop(each, Decimal("0.97")) for each in ids[::3]))
            assert {one.stop_price for one in moved} == {Decimal("0.97")}
            closed = await asyncio.gather(*(core.close(each, "a test") for each in ids[1::3]))
            assert {one.result for one in closed} == {Result.CLOSED}
            for number, symbol in enumerate(others):
                await stand.prepare("synchronise" if number % 2 else "recover", symbol)
            bad = await stand.recovered()
    figure(f"calls behind pgbouncer, default {isolation}", 2 * WIDTH + len(moved) + len(closed), len(bad))
    assert not bad, "\n".join(map(str, bad))
