"""The corrected core under race: posguard.trading on the upgraded tables."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import SecretStr

from posguard.model.position import INTERMEDIATE
from posguard.postgres.pool import Database
from posguard.race.cleaning import clean
from posguard.race.queries import queries
from posguard.race.signal import Ended, Opened, Timings
from posguard.race.timing import TimedDatabase, timed
from posguard.trading import CoreSettings, OpenRequest, Result, TradingCore

if TYPE_CHECKING:
    from decimal import Decimal

    from posguard.race.cores import CoreWorld
    from posguard.race.signal import Signal

_ENDED = {
    Result.ACTIVE: Ended.ACTIVE,
    Result.EXISTING: Ended.EXISTING,
    Result.FAILED: Ended.FAILED,
    Result.ROLLED_BACK: Ended.ROLLED_BACK,
    Result.CLOSED: Ended.ROLLED_BACK,
    Result.PENDING: Ended.UNRESOLVED,
    Result.UNRESOLVED: Ended.UNRESOLVED,
    Result.REFUSED: Ended.FAILED,
}
_POOL = 20
_PASSES = 40


class CorrectedCore:
    """One TradingCore with a database pool of its own, its pauses shortened to the world's pace; leases and T are the real ones."""

    def __init__(self, world: CoreWorld, database: Database, settings: CoreSettings) -> None:
        self._database = database
        self._venue = world.venue
        self._core = TradingCore(TimedDatabase(database), [world.venue], settings)
        self._sql = queries("corrected")

    async def open(self, signal: Signal) -> Opened:
        """TradingCore.open, in the words of the race."""
        timings, began = Timings(), time.perf_counter()
        token = timed.set(timings)
        try:
            opened = await self._core.open(
                OpenRequest(
                    request_key=signal.key,
                    exchange=signal.exchange,
                    symbol=signal.symbol,
                    side=signal.side,
                    quantity=signal.quantity,
                    price=signal.entry_price,
                    stop_price=signal.stop_price,
                )
            )
        finally:
            timed.reset(token)
        timings.total = time.perf_counter() - began
        return Opened(_ENDED[opened.result], opened.position_id, "", timings)

    async def synchronise(self) -> None:
        """One pass of its synchroniser."""
        await self._core.synchronise()

    async def recover(self) -> None:
        """One pass of its recovery."""
        await self._core.recover()

    async def cleanup(self) -> None:
        """A clean-up that heeds no lease fails rows for which nothing was sent yet; then one pass of recovery."""
        async with self._database.connection() as connection:
            await self._sql.fail_unsent(connection)
        await self._core.recover()

    async def apply(self) -> None:
        """The cleanup of posguard.cleanup, plan and all."""
        await clean(self._database, self._venue)

    async def close_position(self, position_id: int) -> None:
        """TradingCore.close."""
        await self._core.close(position_id, "the target was reached")

    async def move_stop(self, position_id: int, trigger: Decimal) -> None:
        """TradingCore.move_stop."""
        await self._core.move_stop(position_id, trigger)

    async def settle(self) -> None:
        """Recovery and synchroniser until every row is at rest, or flagged for a person."""
        await self._core.finish()
        for _ in range(_PASSES):
            await self._core.recover()
            await self._core.synchronise()
            async with self._database.connection() as connection:
                if not await self._sql.unfinished(connection, statuses=[s.value for s in INTERMEDIATE]):
                    return
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Waits for what is under way."""
        await self._core.finish()
        await self._database.close()


async def corrected(world: CoreWorld) -> CorrectedCore:
    """The corrected core in a world."""
    database = await Database.open(SecretStr(world.dsn), application="posguard race", size=_POOL)
    return CorrectedCore(world, database, _settings(world.pace))


def _settings(pace: float) -> CoreSettings:
    usual = CoreSettings()

    def paced(pause: timedelta) -> timedelta:
        return max(pause * pace, timedelta(milliseconds=1))

    return CoreSettings(
        poll=paced(usual.poll),
        poll_most=paced(usual.poll_most),
        retry_pause=paced(usual.retry_pause),
        synchronise_gap=paced(usual.synchronise_gap),
    )
