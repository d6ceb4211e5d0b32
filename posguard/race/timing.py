"""How long a core's open waits for its lock, checks and inserts, measured at the connection: the core itself tells nothing."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from posguard.postgres.pool import Database
    from posguard.race.signal import Timings

# The timings of the open that this task carries out.
timed: ContextVar[Timings | None] = ContextVar("posguard_race_timings", default=None)
_LOCK, _INSERT = "pg_advisory_xact_lock", "INSERT INTO monitoring.positions"


class TimedDatabase:
    """A Database whose transactions note lock wait, check and insert in `timed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def connection(self) -> AbstractAsyncContextManager[Any]:
        """One connection, as it is."""
        return self._database.connection()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """One transaction; its statements are timed where somebody wants to know."""
        async with self._database.transaction() as connection:
            timings = timed.get()
            yield connection if timings is None else _TimedConnection(connection, timings)


class _TimedConnection:
    """An asyncpg connection inside an open's first transaction."""

    def __init__(self, connection: Any, timings: Timings) -> None:
        self._connection = connection
        self._timings = timings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: str, *values: Any) -> Any:
        return await self._timed(self._connection.execute, statement, values)

    async def fetch(self, statement: str, *values: Any) -> Any:
        return await self._timed(self._connection.fetch, statement, values)

    async def fetchrow(self, statement: str, *values: Any) -> Any:
        return await self._timed(self._connection.fetchrow, statement, values)

    async def fetchval(self, statement: str, *values: Any) -> Any:
        return await self._timed(self._connection.fetchval, statement, values)

    async def _timed(self, call: Any, statement: str, values: tuple[Any, ...]) -> Any:
        began = time.perf_counter()
        answer = await call(statement, *values)
        took, timings = time.perf_counter() - began, self._timings
        if _LOCK in statement:
            timings.lock = took
        elif _INSERT in statement:
            timings.insert = took
        elif timings.lock is not None and timings.check is None:
            timings.check = took
        return answer
