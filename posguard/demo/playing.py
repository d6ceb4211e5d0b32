"""Plays a world in motion: writes its rows, events and log up to a moment, as the bot would have by then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from posguard.demo.records import EventRecord, PositionRecord, columns, values
from posguard.postgres import migrate
from posguard.postgres.botworld import MARK, append, change, prepare
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import Database

if TYPE_CHECKING:
    from pathlib import Path

    from posguard.demo.moving import MovingWorld

_BEFORE = timedelta(days=2)


async def play(
    connection: Any, log: Path | None, world: MovingWorld, after: datetime, until: datetime
) -> None:
    """Writes what happened in (after, until]; the log gets its lines first. Call it inside a transaction."""
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(world.log_between(after, until))
    new, changed = world.rows(after, until)
    if new:
        await append(connection, "positions", columns(PositionRecord), [values(one) for one in new])
    await change(
        connection,
        [
            {
                name: getattr(one, name)
                for name in (
                    "id",
                    "status",
                    "has_stop_loss",
                    "stop_loss_price",
                    "closed_at",
                    "exit_reason",
                    "updated_at",
                )
            }
            for one in changed
        ],
    )
    events = world.events_between(after, until)
    if events:
        await append(connection, "events", columns(EventRecord), [values(one) for one in events])


class Played:
    """A world that is written as its time comes: a PlayedClock calls it before each moment."""

    def __init__(self, db: Database, world: MovingWorld, log: Path | None = None) -> None:
        self._db, self._world, self._log = db, world, log
        self._done = world.since - _BEFORE

    async def __call__(self, until: datetime) -> None:
        """Writes what happened up to a moment."""
        if until > self._done:
            async with self._db.transaction() as connection:
                await play(connection, self._log, self._world, self._done, until)
            self._done = until


class PlayedClock:
    """A clock that does not wait: it is where somebody waits for, once `before` has been called with that moment."""

    def __init__(self, now: datetime, before: Callable[[datetime], Awaitable[None]] | None = None) -> None:
        self._now, self._before = now, before

    def now(self) -> datetime:
        """Where it stands."""
        return self._now

    def agree(self, _theirs: datetime, _within: timedelta = timedelta(0)) -> None:
        """Nothing: the world's time is not the database's."""

    async def until(self, moment: datetime, stop: asyncio.Event) -> None:
        """Goes there at once, unless asked to stop."""
        if moment > self._now and not stop.is_set():
            if self._before is not None:
                await self._before(moment)
            self._now = moment


@asynccontextmanager
async def made_up_database(folder: Path) -> AsyncIterator[Database]:
    """A database with the bot's tables and posguard's, on a server of its own that is gone afterwards.

    Raises SettingsError where the embedded server is not installed.
    """
    server = await asyncio.to_thread(EmbeddedServer.start, folder / "server", options={"fsync": "off"})
    try:
        dsn = SecretStr(server.dsn("postgres"))
        async with (
            await Database.open(dsn, application="posguard demo", size=1) as db,
            db.transaction() as connection,
        ):
            await prepare(connection, MARK)
        await asyncio.to_thread(migrate.upgrade, dsn)
        async with await Database.open(dsn, application="posguard monitor", size=2) as db:
            yield db
    finally:
        await asyncio.to_thread(server.remove)
