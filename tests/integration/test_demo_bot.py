"""The demo bot on real PostgreSQL and a real simulator: hours in seconds by an injected clock, crashes, and its program."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from posguard.demo import bot as module
from posguard.demo.bot import DemoBot, open_bot
from posguard.errors import DatabaseUnavailableError, PosguardError, RefusedError
from posguard.model.position import is_open
from posguard.postgres.pool import Database
from posguard.simulator.client import SimulatorControl, SimulatorError
from tests.conftest import run_script
from tests.integration.test_demo_seed import ask, seeded

pytestmark = pytest.mark.postgres
OPEN = "status NOT IN ('closed', 'failed', 'rolled_back', 'canceled')"


class Clock:
    """A clock that the test moves."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest_asyncio.fixture
async def demo(empty_dsn, simulator):
    """A seeded world, four hours old, its bot, and the clock it goes by."""
    clock = Clock(datetime.now(UTC) - timedelta(hours=4, minutes=1))
    world = await seeded(empty_dsn, simulator, now=clock.now)
    async with (
        await Database.open(empty_dsn, size=2) as database,
        SimulatorControl(simulator.base_url) as control,
    ):
        yield world, await open_bot(database, control, clock=clock), clock, database, control


def planted_state(dsn, world):
    """Everything of the planted rows, to the last column."""
    ids = ", ".join(str(i) for i in sorted(world.planted_rows))
    return ask(dsn, f"SELECT p.* FROM monitoring.positions p WHERE id IN ({ids}) ORDER BY id")


def healthy(dsn, world):
    ids = ", ".join(str(i) for i in sorted(world.planted_rows))
    return ask(
        dsn,
        f"SELECT id, exchange, symbol, side, quantity, stop_loss_price, created_at FROM monitoring.positions"
        f" WHERE status = 'active' AND id NOT IN ({ids}) ORDER BY id",
    )


def held(simulator):
    return {
        (a.venue, p.symbol): p.amount
        for a in simulator.book.accounts.values()
        for p in simulator.book.open_positions(a)
    }


def assert_whole(dsn, simulator, world):
    """Each healthy row is one position with one stop that covers it; nothing else is held but what is planted."""
    rows = healthy(dsn, world)
    positions = held(simulator)
    for _, exchange, symbol, side, quantity, stop, _ in rows:
        assert positions.pop((exchange, symbol)) == (quantity if side == "long" else -quantity)
        live = [
            o
            for o in simulator.book.account(exchange).open_orders.values()
            if o.symbol == symbol and o.side == ("sell" if side == "long" else "buy")
        ]
        assert [(o.trigger, o.qty) for o in live] == [(stop, quantity)], (exchange, symbol)
    assert set(positions) <= world.reserved
    stops = {(a.venue, o.symbol) for a in simulator.book.accounts.values() for o in a.open_orders.values()}
    assert stops <= world.reserved | {(exchange, symbol) for _, exchange, symbol, *_ in rows}


@pytest.mark.slow
async def test_four_hours_keep_thirty_four_whole_and_young_and_touch_nothing_planted(
    demo, empty_dsn, simulator
):
    world, bot, clock, *_ = demo
    rows, reserved = (
        planted_state(empty_dsn, world),
        {k: v for k, v in held(simulator).items() if k in world.reserved},
    )
    orders = ask(empty_dsn, "SELECT count(*) FROM monitoring.orders")
    for minute in range(240):
        clock.now += timedelta(minutes=1)
        await bot.step()
        if minute % 20 == 0:
            mine = healthy(empty_dsn, world)
            assert 31 <= len(mine) <= 34
            assert all(clock.now - created < timedelta(hours=2, minutes=30) for *_, created in mine)
            assert_whole(empty_dsn, simulator, world)
    assert planted_state(empty_dsn, world) == rows
    assert {k: v for k, v in held(simulator).items() if k in world.reserved} == reserved
    survivors = {row[0] for row in healthy(empty_dsn, world)} & world.healthy_rows
    assert not survivors
    assert ask(empty_dsn, "SELECT count(*) FROM monitoring.orders") > orders
    unfinished = (
        f"SELECT count(*) FROM monitoring.positions WHERE {OPEN} AND coalesce(status, '') <> 'active'"
    )
    stuck = sum(is_open(r.status) and r.status != "active" for r in world.positions if r.status)
    assert ask(empty_dsn, unfinished) == [(stuck,)]
    for venue, account in (
        ("binance", simulator.book.account("binance")),
        ("bybit", simulator.book.account("bybit")),
    ):
        for symbol in {f.symbol for f in account.fills}:
            if (venue, symbol) not in world.reserved:
                assert simulator.book.traded(account, symbol) == held(simulator).get(
                    (venue, symbol), Decimal(0)
                )


async def test_prices_move_on_the_venue_and_in_the_rows(demo, empty_dsn, simulator):
    world, bot, clock, *_ = demo
    await bot.step()
    before = ask(empty_dsn, "SELECT id, current_price FROM monitoring.positions ORDER BY id")
    marks = {key: market.mark for key, market in simulator.book.markets.items()}
    clock.now += timedelta(minutes=10)
    await bot.step()
    after = ask(empty_dsn, "SELECT id, current_price FROM monitoring.positions ORDER BY id")
    moved = {row_id for (row_id, price), (_, later) in zip(before, after, strict=False) if price != later}
    assert len(moved) > 25
    assert moved <= world.healthy_rows
    assert sum(market.mark != marks[key] for key, market in simulator.book.markets.items()) > 100


async def test_what_a_person_adds_is_left_alone(demo, empty_dsn):
    _, bot, clock, *_ = demo
    run_script(
        empty_dsn.get_secret_value(),
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price) VALUES ('NOSUCHUSDT', 'binance', 'long', 1, 1), ('BTCUSDT', 'kraken', 'long', 1, 1)",
    )
    for _ in range(3):
        clock.now += timedelta(hours=1)
        await bot.step()
    added = "SELECT status, updated_at = created_at FROM monitoring.positions WHERE symbol = 'NOSUCHUSDT' OR exchange = 'kraken'"
    assert ask(empty_dsn, added) == [("active", True)] * 2


CUTS = (
    # the write at which the bot dies, whether it still goes through, and how far the row then is
    ("begin", True, "pending_entry"),
    ("entry_filled", False, "pending_entry"),
    ("entry_filled", True, "entry_placed"),
    ("activate", False, "entry_placed"),
    ("activate", True, "active"),
)


@pytest.mark.parametrize(("cut", "written", "status"), CUTS)
async def test_an_open_cut_anywhere_is_brought_to_an_end_by_the_next_start(
    demo, empty_dsn, simulator, monkeypatch, cut, written, status
):
    world, bot, clock, database, control = demo
    await bot.step()
    clock.now += timedelta(minutes=50)
    while len(healthy(empty_dsn, world)) == 34:  # until one has closed and the next open is due
        clock.now += timedelta(minutes=1)
        await bot.step()
    real = getattr(module.table, cut)

    async def dies(*arguments, **named):
        if written:
            await real(*arguments, **named)
        raise DatabaseUnavailableError(f"cut at {cut}")

    monkeypatch.setattr(module.table, cut, dies)
    clock.now += timedelta(seconds=5)
    with pytest.raises(PosguardError, match="cut at"):
        await bot.step()
    monkeypatch.undo()
    newest = "SELECT status FROM monitoring.positions ORDER BY id DESC LIMIT 1"
    assert ask(empty_dsn, newest) == [(status,)]
    clock.now += timedelta(seconds=5)
    await (await open_bot(database, control, clock=clock)).step()
    assert_whole(empty_dsn, simulator, world)


async def test_a_close_cut_between_venue_and_row_is_brought_to_an_end(
    demo, empty_dsn, simulator, monkeypatch
):
    world, bot, clock, *_ = demo
    await bot.step()

    async def dies(*_arguments, **_named):
        raise DatabaseUnavailableError("cut before the row")

    monkeypatch.setattr(module.table, "close", dies)
    clock.now += timedelta(minutes=100)
    with pytest.raises(PosguardError, match="cut before the row"):
        for _ in range(60):
            clock.now += timedelta(minutes=1)
            await bot.step()
    monkeypatch.undo()
    lone = {(r[1], r[2]) for r in healthy(empty_dsn, world)} - set(held(simulator))
    assert len(lone) == 1
    await bot.step()
    assert_whole(empty_dsn, simulator, world)
    late = f"SELECT exchange, symbol, status FROM monitoring.positions WHERE closed_at >= '{clock.now.isoformat()}'"
    ended = ask(empty_dsn, late)
    assert (*next(iter(lone)), "closed") in ended


async def test_a_simulator_that_is_away_is_survived(demo, empty_dsn, simulator, monkeypatch):
    world, _, clock, database, _ = demo
    failures = asyncio.Queue()
    monkeypatch.setattr(module.log, "warning", lambda *words: failures.put_nowait(words))
    async with SimulatorControl("http://127.0.0.1:9") as nobody:
        lost = DemoBot(database, nobody, world, clock=clock)
        with pytest.raises(SimulatorError):
            await lost.step()
        ended = asyncio.Event()
        running = asyncio.create_task(lost.run(ended, interval=0.01))
        async with asyncio.timeout(60):
            for _ in range(3):
                await failures.get()
            ended.set()
            await running
    assert_whole(empty_dsn, simulator, world)


async def test_a_database_that_no_demo_made_is_refused(bot_dsn, simulator):
    async with (
        await Database.open(bot_dsn) as database,
        SimulatorControl(simulator.base_url) as control,
    ):
        with pytest.raises(RefusedError, match="none that the demo made"):
            await open_bot(database, control)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_program_runs_until_it_is_told_to_end(empty_dsn, simulator, number):
    world = await seeded(empty_dsn, simulator)
    env = {**os.environ, "POSGUARD_DSN": empty_dsn.get_secret_value()}
    arguments = ["-m", "posguard.demo.bot", "--simulator", simulator.base_url, "--interval", "0.1"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=env, stderr=asyncio.subprocess.PIPE
    )
    try:
        newest = "SELECT max(updated_at) FROM monitoring.positions"
        (before,) = ask(empty_dsn, newest)
        async with asyncio.timeout(90):
            while ask(empty_dsn, newest) == [before]:
                assert child.returncode is None
                await asyncio.sleep(0.05)
        child.send_signal(number)
        async with asyncio.timeout(60):
            _, said = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, said
    assert b"has ended" in said
    assert b"Traceback" not in said
    assert_whole(empty_dsn, simulator, world)


async def test_the_program_says_in_one_line_what_it_lacks(empty_dsn, simulator):
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "posguard.demo.bot", "--simulator", simulator.base_url),
        *("--dsn", empty_dsn.get_secret_value()),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await child.communicate()
    assert child.returncode == 4
    assert said.decode().count("\n") == 1
    assert "none that the demo made" in said.decode()
