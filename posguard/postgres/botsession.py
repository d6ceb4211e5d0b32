"""Two direct connections for changing tables that the bot keeps writing to: one changes, the other watches it.

A change under a strong lock is one transaction in one round trip, waits two seconds for its lock and tries again. A
concurrent build has no limits of time; the watcher ends it when it waits too long for others, because what it leaves then
already refuses the bot's writes and has to be dropped.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import stamina

from posguard.errors import DatabaseUnavailableError, RefusedError, SettingsError
from posguard.postgres.pool import NO_DSN, NO_DSN_HINT, mapped_errors
from posguard.postgres.queries import queries
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pydantic import SecretStr

APPLICATION = "posguard upgrade of the bot's tables"
_POLL = 0.2
_NAMED = queries("botupgrade")


class WaitedTooLongError(DatabaseUnavailableError):
    """A build or drop waited too long for another transaction and was ended."""


@dataclass(frozen=True, slots=True)
class DirectSession:
    """Both connections. `patience` is how long one step waits for others, in seconds; `say` tells the operator."""

    builder: Any
    watcher: Any
    pid: int
    patience: float
    say: Callable[[str], None]

    async def take_turn(self) -> None:
        """Waits until no other migrator of these tables is at work; the turn ends with the session.

        Raises DatabaseUnavailableError where another one still is.
        """
        limit = _Limit(self.patience)
        while not await _NAMED.try_turn(self.builder):
            if limit.over:
                holder = await _NAMED.turn_holder(self.watcher)
                who = f" (process {holder['pid']} of the server)" if holder else ""
                raise DatabaseUnavailableError(
                    f"Another upgrade of the bot's tables is running{who}. Nothing was changed.",
                    hint="Run it again when that one has ended.",
                )
            limit.tell(self.say, "another upgrade of the bot's tables is running; waiting for it")
            await asyncio.sleep(_POLL)

    async def script(self, text: str) -> None:
        """Runs a script as one transaction in one round trip, again and again while its lock is not to be had.

        Raises DatabaseUnavailableError that names who holds the table.
        """
        again = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
        try:
            async for attempt in stamina.retry_context(
                on=again, attempts=None, timeout=self.patience, wait_initial=0.3, wait_max=3
            ):
                with attempt:
                    if attempt.num > 1:
                        self.say(f"the table is busy, try {attempt.num}; {await self._holders()}")
                    await self.builder.execute(text)
        except again:
            raise DatabaseUnavailableError(
                f"The table stayed locked: {await self._holders()}.", hint="Run it again when it is quieter."
            ) from None

    async def concurrently(self, statement: str, table: str) -> None:
        """Runs one CREATE or DROP INDEX CONCURRENTLY, watched. First waits until no old transaction is in its way.

        Raises WaitedTooLongError; what a build has left by then is the caller's to drop.
        """
        await self._quiet(table)
        await self.watched(statement)

    async def watched(self, statement: str) -> None:
        """Runs one statement, and ends it when it waits for others for longer than `patience`."""
        work = asyncio.create_task(self.builder.execute(statement))
        try:
            await self._watch(work)
        finally:
            if not work.done():
                # the watching broke, or the operator did: asyncpg ends the statement on the server, too
                work.cancel()
                await asyncio.wait({work})

    async def _watch(self, work: asyncio.Task[Any]) -> None:
        waited = _Limit(self.patience)
        while not (await asyncio.wait({work}, timeout=_POLL))[0]:
            waits_for = [_spell(b) async for b in _NAMED.blocking(self.watcher, builder=self.pid)]
            if not waits_for:
                waited = _Limit(self.patience)
            elif waited.over:
                await _NAMED.cancel(self.watcher, builder=self.pid)
                try:
                    await work
                except asyncpg.QueryCanceledError:
                    raise WaitedTooLongError(
                        f"It waited {self.patience:g} s for {', '.join(waits_for)}, and was ended.",
                        hint="End that transaction, or run it again when it is quieter.",
                    ) from None
            else:
                waited.tell(self.say, f"waiting for {', '.join(waits_for)}")
        work.result()

    async def _quiet(self, table: str) -> None:
        limit = _Limit(self.patience)
        while in_the_way := await self.in_the_way(table):
            if limit.over:
                raise WaitedTooLongError(
                    f"A build would wait for {', '.join(in_the_way)}, so it was not begun.",
                    hint="End that transaction, or run it again when it is quieter.",
                )
            limit.tell(self.say, f"waiting for {', '.join(in_the_way)}")
            await asyncio.sleep(_POLL)

    async def in_the_way(self, table: str) -> tuple[str, ...]:
        """The open transactions, older than a moment, that a concurrent build or drop on the table would wait for."""
        found = _NAMED.in_the_way(self.watcher, builder=self.pid, table_name=f"monitoring.{table}")
        return tuple([_spell(one) async for one in found])

    async def _holders(self) -> str:
        held = [_spell(one) async for one in _NAMED.holders(self.watcher, builder=self.pid)]
        return f"held by {', '.join(held)}" if held else "nobody holds it now"


class _Limit:
    """A stretch of time that ends; says a thing once."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + seconds
        self._told = ""

    @property
    def over(self) -> bool:
        return self._clock() >= self._ends

    def tell(self, say: Callable[[str], None], text: str) -> None:
        if not self._told:
            say(text)
            self._told = text


def _spell(record: Any) -> str:
    if not record["pid"]:
        return "a prepared transaction"
    named = f" ({record['app']})" if record["app"] else ""
    since = f", open for {record['seconds']:.0f} s" if record["seconds"] else ""
    return f"process {record['pid']}{named}{since}"


@asynccontextmanager
async def direct_session(
    dsn: SecretStr | None, *, patience: float, say: Callable[[str], None]
) -> AsyncIterator[DirectSession]:
    """Both connections, proven to be the server's own and not a pooler's.

    Raises RefusedError behind a pooler, and SettingsError, CredentialsError, DatabaseUnavailableError as the pool does.
    """
    if not dsn:
        raise SettingsError(NO_DSN, hint=NO_DSN_HINT)
    with _refused_by_the_server(dsn), mapped_errors(dsn):
        builder = await _connect(dsn)
        try:
            watcher = await _connect(dsn)
            try:
                yield DirectSession(builder, watcher, builder.get_server_pid(), patience, say)
            finally:
                await _close(watcher)
        finally:
            await _close(builder)


@contextmanager
def _refused_by_the_server(dsn: SecretStr) -> Iterator[None]:
    """Whatever else the server may say to a statement is the operator's to read, and no bug."""
    try:
        yield
    except asyncpg.PostgresError as error:
        said = redact(str(error), dsn).splitlines()[0]
        raise DatabaseUnavailableError(
            f"The database did not carry it out: {said}.", hint="Mend that, then run the same command again."
        ) from None


async def _connect(dsn: SecretStr) -> Any:
    nonce = secrets.token_hex(8)
    try:
        connection = await asyncpg.connect(
            dsn.get_secret_value(),
            timeout=10,
            statement_cache_size=0,
            server_settings={
                "application_name": APPLICATION,
                "timezone": "UTC",
                "search_path": "pg_catalog",
                "default_transaction_read_only": "off",
                "default_transaction_isolation": "read committed",
                # a pooler refuses a setting that it does not know, or leaves it out
                "posguard.direct": nonce,
            },
        )
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" not in str(error):
            raise
        raise _pooler() from None
    if not await _NAMED.is_direct(connection, nonce=nonce):
        await _close(connection)
        raise _pooler()
    await connection.fetch(_NAMED.settle.sql)
    return connection


def _pooler() -> RefusedError:
    return RefusedError(
        "This address leads to a connection pooler, which may give each statement to another connection. Nothing was changed.",
        hint="Name the server itself in POSGUARD_DSN for this one command.",
    )


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
