"""What the monitor counts of all time, beside transactions that commit late and in any order."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from posguard.model.metrics import Measure, Window
from posguard.postgres import monitor, monitorcounts
from tests.fixtures.monitor import LIMITS, START, db

pytestmark = pytest.mark.postgres
assert db  # a fixture

INSERT = "INSERT INTO monitoring.events (event_type, exchange, created_at) VALUES ('order_error', 'binance', now())"


async def all_errors(db, counters):
    """A look's all-time count of errors, and the counters after it."""
    async with db.snapshot() as connection:
        seen = await monitor.look(connection, START, LIMITS, monitor.Sources(), counters)
    return seen.readings[Window.ALL_TIME][Measure.ERRORS].number, seen.counters


async def settled_up_to(db, counters, newest):
    """Looks until all of it is final: a transaction in any database of the server may hold that up for a while."""
    counted, counters = await all_errors(db, counters)
    while counters["events"].settled < newest:
        again, counters = await all_errors(db, counters)
        assert again == counted
    assert counters["events"].settled == newest
    return counted, counters


UNNUMBERED = """
SELECT pid, query_start FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND backend_xid IS NULL AND query LIKE 'INSERT%'
"""


async def numbered(db):
    """Waits until each insert under way has its transaction's number: looks are no nearer to each other than its id and that."""
    async with db.connection() as connection:
        begun = {tuple(one) for one in await connection.fetch(UNNUMBERED)}
        while begun & {tuple(one) for one in await connection.fetch(UNNUMBERED)}:  # noqa: ASYNC110 - the server tells no event of it
            await asyncio.sleep(0.01)


async def test_a_transaction_that_commits_late_is_counted_however_many_looks_there_were_before(db, bot_dsn):
    early = await asyncpg.connect(bot_dsn.get_secret_value())
    try:
        async with db.connection() as connection:
            await connection.execute(INSERT)
        late = early.transaction()
        await late.start()
        await early.execute(INSERT)
        counters, settled = {}, []
        for round_ in range(8):
            async with db.connection() as connection:
                await connection.execute(INSERT)
            counted, counters = await all_errors(db, counters)
            assert counted == 2 + round_
            settled.append(counters["events"].settled)
        assert settled[-1] < 2, "nothing is final behind a transaction that is open"
        await late.commit()
        counted, counters = await all_errors(db, counters)
        assert counted == 10
        # what was open has ended: all of it gets final
        counted, counters = await settled_up_to(db, counters, 10)
        assert counted == 10
        assert sum(counters["events"].counts[Measure.ERRORS].values()) == 10
    finally:
        await early.close()


async def test_many_writers_that_commit_in_any_order_are_counted_exactly(db, bot_dsn):
    """Rows of transactions that overlap in all ways, looks all the while: the last count is what the table holds."""
    import random

    seed = int(os.environ["SUITE_SEED"])
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)
    stop = asyncio.Event()

    async def writes():
        connection = await asyncpg.connect(bot_dsn.get_secret_value())
        try:
            for _ in range(25):
                transaction = connection.transaction()
                await transaction.start()
                for _ in range(dice.randint(1, 3)):
                    await connection.execute(INSERT)
                    await asyncio.sleep(dice.random() * 0.01)
                await (transaction.commit() if dice.random() < 0.8 else transaction.rollback())
        finally:
            await connection.close()

    async def looks():
        counters, last = {}, 0
        while not stop.is_set():
            counted, counters = await all_errors(db, counters)
            assert counted >= last
            last = counted
            await numbered(db)
        return counters

    looking = asyncio.create_task(looks())
    await asyncio.gather(*(writes() for _ in range(5)))
    stop.set()
    counters = await looking
    async with db.connection() as connection:
        held = await connection.fetchval("SELECT count(*) FROM monitoring.events")
        newest = await connection.fetchval("SELECT max(id) FROM monitoring.events")
    counted, counters = await settled_up_to(db, counters, newest)
    assert counted == held


async def test_what_is_there_already_is_counted_in_pieces_and_kept(db, monkeypatch):
    monkeypatch.setattr(monitorcounts, "MOST_BEHIND", 50)
    monkeypatch.setattr(monitorcounts, "_CHUNK", 40)
    monkeypatch.setattr(monitorcounts, "_SETTLING", 0.0)
    monkeypatch.setattr(
        monitorcounts, "_PATIENCE", 120.0
    )  # with the transactions of the server's other databases
    async with db.connection() as connection:
        await connection.execute(
            "INSERT INTO monitoring.events (event_type, exchange) SELECT 'order_error', 'bybit' FROM generate_series(1, 130)"
        )
    found, kept = await all_errors_or_none(db, {})
    assert found is None, "too much to read at once"
    pieces = []

    async def keep(counter):
        pieces.append(counter.settled)
        kept[counter.part] = counter

    await monitorcounts.catch_up(db, {}, LIMITS.aged_after, keep, at=START, events=True)
    assert pieces == [40, 80, 120, 130]
    assert (await all_errors(db, kept))[0] == 130


async def all_errors_or_none(db, counters):
    async with db.snapshot() as connection:
        seen = await monitor.look(connection, START, LIMITS, monitor.Sources(), counters)
    reading = seen.readings[Window.ALL_TIME][Measure.ERRORS]
    return (None if reading.missing else reading.number), dict(seen.counters)
