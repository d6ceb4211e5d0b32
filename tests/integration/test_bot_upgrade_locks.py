"""Target `bot` beside others: writers that never fail, long transactions, other migrators, kills in the middle, poolers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time

import asyncpg
import psycopg
import pytest

from posguard.errors import DatabaseUnavailableError, RefusedError
from posguard.postgres import botupgrade
from posguard.postgres.botfacts import GUARD, INDEXES
from posguard.postgres.botsession import APPLICATION, WaitedTooLongError
from tests.fixtures.bot_tables import catalogue, do, in_child, position, rows, sound
from tests.fixtures.pooler import NO_POOLER, pooled

pytestmark = pytest.mark.postgres
WAITS = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%' AND datname = current_database()"
OURS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"


@contextlib.contextmanager
def transaction(dsn, *statements, isolation="READ COMMITTED"):
    """A transaction that stays open until the block ends, by a program called `report`; then it is rolled back."""
    with psycopg.connect(dsn.get_secret_value(), application_name="report") as connection:
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


def until(dsn, query, *parameters, wanted=1):
    """Comes back when the query counts what is wanted; the test's time limit ends a wait in vain."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        while connection.execute(query, parameters or None).fetchone()[0] != wanted:
            time.sleep(0.01)


# A writer that the server lets wait longer than this for a lock fails; the lock_timeout of one step is shorter.
BEHIND = {"lock_timeout": "3s"}


@pytest.mark.slow
async def test_a_writer_at_200_a_second_fails_no_write_and_hardly_waits(bot_dsn):
    do(
        bot_dsn,
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
        "SELECT 'S' || i || 'USDT', 'binance', 'long', 1, 1, 'closed' FROM generate_series(1, 50000) i",
        "INSERT INTO monitoring.events (event_type) SELECT 'position_updated' FROM generate_series(1, 50000)",
    )
    pool = await asyncpg.create_pool(
        bot_dsn.get_secret_value(), min_size=5, max_size=20, server_settings=BEHIND
    )
    took, stop = [], asyncio.Event()

    async def write(number):
        began = time.perf_counter()
        await pool.execute(
            "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status) "
            "VALUES ($1, 'binance', 'long', 1, 1, 'active')",
            f"W{number}USDT",
        )
        took.append(time.perf_counter() - began)

    async def writer():
        began, sent = time.perf_counter(), []
        while not stop.is_set() or len(sent) < 400:
            sent.append(asyncio.create_task(write(len(sent))))
            await asyncio.sleep(max(0, began + len(sent) / 200 - time.perf_counter()))
        await asyncio.gather(*sent)
        return len(sent) / (time.perf_counter() - began)

    writing = asyncio.create_task(writer())
    plan = await botupgrade.upgrade(bot_dsn)
    stop.set()
    rate = await writing
    await pool.close()
    assert rows(bot_dsn, "SELECT count(*) FROM monitoring.positions WHERE symbol LIKE 'W%'") == [(len(took),)]
    p99 = statistics.quantiles(took, n=100)[98]
    print(  # noqa: T201 - the figures of the bar
        f"{len(took)} writes at {rate:.0f}/s during {len(plan.pending)} steps, p99 {p99 * 1000:.1f} ms, max {max(took) * 1000:.0f} ms"
    )
    assert all(sound(bot_dsn, index.name) for index in INDEXES if index.guard)


async def test_killed_in_the_middle_of_the_concurrent_build_and_run_again(bot_dsn):
    """The child waits inside the build for a writer's transaction; there it is killed."""
    read, write = os.pipe()

    async def work():
        async def tell(name):
            if name == f"before {GUARD}":
                os.write(write, b"x")
                await asyncio.to_thread(until, bot_dsn, OURS.replace("%s", "'report'"))

        await botupgrade.upgrade(bot_dsn, checkpoint=tell)

    child = in_child(work)
    assert await asyncio.to_thread(os.read, read, 1) == b"x"
    with transaction(bot_dsn, position("WRITERUSDT")):
        await asyncio.to_thread(until, bot_dsn, WAITS)
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.to_thread(child.join)
        assert sound(bot_dsn, GUARD) is False, "what a killed build leaves"
        # the server notices that its client died, and gives the turn back
        await asyncio.to_thread(until, bot_dsn, OURS, APPLICATION, wanted=0)
    os.close(read)
    os.close(write)
    await botupgrade.upgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)


async def test_a_build_that_an_old_snapshot_holds_up_is_ended_and_leaves_no_index(bot_dsn):
    before = catalogue(bot_dsn)["indexes"]
    with contextlib.ExitStack() as held:

        async def hold(name):
            if name == f"before {GUARD}":
                held.enter_context(
                    transaction(
                        bot_dsn, "SELECT count(*) FROM monitoring.orders", isolation="REPEATABLE READ"
                    )
                )

        with pytest.raises(
            WaitedTooLongError, match=r"waited 1 s for process \d+ \(report\).*Done before: columns"
        ):
            await botupgrade.upgrade(bot_dsn, patience=1, checkpoint=hold)
        assert catalogue(bot_dsn)["indexes"] == before
        do(bot_dsn, position(), position(status="closed"))
    await botupgrade.upgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)


async def test_an_index_that_cannot_be_dropped_either_is_said_and_the_next_run_mends_it(bot_dsn):
    with contextlib.ExitStack() as held:

        async def hold(name):
            if name == f"before {GUARD}":
                held.enter_context(transaction(bot_dsn, position("WRITERUSDT")))

        with pytest.raises(
            WaitedTooLongError, match=f"INVALID index monitoring.{GUARD} could not be dropped"
        ):
            await botupgrade.upgrade(bot_dsn, patience=1, checkpoint=hold)
        assert sound(bot_dsn, GUARD) is False
    await botupgrade.upgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)


async def test_a_build_is_not_begun_beside_a_transaction_that_is_already_old(bot_dsn):
    with transaction(
        bot_dsn, "SELECT count(*) FROM monitoring.orders", isolation="REPEATABLE READ"
    ) as report:
        old = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND xact_start < clock_timestamp() - interval '1 second'"
        await asyncio.to_thread(until, bot_dsn, old, report.info.backend_pid)
        plan = await botupgrade.upgrade_plan(bot_dsn)
        assert f"process {report.info.backend_pid} (report)" in " ".join(plan.notes)
        with pytest.raises(
            WaitedTooLongError, match=r"wait for process \d+ \(report\).*not begun.*Done before: columns"
        ):
            await botupgrade.upgrade(bot_dsn, patience=0.5)
        assert sound(bot_dsn, GUARD) is None
    await botupgrade.upgrade(bot_dsn)
    assert sound(bot_dsn, GUARD)


async def test_a_lock_that_is_not_to_be_had_is_said_with_who_holds_it(bot_dsn):
    before = catalogue(bot_dsn)
    with (
        transaction(bot_dsn, "SELECT count(*) FROM monitoring.positions"),
        pytest.raises(DatabaseUnavailableError, match=r"held by process \d+ \(report\)"),
    ):
        await botupgrade.upgrade(bot_dsn, patience=0.5)
    assert catalogue(bot_dsn) == before


async def test_a_table_that_is_busy_for_a_while_is_tried_again_and_writers_go_on(bot_dsn):
    told = []
    stop, tried_again = asyncio.Event(), asyncio.Event()

    def say(text):
        told.append(text)
        if "try 2" in text:
            tried_again.set()

    async def writes():
        connection = await asyncpg.connect(bot_dsn.get_secret_value(), server_settings=BEHIND)
        number = 0
        while not stop.is_set():
            number += 1
            await connection.execute(position(f"W{number}USDT"))
        await connection.close()

    writing = asyncio.create_task(writes())
    with transaction(bot_dsn, "SELECT count(*) FROM monitoring.positions"):
        upgrading = asyncio.create_task(botupgrade.upgrade(bot_dsn, say=say))
        await tried_again.wait()
    await upgrading
    stop.set()
    await writing  # nobody queues behind the upgrade for longer than its lock_timeout
    assert any("(report)" in text for text in told)


async def test_migrators_take_turns(bot_dsn):
    plans = await asyncio.gather(*(botupgrade.upgrade(bot_dsn) for _ in range(4)))
    assert sorted(bool(plan.pending) for plan in plans) == [False, False, False, True]
    gate, inside = asyncio.Event(), asyncio.Event()

    async def wait(_name):
        inside.set()
        await gate.wait()

    first = asyncio.create_task(botupgrade.downgrade(bot_dsn, checkpoint=wait))
    await inside.wait()
    with pytest.raises(DatabaseUnavailableError, match=r"Another upgrade.*process \d+.*Nothing was changed"):
        await botupgrade.upgrade(bot_dsn, patience=0.5)
    gate.set()
    await first


async def test_an_operator_who_interrupts_a_build_leaves_no_index(bot_dsn):
    with contextlib.ExitStack() as held:

        async def hold(name):
            if name == f"before {GUARD}":
                held.enter_context(
                    transaction(
                        bot_dsn, "SELECT count(*) FROM monitoring.orders", isolation="REPEATABLE READ"
                    )
                )

        upgrading = asyncio.create_task(botupgrade.upgrade(bot_dsn, checkpoint=hold))
        await asyncio.to_thread(until, bot_dsn, WAITS)
        upgrading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upgrading
        assert sound(bot_dsn, GUARD) is None
    await botupgrade.upgrade(bot_dsn)


async def test_a_server_that_cuts_the_connection_leaves_what_the_next_run_completes(bot_dsn):
    async def cut(name):
        if name == "before transitions":
            rows(
                bot_dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
                APPLICATION,
            )

    with pytest.raises(DatabaseUnavailableError, match=r"Done before: columns, status_check"):
        await botupgrade.upgrade(bot_dsn, checkpoint=cut)
    await botupgrade.upgrade(bot_dsn)


async def test_whatever_else_the_server_refuses_is_one_sentence(bot_dsn):
    do(bot_dsn, "CREATE VIEW monitoring.posguard_one_open_position AS SELECT 1")
    with pytest.raises(
        DatabaseUnavailableError, match=r"did not carry it out: .*already exists.*Done before: columns"
    ):
        await botupgrade.upgrade(bot_dsn)
    do(bot_dsn, "DROP VIEW monitoring.posguard_one_open_position")
    await botupgrade.upgrade(bot_dsn)


@pytest.fixture
def pooler(bot_dsn, tmp_path, request):
    """The address of a pooler in transaction mode before the test's database."""
    with pooled(bot_dsn, tmp_path, request.param) as dsn:
        yield dsn


@pytest.mark.skipif(NO_POOLER, reason="pgbouncer is not installed here")
@pytest.mark.parametrize(
    "pooler",
    [
        "",
        "ignore_startup_parameters = posguard.direct,search_path,default_transaction_read_only,default_transaction_isolation",
    ],
    ids=["strict", "lenient"],
    indirect=True,
)
async def test_a_pooler_is_refused(pooler, bot_dsn):
    connection = await asyncpg.connect(pooler.get_secret_value(), statement_cache_size=0)
    assert await connection.fetchval("SELECT 1") == 1, "the pooler itself works"
    await connection.close()
    before = catalogue(bot_dsn)
    for work in (botupgrade.upgrade_plan, botupgrade.upgrade, botupgrade.downgrade):
        with pytest.raises(RefusedError, match=r"connection pooler.*Nothing was changed"):
            await work(pooler)
    assert catalogue(bot_dsn) == before
