"""Nothing waits for ever: a rolled-back attempt makes room, a dead owner's open is taken over, a held lock is given up."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import asyncpg
import pytest

from posguard.errors import DatabaseUnavailableError
from posguard.model.position import PositionKey, PositionSide
from posguard.postgres import managed
from posguard.postgres.pool import Database
from posguard.trading import Result, TradingCore
from tests.reliability.conftest import some
from tests.reliability.harness.scene import brisk, over, request
from tests.reliability.harness.wave import stage

pytestmark = pytest.mark.postgres
SYMBOL = "TESTUSDT"
KEY = PositionKey("binance", "main", SYMBOL, PositionSide.BOTH)


@pytest.fixture
async def stand(core_dsn, seed):
    async with stage(core_dsn.get_secret_value(), 8, seed) as found:
        yield found


def row(stand):
    return stand.scene.rows("SELECT * FROM monitoring.positions ORDER BY id DESC LIMIT 1")[0]


async def test_after_a_roll_back_a_new_attempt_opens(stand):
    venue = stand.scene.venue()
    venue.slumps[SYMBOL] = Decimal("0.9")
    core = TradingCore(stand.database, [venue], stand.settings)
    first = await core.open(request(SYMBOL, "first"))
    assert first.result is Result.ROLLED_BACK, first
    second = await core.open(request(SYMBOL, "second", price=Decimal("0.9")))
    assert second.result is Result.ACTIVE, second
    assert not stand.scene.broken()


@pytest.mark.parametrize(
    "where", some(["after insert", "after send entry", "after entry_placed", "after send stop"], 1)
)
async def test_an_open_whose_owner_died_is_taken_over_after_lease_and_t_and_not_before(stand, where, figure):
    number = await stand.abandon(SYMBOL, where)
    died, before = time.monotonic(), row(stand)
    next_one = stand.core(owner="the next one")
    assert await next_one.recover() == await stand.core().recover(), "nobody may claim it yet"
    assert (row(stand)["fencing"], row(stand)["status"]) == (before["fencing"], before["status"])
    at_work = asyncio.create_task(
        TradingCore(
            stand.database,
            [stand.scene.venue()],
            brisk(recover_every=timedelta(seconds=0.1)),
            owner="the one after",
        ).run()
    )
    async with asyncio.timeout(30):
        while row(stand)["lease_owner"] is not None or row(stand)["fencing"] == before["fencing"]:  # noqa: ASYNC110 - a row tells no event
            await asyncio.sleep(0.02)
    took = time.monotonic() - died
    at_work.cancel()
    with suppress(asyncio.CancelledError):
        await at_work
    assert row(stand)["id"] == number
    assert row(stand)["status"] == ("failed" if where == "after insert" else "active")
    bad = [*stand.scene.broken(), *stand.scene.gaps_tell()]
    lease = over(stand.settings)
    figure(f"owner died {where}", 1, len(bad), f"taken over after {took:.2f} s, lease and T {lease:.2f} s")
    assert not bad, "\n".join(map(str, bad))


async def test_a_lock_that_somebody_holds_is_given_up_and_the_key_is_free_afterwards(stand, core_dsn):
    async with await Database.open(core_dsn, size=2, timeout=0.3) as database:
        core = TradingCore(database, [stand.scene.venue()], stand.settings)
        link = await asyncpg.connect(core_dsn.get_secret_value())
        async with link.transaction():
            await managed.take_lock(link, KEY)
            opened = await asyncio.wait_for(core.open(request(SYMBOL, "k")), 30)
            assert opened.result is Result.REFUSED, opened
        assert (await core.open(request(SYMBOL, "k"))).result is Result.ACTIVE
        number = row(stand)["id"]
        async with link.transaction():
            await link.execute("SELECT FROM monitoring.positions FOR UPDATE")
            with pytest.raises(DatabaseUnavailableError):
                await asyncio.wait_for(core.close(number, "a test"), 30)
        assert (await core.close(number, "a test")).result is Result.CLOSED
        await link.close()
    assert not stand.scene.broken()


async def test_a_venue_that_never_answers_is_not_asked_for_ever(stand):
    """Its look-ups fail for as long as the core is patient; the row is left flagged, and the next pass settles it."""
    venue = stand.scene.venue()

    async def silent(*_args, **_named):
        raise TimeoutError

    venue.find = silent
    venue.place_entry = silent
    core = TradingCore(stand.database, [venue], stand.settings)
    opened = await asyncio.wait_for(core.open(request(SYMBOL, "k")), 30)
    assert (opened.result, opened.needs_attention) == (Result.UNRESOLVED, True), opened
    assert stand.scene.rows("SELECT FROM posguard.alert_outbox")
    assert not await stand.recovered()
    assert row(stand)["status"] == "failed"
