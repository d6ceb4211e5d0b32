"""The doors at which an actor stops: in front of each SQL statement and each request to the venue.

An actor is a coroutine with connections, a venue handle and a clock of its own. It stops in front of every step and goes on
when the stage lets it; between two steps only its own code runs. BEGIN is no step, for it neither sees nor changes anything.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from posguard.errors import UsageError
from posguard.model.order import MoveReply, Outcome
from posguard.postgres.pool import set_json
from posguard.race.footprints import (
    ADVISORY,
    EVERYTHING,
    LOCKS,
    Footprint,
    Kind,
    Standing,
    Step,
    footprint,
    read_statement,
    request_step,
    step_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable

    from posguard.model.order import OrderReply
    from posguard.model.venue import VenueId


class DiedError(BaseException):
    """The actor is dead. No handler of ordinary errors sees it, and no step is made after it."""


class Actor:
    """One actor on a stage. `pending` is the step that it stands before, None while it runs, waits for a lock, or is done."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = ActorClock()
        self.pending: Step | None = None
        self.dead = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.connections: list[Any] = []
        self.current: Any = None  # the connection that the step under way runs on
        self._task: asyncio.Task[Any] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._go: asyncio.Future[None] | None = None
        self._one = asyncio.Lock()

    @property
    def done(self) -> bool:
        """Whether its work is over."""
        return self._task is not None and self._task.done()

    @property
    def running(self) -> bool:
        """Whether it is between two steps, or its step is under way."""
        return not self.done and self.pending is None

    @asynccontextmanager
    async def turn(self, step: Step, connection: Any = None) -> AsyncIterator[None]:
        """Stops in front of the step until it may be made. Steps of one actor's own tasks queue up."""
        async with self._one:
            if self.dead:
                raise DiedError
            if self._task is None:
                yield
                return
            self._go = asyncio.get_running_loop().create_future()
            self.pending, self.current = step, connection
            self._stop()
            try:
                await self._go
            finally:
                self.pending = None
            yield

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[None]:
        """Lets the actor run to its first step."""
        self._stopped = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._live(work))
        self._task.add_done_callback(lambda _task: self._stop())
        return self._stopped

    def release(self) -> asyncio.Future[None]:
        """Lets the actor make its step; the future is done when it stops again."""
        return self._resume(None)

    def die(self) -> asyncio.Future[None]:
        """Ends the actor in front of its step; the future is done when nothing of it runs any more."""
        self.dead = True
        return self._resume(DiedError())

    def forget(self) -> None:
        """Makes the actor one that can begin anew."""
        self.pending = self.result = self.error = self.current = None
        self._task = self._stopped = self._go = None
        self.dead = False
        self.clock = ActorClock()
        self._one = asyncio.Lock()

    def _resume(self, error: BaseException | None) -> asyncio.Future[None]:
        self._stopped = asyncio.get_running_loop().create_future()
        if self._go is not None and not self._go.done():
            if error is None:
                self._go.set_result(None)
            else:
                self._go.set_exception(error)
        return self._stopped

    @property
    def stopped(self) -> asyncio.Future[None]:
        """Done when the actor stands before a step, or is done."""
        assert self._stopped is not None
        return self._stopped

    def _stop(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    async def _live(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self.result = await work
        except DiedError:
            pass
        except BaseExceptionGroup as group:  # of the actor's own tasks
            self.error = group.split(DiedError)[1]
        except Exception as error:  # noqa: BLE001 - what comes out of an actor is judged, not raised
            self.error = error


class ActorClock:
    """An actor's own time: sleeping costs none, and others' sleep does not make it late. Satisfies the core's Clock."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        """Seconds since the actor began, as it counts them."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Time passes for this actor alone. Not a step: any other actor may make any number of steps meanwhile."""
        self._now += max(seconds, 0.0)
        await asyncio.sleep(0)

    def jump(self, seconds: float) -> None:
        """Time passed while the actor stood still."""
        self._now += seconds


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


async def toy_step(actor: Actor, label: str, *, reads: str = "", writes: str = "") -> None:
    """A step that touches what is named, one letter each, and nothing else: for proofs of the stage."""
    async with actor.turn(Step(label, footprint(reads=tuple(reads), writes=tuple(writes)))):
        pass
