"""The bot's old trading core, with the faults that made its incidents. Only for the reproduction and the explorer.

What is wrong here is wrong on purpose and is what the bot did:

1. the existence check sees rows in status `active` only, and so does the unique index of the old tables;
2. the lock's key comes from Python's `hash()`, which is salted for each process;
3. where the check finds a row, its id is returned as if it were new, and a second order is placed on it;
4. updates are transactions of their own, without a lock and without a look at the status they replace;
5. a row is born `active`, leaves the index as `entry_placed`, waits, and comes back as `active`;
6. the synchroniser does not see intermediate statuses, and inserts;
7. a rollback closes by market whatever it finds, or gives up with a line in the log;
8. unfinished rows are recovered at start-up alone; nobody looks for duplicates, nobody is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, Self

import asyncpg

from posguard.model.order import Outcome
from posguard.model.position import Side
from posguard.race.queries import queries
from posguard.race.signal import Ended, Opened, Timings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from posguard.model.order import OrderReply
    from posguard.model.venue import VenueId, VenuePosition, VenueSnapshot
    from posguard.race.signal import Signal

_log = logging.getLogger(__name__)


class DefectiveVenue(Protocol):
    """What the old core asks of a venue; every TradingGateway is one."""

    @property
    def venue(self) -> VenueId:
        """Exchange and account."""
        ...

    async def snapshot(self) -> VenueSnapshot:
        """Positions and orders."""
        ...

    async def place_entry(
        self, symbol: str, side: Side, quantity: Decimal, *, client_order_id: str
    ) -> OrderReply:
        """A market order that opens or adds."""
        ...

    async def place_stop(
        self, symbol: str, side: Side, quantity: Decimal, trigger: Decimal, *, client_order_id: str
    ) -> OrderReply:
        """A stop-loss."""
        ...

    async def close_reduce_only(
        self, symbol: str, side: Side, quantity: Decimal, *, client_order_id: str
    ) -> OrderReply:
        """A market order that closes."""
        ...


def salted_key(symbol: str, exchange: str) -> int:
    """The old lock key: another one in every process, for `hash()` of a text is salted."""
    return int(abs(hash(f"{symbol}:{exchange}")) % (2**31 - 1))


@dataclass(frozen=True, slots=True)
class DefectiveSettings:
    """The bot's own waits in seconds. `scaled` shortens them so that many runs fit into a minute; the order stays.

    unseen_share is the share of rollbacks to which the venue's list does not show the position in time: the bot's log has
    about a tenth.
    """

    settle: float = 3.0
    poll_every: float = 1.0
    polls: int = 20
    stop_attempts: int = 3
    stop_distance: Decimal = Decimal("0.05")
    unseen_share: float = 0.0
    seed: int = 0
    lock_key: Callable[[str, str], int] = salted_key
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    def scaled(self, pace: float) -> Self:
        """The same with every wait shortened to its share `pace`."""
        return replace(self, settle=self.settle * pace, poll_every=self.poll_every * pace)


class OldCoreError(Exception):
    """An order was refused; the old core rolls back on it, as on anything else."""


class DefectiveCore:
    """The old core on a pool of asyncpg and one venue. Leaves what the bot left: see the list above."""

    def __init__(self, pool: Any, venue: DefectiveVenue, settings: DefectiveSettings | None = None) -> None:
        self._pool = pool
        self._venue = venue
        self._settings = settings or DefectiveSettings()
        self._sql = queries("defective")
        self._random = random.Random(self._settings.seed)  # noqa: S311 - which rollbacks are blind, repeatable

    @property
    def exchange(self) -> str:
        """The exchange whose rows it writes."""
        return self._venue.venue.exchange

    async def open(self, signal: Signal) -> Opened:
        """Row, entry, wait, stop-loss, active. Whatever goes wrong after the row ends in `rollback`."""
        timings, began = Timings(), time.perf_counter()
        try:
            row_id = await self._create(signal, timings)
        except Exception as error:  # noqa: BLE001 - as the bot did: the caller got a None and a line in the log
            _log.info("Atomic position creation failed: %s", error)
            return Opened(Ended.FAILED, None, type(error).__name__, timings)
        entered = False
        try:
            order = self._checked(
                await self._venue.place_entry(
                    signal.symbol, signal.side, signal.quantity, client_order_id=_client_id("in")
                )
            )
            entered = True
            left = time.perf_counter()
            await self._run("placed", id=row_id, order_id=order.order_id)
            await self._settings.sleep(self._settings.settle)
            await self._protect(signal.symbol, signal.side, signal.quantity, signal.stop_price)
            timings.window = time.perf_counter() - left
            await self._run("activate", id=row_id, trigger=signal.stop_price)
        except Exception as error:  # noqa: BLE001 - as the bot did
            _log.info("Atomic position creation failed: %s", error)
            await self.rollback(row_id, signal.symbol, entered=entered, reason=type(error).__name__)
            timings.total = time.perf_counter() - began
            return Opened(Ended.ROLLED_BACK, row_id, type(error).__name__, timings)
        timings.total = time.perf_counter() - began
        return Opened(Ended.ACTIVE, row_id, "", timings)

    async def rollback(self, row_id: int, symbol: str, *, entered: bool = True, reason: str = "") -> bool:
        """Closes by market whatever the venue shows for the symbol; whether it found anything to close.

        Where it finds nothing it says so in the log, and the row is called rolled back all the same.
        """
        _log.info("Rolling back position for %s, state=%s", symbol, "entry_placed" if entered else "pending")
        closed = entered and await self._close_what_is_there(symbol)
        if entered and not closed:
            _log.info("Position %s not found after %s attempts!", symbol, self._settings.polls)
        await self._run("end", id=row_id, status="rolled_back", reason=reason or "rollback")
        return closed

    async def synchronise(self) -> tuple[int, ...]:
        """Inserts a row for each position of the venue without an `active` row, ends `active` rows without a position.

        Returns the ids it inserted.
        """
        held = (await self._venue.snapshot()).positions
        rows = await self._rows("active_rows")
        known = {row["symbol"] for row in rows}
        made = [await self._adopt(position) for position in held if position.symbol not in known]
        there = {position.symbol for position in held}
        for row in rows:
            if row["symbol"] not in there:
                await self._run("end", id=row["id"], status="closed", reason="not on the exchange")
        return tuple(made)

    async def recover(self) -> None:
        """What the bot does at its start with rows that are not finished, and at no other time."""
        rows = await self._rows("unfinished")
        held = {position.symbol: position for position in (await self._venue.snapshot()).positions}
        for row in rows:
            position = held.get(row["symbol"])
            if row["status"] == "pending_entry" or position is None:
                await self._run("end", id=row["id"], status="failed", reason="incomplete at start")
            else:
                await self._recover_held(row, position)

    async def cleanup(self) -> None:
        """The clean-up of unfinished rows: closes the position on the venue, ends the row; it asks nobody whether he is at work on it."""
        rows = await self._rows("unfinished")
        for row in rows:
            if row["status"] == "pending_entry":
                await self._run("end", id=row["id"], status="failed", reason="incomplete")
                continue
            position = await self._held(row["symbol"])
            if position is not None:
                await self._close(position)
            await self._run("end", id=row["id"], status="closed", reason="incomplete")

    async def _create(self, signal: Signal, timings: Timings) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            now = time.perf_counter()
            key = self._settings.lock_key(signal.symbol, signal.exchange)
            await self._sql.lock(connection, key=key)
            timings.lock, now = time.perf_counter() - now, time.perf_counter()
            there = await self._sql.active_row(connection, symbol=signal.symbol, exchange=signal.exchange)
            timings.check, now = time.perf_counter() - now, time.perf_counter()
            if there is not None:
                return int(there)
            made = await self._insert(
                connection, signal.symbol, signal.side, signal.quantity, signal.entry_price
            )
            timings.insert = time.perf_counter() - now
            return made

    async def _insert(
        self, connection: Any, symbol: str, side: Side, quantity: Decimal, price: Decimal
    ) -> int:
        made: int = await self._sql.insert(
            connection,
            symbol=symbol,
            exchange=self.exchange,
            side=side.value,
            quantity=quantity,
            entry_price=price,
            order_id=None,
        )
        return made

    async def _adopt(self, position: VenuePosition) -> int:
        """The synchroniser's insert: the same create, with what the venue shows."""
        async with self._pool.acquire() as connection, connection.transaction():
            key = self._settings.lock_key(position.symbol, self.exchange)
            await self._sql.lock(connection, key=key)
            there = await self._sql.active_row(connection, symbol=position.symbol, exchange=self.exchange)
            price = position.entry_price or Decimal(0)
            return there or await self._insert(
                connection, position.symbol, position.side, position.quantity, price
            )

    async def _protect(self, symbol: str, side: Side, quantity: Decimal, trigger: Decimal) -> None:
        for attempt in range(1, self._settings.stop_attempts + 1):
            reply = await self._venue.place_stop(
                symbol, side, quantity, trigger, client_order_id=_client_id("sl")
            )
            if reply.outcome is Outcome.ACCEPTED:
                return
            _log.info("SL attempt %s/%s failed", attempt, self._settings.stop_attempts)
        raise OldCoreError(f"Failed to set stop loss for {symbol}")

    async def _recover_held(self, row: Any, position: VenuePosition) -> None:
        trigger = row["stop_loss_price"] or self._default_trigger(position)
        try:
            await self._protect(position.symbol, position.side, position.quantity, trigger)
        except OldCoreError:
            await self._close(position)
            await self._run("end", id=row["id"], status="closed", reason="could not be protected")
            return
        try:
            await self._run("activate", id=row["id"], trigger=trigger)
        except asyncpg.UniqueViolationError as error:
            _log.info("Recovery of %s failed: %s", position.symbol, error)

    def _default_trigger(self, position: VenuePosition) -> Decimal:
        price = position.mark_price or position.entry_price or Decimal(0)
        distance = self._settings.stop_distance
        away = 1 - distance if position.side is Side.LONG else 1 + distance
        return (price * away).quantize(Decimal("0.0001"))

    async def _close_what_is_there(self, symbol: str) -> bool:
        blind = self._random.random() < self._settings.unseen_share
        for attempt in range(1, self._settings.polls + 1):
            position = None if blind else await self._held(symbol)
            if position is not None:
                _log.info("Position found on attempt %s/%s", attempt, self._settings.polls)
                await self._close(position)
                return True
            await self._settings.sleep(self._settings.poll_every)
        return False

    async def _held(self, symbol: str) -> VenuePosition | None:
        positions = (await self._venue.snapshot()).positions
        return next((position for position in positions if position.symbol == symbol), None)

    async def _close(self, position: VenuePosition) -> None:
        await self._venue.close_reduce_only(
            position.symbol, position.side, position.quantity, client_order_id=_client_id("out")
        )

    async def _run(self, name: str, **values: Any) -> None:
        async with self._pool.acquire() as connection:
            await getattr(self._sql, name)(connection, **values)

    async def _rows(self, name: str) -> list[Any]:
        async with self._pool.acquire() as connection:
            return [row async for row in getattr(self._sql, name)(connection, exchange=self.exchange)]

    @staticmethod
    def _checked(reply: OrderReply) -> OrderReply:
        if reply.outcome is not Outcome.ACCEPTED:
            raise OldCoreError(f"entry refused: {reply.reason}")
        return reply


def _client_id(role: str) -> str:
    """A new one each time: the old core cannot find an order again."""
    return f"old-{role}-{uuid.uuid4().hex[:20]}"
