"""The doors at which an actor stops: in front of each SQL statement and each request to the venue.

An actor is a coroutine with connections, a venue handle and a clock of its own. It stops in front of every step and goes on
when the stage lets it; between two steps only its own code runs. BEGIN is no step, for it neither sees nor changes anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import UsageError
from posguard.model.order import MoveReply, Outcome
from posguard.postgres.pool import set_json
from posguard.race.actors import DiedError
from posguard.race.footprints import (
    ADVISORY,
    EVERYTHING,
    LOCKS,
    Footprint,
    Kind,
    Standing,
    Step,
    read_statement,
    request_step,
    step_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from posguard.model.order import OrderReply
    from posguard.model.venue import VenueId
    from posguard.race.actors import Actor

_CANNOT = (
    "The explorer cannot stop in front of the steps of {what}. Use execute, fetch, fetchrow or fetchval."
)


class GatedConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose every statement is a step of its actor."""

    actor: Actor | None = None
    standing: Standing | None = None  # of the transaction that is open
    holds: bool = False  # an advisory lock of the session

    @property
    def in_the_way(self) -> bool:
        """Whether another connection may have to wait for this one."""
        return self.standing is not None or self.holds

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """A step."""
        return await self._step(
            query, args, lambda: super(GatedConnection, self).execute(query, *args, timeout=timeout)
        )

    async def bare(self, text: str) -> Any:
        """A statement of the explorer's own, which is no step."""
        return await super().execute(text)

    async def executemany(self, command: str, args: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """One step, however many rows."""
        rows = list(args)
        run = super().executemany
        return await self._step(command, (), lambda: run(command, rows, timeout=timeout))

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """A step."""
        return await self._step(
            query, args, lambda: super(GatedConnection, self).fetch(query, *args, **options)
        )

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """A step."""
        return await self._step(
            query, args, lambda: super(GatedConnection, self).fetchrow(query, *args, **options)
        )

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """A step."""
        return await self._step(
            query, args, lambda: super(GatedConnection, self).fetchval(query, *args, **options)
        )

    async def prepare(self, *args: Any, **options: Any) -> Any:
        """Refused."""
        if self.actor is None:
            return await super().prepare(*args, **options)
        raise UsageError(_CANNOT.format(what="a prepared statement"))

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Refused."""
        if self.actor is None:
            return super().cursor(*args, **options)
        raise UsageError(_CANNOT.format(what="a cursor"))

    async def _step(self, text: str, args: tuple[Any, ...], run: Callable[[], Awaitable[Any]]) -> Any:
        if self.actor is None:
            return await run()
        statement = read_statement(text)
        if statement.kind is Kind.BEGIN:
            if self.actor.dead:
                raise DiedError
            self.standing = self.standing or Standing()
            return await run()
        step = step_of(statement, self.standing, args)
        async with self.actor.turn(step, self):
            try:
                return await run()
            finally:
                self._after(statement.kind, step.touches)

    def _after(self, kind: Kind, touched: Footprint) -> None:
        if kind in {Kind.COMMIT, Kind.ROLLBACK}:
            self.standing = None
        elif self.standing is not None:
            self.standing.wrote = self.standing.wrote or LOCKS in touched.writes
            self.standing.locked = self.standing.locked or ADVISORY in touched.writes
        else:
            self.holds = self.holds or ADVISORY in touched.writes


class ActorPool:
    """An actor's connections, as asyncpg's pool gives them. Neither taking nor giving back is a step."""

    def __init__(self, dsn: str, actor: Actor, application: str) -> None:
        self._dsn = dsn
        self._actor = actor
        self._application = application
        self._free: list[Any] = []
        self.all: list[Any] = []

    async def warm(self) -> None:
        """Opens the first connection, so that none is opened while actors run."""
        if not self._free:
            self._free.append(await self._connect())

    def acquire(self, *, timeout: float | None = None) -> _Acquired:  # noqa: ARG002 - as asyncpg's
        """`async with pool.acquire() as connection`."""
        return _Acquired(self)

    async def release(self, connection: Any) -> None:
        """Gives a connection back."""
        self._free.append(connection)

    async def take(self) -> Any:
        """A free connection."""
        return self._free.pop() if self._free else await self._connect()

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        """One statement on some connection."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args, **options)

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        """One query on some connection."""
        async with self.acquire() as connection:
            return await connection.fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        """One query on some connection."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        """One query on some connection."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args, **options)

    async def settle(self) -> None:
        """No transaction is open any more, and every connection is free again; broken ones are replaced."""
        living = [connection for connection in self.all if not connection.is_closed()]
        for connection in living:
            if connection.is_in_transaction():
                await connection.bare("ROLLBACK")
            if connection.holds:
                await connection.bare("SELECT pg_advisory_unlock_all()")
            connection.standing, connection.holds = None, False
        self.all = self._actor.connections = living
        self._free = list(living)
        await self.warm()

    async def close(self) -> None:
        """Closes the connections."""
        for connection in self.all:
            connection.terminate()
        self.all = self._actor.connections = []
        self._free = []

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self._dsn,
            connection_class=GatedConnection,
            server_settings={
                "application_name": self._application,
                "timezone": "UTC",
                "default_transaction_isolation": "read committed",
            },
        )
        await set_json(connection)
        connection.actor = self._actor
        self.all.append(connection)
        self._actor.connections = self.all
        return connection


class _Acquired:
    """What `acquire` gives: awaited or entered."""

    def __init__(self, pool: ActorPool) -> None:
        self._pool = pool
        self._connection: Any = None

    def __await__(self) -> Any:
        return self._pool.take().__await__()

    async def __aenter__(self) -> Any:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(self, *_error: object) -> None:
        await self._pool.release(self._connection)


class GatedVenue:
    """A trading gateway each of whose requests is a step of its actor; what is no request goes straight through."""

    def __init__(self, inner: Any, actor: Actor) -> None:
        self._inner = inner
        self._actor = actor

    @property
    def venue(self) -> VenueId:
        """Exchange and account."""
        venue: VenueId = self._inner.venue
        return venue

    def __getattr__(self, name: str) -> Any:
        there = getattr(self._inner, name)
        if name not in _REQUESTS:
            return there

        async def request(*args: Any, **options: Any) -> Any:
            async with self._actor.turn(request_step(name)):
                return await there(*args, **options)

        return request

    async def move_stop(self, symbol: str, *args: Any, old_order_id: str, **options: Any) -> MoveReply:
        """Two requests, and so two steps."""
        placed: OrderReply = await self.place_stop(symbol, *args, **options)
        if placed.outcome is not Outcome.ACCEPTED:
            return MoveReply(placed, None)
        return MoveReply(placed, await self.cancel(symbol, order_id=old_order_id, conditional=True))


_REQUESTS = frozenset(
    {
        "snapshot",
        "fills",
        "orders_since",
        "find",
        "place_entry",
        "place_stop",
        "close_reduce_only",
        "cancel",
        "permissions",
    }
)


async def pass_time(
    actor: Actor, pool: ActorPool, statement: str, others: Iterable[Actor], seconds: float
) -> None:
    """A step that everything meets: time passes for everybody, leases run out by the statement."""
    async with pool.acquire() as connection, actor.turn(Step("time passes", EVERYTHING), connection):
        await connection.bare(statement)
        for other in others:
            other.clock.jump(seconds)
