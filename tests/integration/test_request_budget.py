"""The request budget that all processes share, on real PostgreSQL: real processes, one killed, pauses, a pooler, no ledger."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from posguard.exchange.ledger import LedgerBudget
from posguard.exchange.tables import BINANCE
from posguard.postgres import migrate
from posguard.postgres.pool import Database
from posguard.postgres.roles import roles_sql
from posguard.postgres.weights import open_weights
from tests.conftest import run_script
from tests.fixtures.pooler import NO_POOLER, pooled
from tests.fixtures.spender import ADDRESS

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[2]


def table(limit, window):
    return replace(BINANCE, limit=limit, window=window)


@pytest.fixture
async def ledger(bot_dsn):
    async with open_weights(bot_dsn) as opened:
        assert opened is not None
        yield opened


def spender(dsn, limit, window, seconds, seed):
    command = [sys.executable, "-m", "tests.fixtures.spender", dsn.get_secret_value()]
    arguments = [str(value) for value in (limit, window, seconds, seed)]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def largest_window(spent, window):
    """The most weight that was surely allowed within some `window` seconds."""
    return max(
        sum(weight for asked, allowed, weight in spent if asked >= begin and allowed <= begin + window)
        for begin in {asked for asked, _, _ in spent}
    )


def spend_together(dsn, limit, window, seconds):
    processes = [spender(dsn, limit, window, seconds, seed) for seed in range(4)]
    spent = []
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        lines = (line.split() for line in out.splitlines())
        spent += [(float(asked), float(allowed), int(weight)) for asked, allowed, weight in lines]
    return spent


def test_four_processes_together_never_go_beyond_the_quarter_of_any_window(bot_dsn):
    limit, window = 400, 0.5
    spent = spend_together(bot_dsn, limit, window, seconds=3)
    assert limit // 8 < largest_window(spent, window) <= limit // 4
    assert sum(weight for *_, weight in spent) > limit // 4 * 3, "and they get most of it"


@pytest.mark.skipif(NO_POOLER, reason="pgbouncer is not installed here")
def test_it_holds_behind_a_pooler_in_transaction_mode(bot_dsn, tmp_path):
    with pooled(bot_dsn, tmp_path) as dsn:
        spent = spend_together(dsn, 400, 0.5, seconds=1)
    assert 0 < largest_window(spent, 0.5) <= 100


async def test_what_a_killed_process_had_leased_comes_back(bot_dsn, ledger):
    process = spender(bot_dsn, 400, 60.0, 0, 1)
    assert process.stdout.readline() == "leased\n"
    process.kill()
    process.wait()
    process.stdout.close()
    budget = LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25)
    assert (await booked(ledger, 1))[1] > 0, "its part counts at first"
    a_window_later = "spend_from = spend_from - interval '70s', spend_until = spend_until - interval '70s'"
    run_script(bot_dsn.get_secret_value(), f"UPDATE posguard.request_weight SET {a_window_later}")
    await budget.take(1)
    assert (await booked(ledger, 1))[1] == 0
    assert 100 not in await rows(bot_dsn)


async def rows(dsn):
    async with await Database.open(dsn) as db, db.connection() as connection:
        found = await connection.fetch("SELECT weight FROM posguard.request_weight ORDER BY id")
    return [row["weight"] for row in found]


async def booked(ledger, weight, **more):
    booking = await ledger.book(
        "binance", ADDRESS, weight=weight, **{"allowance": 100, "window": 60.0, "life": 6.0, **more}
    )
    return booking, round(booking.delay, 1)


async def test_bookings_queue_by_the_databases_clock_and_what_was_not_spent_makes_room(ledger, bot_dsn):
    first, delay = await booked(ledger, 60)
    assert delay == 0
    second, delay = await booked(ledger, 40)
    assert delay == 0
    assert 60 < (await booked(ledger, 10))[1] <= 66, "a window after the first is over"
    assert 60 < (await booked(ledger, 1))[1] <= 66, "nobody overtakes"
    _, delay = await booked(ledger, 0, settled=(second.id, 3))
    assert delay == 0
    assert await rows(bot_dsn) == [60, 3, 10, 1]
    await booked(ledger, 0, settled=(first.id, 0))
    assert await rows(bot_dsn) == [3, 10, 1]


async def test_orders_count_at_once_and_reading_waits_the_longer_for_them(ledger, bot_dsn):
    spending = LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25)
    for _ in range(100):
        spending.spend(1)  # nothing is awaited on the way
    await spending.close()
    assert sum(await rows(bot_dsn)) == 100
    assert 55 < (await booked(ledger, 1))[1] <= 60


async def test_an_order_is_spent_of_the_part_in_hand_and_the_rest_is_given_back(ledger, bot_dsn):
    budget = LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25)
    await budget.take(1)
    assert await rows(bot_dsn) == [5]
    budget.spend(2)
    await budget.close()
    assert await rows(bot_dsn) == [3]
    await budget.close()
    assert await rows(bot_dsn) == [3]


async def test_a_pause_that_one_process_is_told_of_holds_all_of_them(ledger):
    told, other = (LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25) for _ in range(2))
    await other.take(1)
    assert other.blocked()[0] == 0
    told.block(600, "the venue asked for a pause")
    told.block(20, "a shorter one changes nothing", only_reading=True)
    await told.close()
    await asyncio.wait_for(other.take(60), 60)  # nobody waits that long: the caller is told instead
    for budget in (told, other):
        wait, why = budget.blocked()
        assert 500 < wait <= 600
        assert why == "the venue asked for a pause"
        assert 500 < budget.blocked(for_reading=False)[0] <= 600
    await other.close()


async def test_a_short_pause_is_waited_for_by_all_of_them_even_with_a_part_in_hand(ledger):
    told, other = (LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25) for _ in range(2))
    await told.take(1)
    told.block(0.4, "the venue asked for a pause")
    began = time.monotonic()
    await told.take(1)
    assert time.monotonic() - began >= 0.4
    told.block(1, "the venue asked for a pause")
    await told.close()
    assert (await ledger.book("binance", ADDRESS, weight=1, allowance=100, window=60.0, life=6.0)).delay > 0
    await other.take(1)


async def test_a_ledger_that_is_closed_or_gone_is_done_without(bot_dsn):
    async with open_weights(bot_dsn) as ledger:
        address = f"https://{os.urandom(4).hex()}.example"
        budget = LedgerBudget(ledger, table(400, 60.0), address, share=0.25)
    budget.spend(1)
    budget.block(0.1, "the venue asked for a pause")
    await budget.take(1)
    await budget.close()


async def test_where_only_reading_is_paused_orders_go_out(ledger):
    told, other = (LedgerBudget(ledger, table(400, 60.0), ADDRESS, share=0.25) for _ in range(2))
    told.block(30, "the others used it up", only_reading=True)
    await told.close()
    other.spend(1)
    await other.close()
    assert 10 < other.blocked()[0] <= 30
    assert other.blocked(for_reading=False)[0] == 0


async def test_a_ledger_that_fails_leaves_the_process_half_of_the_share(bot_dsn, ledger):
    address = f"https://{os.urandom(4).hex()}.example"
    budget = LedgerBudget(ledger, table(400, 60.0), address, share=0.25)
    await budget.take(5)
    run_script(bot_dsn.get_secret_value(), "DROP TABLE posguard.request_weight")
    for _ in range(5):
        await asyncio.wait_for(budget.take(10), 60)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(budget.take(10), 0.2)
    budget.spend(1)
    await budget.close()


async def test_no_schema_no_ledger(empty_dsn, bot_dsn):
    async with open_weights(empty_dsn) as ledger:
        assert ledger is None
    async with open_weights(None) as ledger:
        assert ledger is None
    await asyncio.to_thread(migrate.downgrade, bot_dsn, to="0004")
    async with open_weights(bot_dsn) as ledger:
        assert ledger is None


@pytest.mark.parametrize("role", ["reader", "core"])
def test_each_role_that_asks_a_venue_may_book(bot_dsn, role):
    prefix = f"t{os.urandom(4).hex()}"
    dsn = bot_dsn.get_secret_value()
    roles = ("migration", role)
    run_script(dsn, roles_sql(*roles, prefix=prefix))
    booking = "posguard.book_weight('binance', 'x', 5, 100, '1s', '1s', {}, NULL, NULL)"
    try:
        run_script(
            dsn,
            f"SET ROLE {prefix}_{role}; SELECT {booking.format('FALSE')}; SELECT {booking.format('TRUE')};"
            " INSERT INTO posguard.request_pauses VALUES ('binance', 'x', FALSE, now(), 'y')",
        )
    finally:
        for name in roles[::-1]:
            run_script(
                dsn,
                f"REASSIGN OWNED BY {prefix}_{name} TO CURRENT_USER; DROP OWNED BY {prefix}_{name}; DROP ROLE {prefix}_{name}",
            )
