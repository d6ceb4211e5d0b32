"""Cleanups while the bot's old code goes on opening positions: none is left without a row or without a stop, no survivor is lost."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_trading_gateway
from posguard.model.plan import Mode
from posguard.model.position import Side
from posguard.model.protection import protection_of
from posguard.postgres.pool import Database
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from tests.fixtures.cleanup import QUICK, Bench, SecretStr, trader
from tests.fixtures.gateways import gateway, plant, venue_settings

pytestmark = pytest.mark.postgres

MARKETS = {"BTCUSDT": ("0.01", "60000"), "ETHUSDT": ("2", "2500"), "SOLUSDT": ("3", "150")}
SCENES = ("duplicates", "orphan", "unsent", "mismatch", "zombie", "healthy", "empty")


async def scene(bench, dice, rows, symbol):
    """One key with one trouble, or none."""
    quantity, entry = MARKETS[symbol]
    kind = dice.choice(SCENES)
    ago = datetime.now(UTC) - timedelta(hours=2)

    async def row(status="active", amount=quantity):
        await bench.do(
            "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, opened_at, created_at,"
            " has_stop_loss, stop_loss_price) VALUES ($1, 'binance', 'long', $2, $3, $4, $5, $5, true, $6)",
            symbol, Decimal(amount), Decimal(entry), status, ago, Decimal(entry) * Decimal("0.95"),
        )  # fmt: skip

    if kind in {"duplicates", "mismatch", "healthy"}:
        plant(rows, "binance", symbol, quantity, entry=entry)
        await row(amount=str(Decimal(quantity) * 2) if kind == "mismatch" else quantity)
    if kind == "duplicates":
        await row(amount=str(Decimal(quantity) * dice.choice([1, 2])))
    if kind == "orphan":
        await row()
    if kind == "unsent":
        await row("pending_entry")
    if kind == "zombie":
        plant(rows, "binance", symbol, quantity, entry=entry)
        del rows["positions"][-1]
    return kind


async def signal(bench, venue, symbol, number):
    """The bot's old open: an existing active row is taken as its own, and a second order placed on it."""
    quantity, entry = MARKETS[symbol]
    stop = Decimal(entry) * Decimal("0.95")
    row = await bench.one(
        "SELECT id FROM monitoring.positions WHERE symbol = $1 AND status = 'active' ORDER BY id LIMIT 1", symbol
    ) or await bench.one(
        "INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status)"
        " VALUES ($1, 'binance', 'long', $2, $3, 'active') RETURNING id",
        symbol, Decimal(quantity), Decimal(entry),
    )  # fmt: skip
    await bench.do("UPDATE monitoring.positions SET status = 'entry_placed' WHERE id = $1", row)
    await venue.place_entry(symbol, Side.LONG, Decimal(quantity), client_order_id=f"bot-e-{number}")
    await bench.do("UPDATE monitoring.positions SET status = 'pending_sl' WHERE id = $1", row)
    await venue.place_stop(symbol, Side.LONG, Decimal(quantity), stop, client_order_id=f"bot-s-{number}")
    await bench.do(
        "UPDATE monitoring.positions SET status = 'active', has_stop_loss = true, stop_loss_price = $2 WHERE id = $1",
        row,
        stop,
    )


async def one_run(bench, bot, dice, number):
    """What is wrong after one cleanup beside one to three signals."""
    await bench.do("TRUNCATE monitoring.positions RESTART IDENTITY")
    await bench.control.reset()
    rows = {}
    kinds = {symbol: await scene(bench, dice, rows, symbol) for symbol in MARKETS}
    await bench.control.load(**rows)

    async def signals():
        for count in range(dice.randint(1, 3)):
            await asyncio.sleep(dice.uniform(0, 0.25))
            await signal(bench, bot, dice.choice(list(MARKETS)), f"{number}-{count}")

    async def cleanup():
        stored = await bench.plan(Mode.ALL)
        return await bench.apply(stored.code, backup=None) if stored.plan.lines else None

    done, _ = await asyncio.gather(cleanup(), signals())
    look = await bot.snapshot()
    assert look.complete, look.reasons
    wrong = []
    for position in look.positions:
        orders = [o for o in look.orders if o.symbol == position.symbol]
        open_rows = await bench.one(
            "SELECT count(*) FROM monitoring.positions WHERE symbol = $1 AND status NOT IN"
            " ('closed', 'failed', 'rolled_back', 'canceled')", position.symbol,
        )  # fmt: skip
        if not open_rows:
            wrong.append(f"{position.symbol} has no row")
        if not protection_of(position, orders, look.markets[position.symbol].lot_step).covers:
            wrong.append(f"{position.symbol} has no stop")
    said = (
        [(o.line.key.symbol, o.line.action.value, o.state.value, o.reason) for o in done.lines]
        if done
        else []
    )
    return [(number, text, kinds, said) for text in wrong], len(said)


@pytest.mark.timeout(4000)
async def test_a_signal_writer_beside_the_cleanup(bot_dsn, simulator, control, long, seed, figure, tmp_path):
    dice = random.Random(seed)
    runs = 1000 if long else 6
    venue = venue_settings(
        "binance", simulator.base_url, trade_key=SecretStr(TRADE_KEY), trade_secret=SecretStr(TRADE_SECRET)
    )
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(await Database.open(bot_dsn, size=6))
        await db_without_old_index(db)
        reader = await stack.enter_async_context(gateway("binance", simulator.base_url))
        sender = await stack.enter_async_context(trader("binance", simulator.base_url))
        bot = await stack.enter_async_context(open_trading_gateway(venue, QUICK, budget=Budget.unlimited()))
        # With three keys, one that moves is more than a fifth: here each key is judged for itself.
        each = QUICK.model_copy(update={"max_skipped_share": 1.0})
        bench = Bench(db, control, [reader], [sender], tmp_path, each)
        bad, lines = [], 0
        for number in range(runs):
            wrong, planned = await one_run(bench, bot, dice, number)
            bad += wrong
            lines += planned
    figure("cleanup beside a signal writer", runs, len(bad), f"{lines} lines")
    assert not bad, bad[:3]
    assert lines


async def db_without_old_index(db):
    """Duplicates as the wide window of the old code leaves them."""
    async with db.connection() as connection:
        await connection.execute("DROP INDEX monitoring.idx_unique_active_position")
