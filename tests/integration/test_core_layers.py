"""Each of the three layers by itself, the others taken out; and what they rest on: locks, indexes, roles, poolers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from decimal import Decimal

import asyncpg
import pytest
import pytest_asyncio

from posguard.model.position import PositionKey, PositionSide
from posguard.postgres import managed
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from posguard.trading import Result, TradingCore
from tests.conftest import run_script
from tests.fixtures.core import desk_of, quick

pytestmark = pytest.mark.postgres
ONE = Decimal("0.01")
WAITING = """
    SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"""
KEY = PositionKey("binance", "main", "BTCUSDT", PositionSide.BOTH)


@pytest_asyncio.fixture
async def desk(sim, core_dsn):
    async with desk_of("binance", sim, core_dsn) as found:
        yield found


async def nothing(*_args, **_values):
    return None


async def nobody(*_args, **_values):
    return managed.Standing(None, None, engaged=False, switch_reason="")


async def test_layer_1_no_second_create_comes_to_its_insert_while_one_holds_the_key(desk):
    async with desk.database.transaction() as first:
        await managed.take_lock(first, KEY)
        second = asyncio.create_task(desk.core.open(desk.request(symbol="btc/usdt:usdt")))
        while not desk.rows(WAITING):  # noqa: ASYNC110 - the server tells no event of it
            await asyncio.sleep(0.01)
        other = await desk.core.open(
            desk.request(symbol="ETHUSDT", quantity=Decimal("0.1"), price=Decimal(2500))
        )
        assert other.result is Result.ACTIVE, "another key is not held up"
        assert len(desk.rows()) == 1
    assert (await second).result is Result.ACTIVE


@pytest.mark.parametrize(
    "status",
    [
        "pending_entry",
        "submitting",
        "entry_placed",
        "pending_sl",
        "active",
        "closing",
        "unresolved",
        "new",
        None,
    ],
)
@pytest.mark.parametrize("layer", ["check", "index"])
async def test_an_open_status_of_any_kind_holds_its_key(desk, monkeypatch, layer, status):
    """The check with the index dropped, and the index with the check taken out; an unknown status and NULL count as open."""
    desk.do(
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
        " VALUES ('BTC/USDT:USDT', ' Binance', 'long', 1, 60000, %s)",
        status,
    )
    if layer == "check":
        desk.do("DROP INDEX monitoring.posguard_one_open_position")
        monkeypatch.setattr(managed, "give_birth", nothing)
    else:
        real, calls = managed.standing, []

        async def late(
            *args,
        ):  # layer 1 sees nothing at the insert; the answer to the caller is asked afterwards
            calls.append(args)
            return await (nobody() if len(calls) == 1 else real(*args))

        monkeypatch.setattr(managed, "standing", late)
    opened = await desk.core.open(desk.request())
    assert (opened.result, opened.position_id) == (Result.EXISTING, 1)
    assert len(desk.rows()) == 1
    assert desk.orders() == []


async def test_layer_3_of_two_rows_of_one_key_one_becomes_active_and_the_other_rolls_back(desk, monkeypatch):
    desk.do("DROP INDEX monitoring.posguard_one_open_position")
    desk.do(
        """
        CREATE UNIQUE INDEX posguard_one_open_position ON monitoring.positions (
            lower(btrim(exchange) COLLATE "C"), account,
            upper(translate(split_part(symbol, ':', 1), E'/_- \\t\\n\\r\\f\\x0B', '') COLLATE "C"), position_side, id
        ) WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')"""
    )
    monkeypatch.setattr(managed, "take_lock", nothing)
    monkeypatch.setattr(managed, "standing", nobody)
    birth = managed._BIRTH
    text = birth._text.replace(
        "'') COLLATE \"C\"), position_side\n)", "'') COLLATE \"C\"), position_side, id\n)"
    )
    assert text != birth._text
    monkeypatch.setattr(birth, "_text", text)
    first, second = await asyncio.gather(desk.core.open(desk.request()), desk.core.open(desk.request()))
    assert sorted([first.result, second.result]) == [Result.ACTIVE, Result.ROLLED_BACK], (first, second)
    assert desk.held() == ONE
    await desk.core.synchronise()  # the loser's stop may have been the only one when it left
    assert [o.qty for o in desk.live()] == [ONE]
    winner = next(r for r in desk.rows() if r["status"] == "active")
    assert winner["stop_loss_order_id"] == desk.live()[0].id
    loser = next(r for r in desk.rows() if r["status"] == "rolled_back")
    assert f"duplicate of #{winner['id']}" in loser["exit_reason"]


async def test_layer_3_the_loser_of_incident_1_closes_nothing_that_the_rival_owns(desk, monkeypatch):
    """The rival's row claims the very position that this row opened: nothing is left for the loser to close."""
    gate = {}

    async def checkpoint(name):
        if name == "before active" and not gate:
            gate["done"] = True
            desk.do("DROP INDEX monitoring.posguard_one_open_position")
            desk.do(
                "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
                " VALUES ('BTCUSDT', 'binance', 'long', 0.01, 60000, 'active')"
            )

    opened = await desk.another(checkpoint=checkpoint).open(desk.request())
    assert opened.result is Result.ROLLED_BACK, opened
    assert desk.held() == ONE, "the position is the rival's"
    assert desk.sent("c") == []
    assert len(desk.live()) == 1, "nor is it stripped of the only stop it has"


async def test_db_2_the_insert_passes_ten_times_on_one_connection(core_dsn, desk):
    link = await asyncpg.connect(core_dsn.get_secret_value())

    class One:
        def connection(self):
            return self

        def transaction(self):
            return self

        async def __aenter__(self):
            return link

        async def __aexit__(self, *error):
            return None

    core = TradingCore(One(), [desk.gateway], quick())
    for _ in range(10):
        opened = await core.open(desk.request())
        assert opened.result is Result.ACTIVE, opened
        assert (await core.close(opened.position_id, "next")).result is Result.CLOSED
    await link.close()


def test_db_4_processes_with_other_hash_seeds_agree_on_the_lock():
    program = (
        "from posguard.postgres.managed import lock_key; from posguard.model.position import PositionKey;"
        "print(lock_key(PositionKey('binance', 'main', 'BTCUSDT')))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert said == {str(managed.lock_key(KEY))}
    assert -(2**63) <= managed.lock_key(KEY) < 2**63


async def test_the_role_of_the_core_is_enough_and_may_not_delete(desk, core_dsn, server_dsn):
    name = f"r{os.getpid()}"
    run_script(core_dsn.get_secret_value(), roles_sql("migration", "core", prefix=name))
    address = core_dsn.get_secret_value()
    user = f"{name}_core"
    try:
        async with await Database.open(_as_user(address, user)) as database:
            core = TradingCore(database, [desk.gateway], quick())
            opened = await core.open(desk.request())
            assert opened.result is Result.ACTIVE, opened
            assert (await core.move_stop(opened.position_id, Decimal(58000))).stop_price == Decimal(58000)
            assert (await core.synchronise()).inconclusive == ()
            await core.stop_all("may be")
            await core.resume()
            await core.recover()
            assert (await core.close(opened.position_id, "done")).result is Result.CLOSED
            async with database.connection() as connection:
                for table in ("monitoring.positions", "posguard.transitions", "posguard.alert_outbox"):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(f"DELETE FROM {table}")
    finally:
        run_script(address, f"REASSIGN OWNED BY {name}_migration TO CURRENT_USER; DROP OWNED BY {user}, {name}_migration;"
                            f"DROP ROLE {user}, {name}_migration")  # fmt: skip


def _as_user(address, user):
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))
