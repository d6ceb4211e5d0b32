"""The demo bot: keeps the demo world moving, and honest. `python -m posguard.demo.bot --simulator URL [--dsn DSN]`.

It moves prices, closes each of its positions before it is two and a half hours old and opens others, so that about 34 stay
open. Planted rows and their markets it never touches. What it does is never a problem that a pass could rightly find:
- the row comes before the order, and entry, stop and activation follow within a second, inside the grace of an unfinished row;
- a close makes the venue flat and cancels the stop in one instant, and the row follows with the next statement.
Its memory is the database: started anew, or after any failure, it first brings unfinished rows to an end by what the venue holds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.demo.events import ending_events, opening_events
from posguard.demo.history import HEALTHY
from posguard.demo.markets import EXCHANGES, DemoMarket, markets, price_at
from posguard.demo.records import EventRecord, OrderRecord, TrailingRecord, columns, values
from posguard.demo.seed import world_of_mark
from posguard.demo.trade import Trade, order_records, stop_of, stop_price, trailing_record
from posguard.demo.venues import ACCOUNT, price_rows, stop_row
from posguard.demo.world import DemoWorld, make_world
from posguard.errors import PosguardError, RefusedError
from posguard.model.position import INTERMEDIATE
from posguard.postgres import demobot as table
from posguard.postgres.botworld import append, demo_mark
from posguard.postgres.pool import Database
from posguard.simulator.client import SimulatorControl, SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posguard.postgres.demobot import OwnRow

log = logging.getLogger("posguard.demo.bot")

INTERVAL = 5.0  # seconds between two steps
SHORTEST, LONGEST = timedelta(minutes=100), timedelta(minutes=140)
_REST = timedelta(minutes=2)  # of a market between two positions
_CLOSES_AT_ONCE = 3
_SYNC_EVERY, _WAVE_EVERY = timedelta(minutes=5), timedelta(minutes=15)
_FIRST_STOP = 1_980_000_000  # above the seeded stops' numbers, below the simulator's own
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Held:
    """What a venue holds of one market: signed amount, and whether a live stop stands."""

    amount: Decimal
    protected: bool


class DemoBot:
    """One demo bot on one world. `step` does what is due at the clock's time; `run` does so until it is told to end."""

    def __init__(
        self, database: Database, control: SimulatorControl, world: DemoWorld, *, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._control = control
        self._world = world
        self._clock = clock or _utc_now
        self._doubt = True  # whether rows and venue may be apart: at the start, and after every failure
        self._rested: dict[tuple[str, str], datetime] = {}
        self._synced = self._waved = datetime.min.replace(tzinfo=UTC)

    async def run(self, ended: asyncio.Event, interval: float = INTERVAL) -> None:
        """Steps until `ended` is set; a step under way is finished. A database or simulator that fails is tried again."""
        while not ended.is_set():
            try:
                await self.step()
            except (PosguardError, SimulatorError) as error:
                log.warning("%s Trying again in %s s.", error, interval)
            try:
                await asyncio.wait_for(ended.wait(), interval)
            except TimeoutError:
                continue

    async def step(self) -> None:
        """Prices, then closes that are due, then one open where one is missing. Raises PosguardError's and SimulatorError."""
        now = self._clock()
        doubt, self._doubt = self._doubt, True
        await self._control.load(prices=price_rows(now, self._world.seed))
        if doubt:
            await self._settle(now)
        rows = await self._own_rows()
        await self._move_prices(rows, now)
        due = [row for row in rows if now - row.created_at >= self._lasts(row)]
        for row in due[:_CLOSES_AT_ONCE]:
            await self._close(row, now)
        if len(rows) - len(due) < HEALTHY:
            await self._open({row.key for row in rows}, now)
        await self._keep_house(now)
        self._doubt = False

    # -- one position

    async def _open(self, busy: set[tuple[str, str]], now: datetime) -> None:
        dice = random.Random(f"{self._world.seed}/{now.timestamp()}")  # noqa: S311 - a made-up signal
        free = self._free(busy, now)
        if not free:
            return
        market = dice.choice(free)
        side = dice.choice(("long", "short"))
        price = price_at(market, now, self._world.seed)
        trade = Trade(
            market=market,
            side=side,
            quantity=market.quantity(),
            created_at=now,
            entry_price=price,
            stop_price=stop_price(market, side, price),
            trailing=dice.random() < 0.6,
            whole_stop=market.exchange == "bybit" and dice.random() < 0.5,
        )
        async with self._database.connection() as connection:
            row_id = await table.begin(
                connection,
                symbol=market.symbol,
                exchange=market.exchange,
                side=side,
                quantity=trade.quantity,
                price=price,
                at=now,
            )
        sent = await self._act("trade", market, delta=str(trade.quantity * trade.sign))
        trade = replace(trade, entry_order=sent["order_id"])
        async with self._database.connection() as connection:
            await table.entry_filled(connection, row_id, sent["order_id"], self._clock())
        await self._protect_and_activate(trade, row_id)

    def _free(self, busy: set[tuple[str, str]], now: datetime) -> list[DemoMarket]:
        """The markets that nobody uses, on the venue that has fewer of our positions."""
        fewer = min(EXCHANGES, key=lambda name: sum(exchange == name for exchange, _ in busy))
        return [
            market
            for key, market in markets().items()
            if market.exchange == fewer
            and key not in self._world.reserved
            and key not in busy
            and now - self._rested.get(key, self._world.now - _REST) >= _REST
        ]

    async def _protect_and_activate(self, trade: Trade, row_id: int) -> None:
        if not trade.whole_stop:
            trade = replace(trade, stop_order=_stop_id(trade.market.exchange, row_id))
        await self._protect(trade)
        at, stop = self._clock(), trade.stop_price
        assert stop is not None
        async with self._database.connection() as connection:
            await table.activate(connection, row_id, stop=stop, trailing=trade.trailing, at=at)
        trailing = [trailing_record(trade, row_id, price=trade.entry_price, at=at)] if trade.trailing else []
        await self._record(order_records(trade, row_id), opening_events(trade, row_id), trailing)

    async def _protect(self, trade: Trade) -> None:
        if trade.whole_stop:
            await self._act("protect", trade.market, stop_loss=str(trade.stop_price))
        else:
            await self._control.load(orders=[stop_row(stop_of(trade))])

    async def _close(self, row: OwnRow, now: datetime) -> None:
        market = markets()[row.key]
        sent = await self._act("close", market, cancel_stops=True)
        await self._end(row, now, sent["order_id"])

    async def _end(self, row: OwnRow, now: datetime, order_id: str | None) -> None:
        """The row ends, the venue being flat."""
        market = markets()[row.key]
        price = price_at(market, now, self._world.seed)
        sign = 1 if row.side == "long" else -1
        profit = (price - row.entry_price) * row.quantity * sign
        dice = random.Random(f"{self._world.seed}/{row.id}")  # noqa: S311 - a made-up reason
        reason = dice.choice(("take_profit", "signal")) if profit > 0 else "signal"
        at = self._clock()
        async with self._database.connection() as connection:
            await table.close(connection, row.id, price=price, profit=profit, reason=reason, at=at)
            await table.clear_away(connection, row.id, at)
        self._rested[row.key] = now
        ended = replace(
            _trade_of(row), closed_at=at, exit_price=price, exit_reason=reason, close_order=order_id
        )
        closing = [order for order in order_records(ended, row.id) if order.order_id == order_id]
        await self._record(closing, ending_events(ended, row.id), ())

    def _lasts(self, row: OwnRow) -> timedelta:
        """How long a position is held."""
        dice = random.Random(f"{self._world.seed}/lasts/{row.id}")  # noqa: S311 - a made-up plan
        return SHORTEST + (LONGEST - SHORTEST) * dice.random()

    # -- all of them

    async def _settle(self, now: datetime) -> None:
        """Brings rows and venue together after a start or a failure, by what the venue holds."""
        rows = await self._own_rows()
        held = _held(await self._control.book())
        for row in rows:
            mine = held.get(row.key)
            if mine is None and row.status == "pending_entry":
                async with self._database.connection() as connection:
                    await table.give_up(connection, row.id, self._clock())
            elif mine is None:
                await self._end(row, now, None)
            elif row.status in INTERMEDIATE:
                await self._finish(row, mine)
            elif not mine.protected:
                await self._protect(replace(_trade_of(row), stop_order=_stop_id(row.exchange, row.id)))

    async def _finish(self, row: OwnRow, mine: Held) -> None:
        """A row whose entry was filled gets what is missing of its opening."""
        trade = _trade_of(row)
        if mine.protected:
            stop = trade.stop_price
            assert stop is not None
            async with self._database.connection() as connection:
                await table.activate(connection, row.id, stop=stop, trailing=False, at=self._clock())
            return
        await self._protect_and_activate(trade, row.id)

    async def _own_rows(self) -> tuple[OwnRow, ...]:
        """Rows that came of a signal, on markets of ours: whatever else a person adds to the demo is left alone."""
        async with self._database.connection() as connection:
            rows = await table.own_rows(connection, self._world.planted_rows)
        return tuple(row for row in rows if row.key in markets() and row.key not in self._world.reserved)

    async def _move_prices(self, rows: Iterable[OwnRow], now: datetime) -> None:
        prices = {row.id: price_at(markets()[row.key], now, self._world.seed) for row in rows}
        async with self._database.connection() as connection:
            await table.move_prices(connection, prices, now)

    async def _keep_house(self, now: datetime) -> None:
        """The events of its own: synchronisation and waves."""
        events = []
        if now - self._synced >= _SYNC_EVERY:
            self._synced = now
            for exchange in EXCHANGES:
                events += [
                    EventRecord(kind, "{}", now, exchange=exchange)
                    for kind in ("sync_started", "sync_completed")
                ]
        if now - self._waved >= _WAVE_EVERY:
            self._waved = now
            events += [EventRecord(kind, "{}", now) for kind in ("wave_detected", "wave_completed")]
        await self._record((), events, ())

    async def _act(self, do: str, market: DemoMarket, **more: object) -> dict[str, Any]:
        found: dict[str, Any] = await self._control.act(
            do, venue=market.exchange, account=ACCOUNT, symbol=market.symbol, **more
        )
        return found

    async def _record(
        self,
        orders: Iterable[OrderRecord],
        events: Iterable[EventRecord],
        trailing: Iterable[TrailingRecord],
    ) -> None:
        """Appends rows; what the bot did within a moment is not dated after it."""
        now = self._clock()
        dated: dict[str, list[Any]] = {
            "orders": [
                replace(row, created_at=min(row.created_at, now), updated_at=min(row.updated_at, now))
                for row in orders
            ],
            "events": [replace(row, created_at=min(row.created_at, now)) for row in events],
            "trailing_stop_state": [replace(row, created_at=min(row.created_at, now)) for row in trailing],
        }
        async with self._database.connection() as connection:
            for name, rows in dated.items():
                if rows:
                    await append(connection, name, columns(type(rows[0])), [values(row) for row in rows])


def _trade_of(row: OwnRow) -> Trade:
    market = markets()[row.key]
    return Trade(
        market=market,
        side=row.side,
        quantity=row.quantity,
        created_at=row.created_at,
        entry_price=row.entry_price,
        status=row.status,
        entry_order=row.exchange_order_id,
        stop_price=row.stop_loss_price or stop_price(market, row.side, row.entry_price),
        trailing=bool(row.has_trailing_stop),
    )


def _held(book: dict[str, Any]) -> dict[tuple[str, str], Held]:
    """What both venues hold, by exchange and symbol."""
    waiting = {
        (row["venue"], row["symbol"])
        for row in book["orders"]
        if row["status"] == "untriggered" and row["purpose"] == "stop_loss"
    }
    return {
        key: Held(amount, key in waiting)
        for row in book["positions"]
        if (amount := Decimal(row["amount"]))
        for key in [(row["venue"], row["symbol"])]
    }


def _stop_id(exchange: str, row_id: int) -> str:
    number = _FIRST_STOP + row_id
    return str(number) if exchange == "binance" else str(uuid.uuid5(uuid.NAMESPACE_OID, f"stop/{number}"))


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def open_bot(database: Database, control: SimulatorControl, *, clock: Clock | None = None) -> DemoBot:
    """The bot of the world that the database's mark names. Raises RefusedError where it bears none: nothing was written."""
    async with database.connection() as connection:
        mark = await demo_mark(connection)
    if mark is None:
        raise RefusedError(
            "This database is none that the demo made. Nothing was written.",
            hint="The demo bot trades in made-up worlds only.",
        )
    return DemoBot(database, control, make_world(*world_of_mark(mark)), clock=clock)


async def _main(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with (
        await Database.open(arguments.dsn, application="posguard demo bot", size=2) as database,
        SimulatorControl(arguments.simulator) as control,
    ):
        bot = await open_bot(database, control)
        log.info("The demo bot runs.")
        await bot.run(ended, arguments.interval)
    log.info("The demo bot has ended.")


def main(words: list[str] | None = None) -> int:
    """The program; the exit code. Ends cleanly, its step finished, on SIGTERM and SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m posguard.demo.bot", description="Keeps the demo world moving."
    )
    parser.add_argument("--dsn", default=os.environ.get("POSGUARD_DSN"), help="default: POSGUARD_DSN")
    parser.add_argument("--simulator", required=True, help="address of the exchange simulator")
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two steps")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_main(parser.parse_args(words)))
    except PosguardError as error:
        log.error("%s", error)  # noqa: TRY400 - one line, no traceback
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
