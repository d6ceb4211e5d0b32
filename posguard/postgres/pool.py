"""Connections to the bot's database. asyncpg's errors are mapped to posguard's here, once."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import asyncpg
from pydantic import SecretStr

from posguard.errors import (
    CredentialsError,
    DatabaseUnavailableError,
    PosguardError,
    SchemaError,
    SettingsError,
)
from posguard.postgres.queries import queries
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

# Seconds that a server gets beyond its own statement_timeout to say that it gave a statement up.
_GRACE = 5.0
NO_DSN = "No database is named. Nothing was done."
NO_DSN_HINT = (
    "Set POSGUARD_DSN=postgresql://user:password@host:5432/database, or try --demo after `make demo`."
)


async def set_json(connection: Any) -> None:
    """Lets a connection take and give JSON columns as Python values, in COPY too (jsonb alone)."""
    await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await connection.set_type_codec(
        "jsonb", encoder=_jsonb, decoder=_from_jsonb, schema="pg_catalog", format="binary"
    )


# On the wire jsonb is its text after the number of its form, of which there is one.
_FORM = b"\x01"
_EMPTY = _FORM + b"{}"


def _jsonb(value: Any) -> bytes:
    if type(value) is dict and not value:
        return _EMPTY
    return _FORM + json.dumps(value).encode()


def _from_jsonb(data: bytes) -> Any:
    return json.loads(data[1:])


class Database:
    """A small pool on one database. Works behind pgbouncer in transaction mode: by default no server-side statement outlives its transaction."""

    def __init__(self, pool: Any, dsn: SecretStr, *, pinned: bool = True) -> None:
        self._pool = pool
        self._dsn = dsn
        self._pinned = pinned

    @classmethod
    async def open(
        cls,
        dsn: SecretStr | str | None,
        *,
        application: str = "posguard",
        read_only: bool = False,
        size: int = 4,
        timeout: float = 30.0,  # noqa: ASYNC109 - seconds of one statement, handed to the server
        statement_cache: int = 0,
    ) -> Self:
        """A pool of up to `size` connections.

        A statement whose answer never comes, because the network swallows it, is given up five seconds after `timeout`:
        DatabaseUnavailableError, and nobody knows whether it was done.
        statement_cache: prepared statements that each connection keeps, which saves half of the round trips; leave it at 0
        behind pgbouncer in transaction mode.

        Raises SettingsError (no or malformed address), CredentialsError, DatabaseUnavailableError; nothing was changed.
        """
        if not dsn:
            raise SettingsError(NO_DSN, hint=NO_DSN_HINT)
        secret = dsn if isinstance(dsn, SecretStr) else SecretStr(dsn)
        options = {
            "application_name": application,
            "timezone": "UTC",
            "statement_timeout": str(int(timeout * 1000)),
            "default_transaction_read_only": "on" if read_only else "off",
            "default_transaction_isolation": "read committed",
        }
        with mapped_errors(secret):
            pool = await asyncpg.create_pool(
                secret.get_secret_value(),
                min_size=1,
                max_size=size,
                timeout=10,
                command_timeout=timeout + _GRACE,
                statement_cache_size=statement_cache,
                server_settings=options,
                init=set_json,
            )
            # A pooler that does not hand the options on leaves the database's own default in force.
            async with pool.acquire() as connection:
                pinned = await queries("session").isolation(connection) == "read committed"
        return cls(pool, secret, pinned=pinned)

    async def close(self) -> None:
        """Gives the connections back within five seconds, or cuts them."""
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """One connection, each statement a READ COMMITTED transaction of its own; all are one where a pooler hides our settings."""
        if not self._pinned:
            async with self.transaction() as connection:
                yield connection
            return
        with mapped_errors(self._dsn):
            async with self._pool.acquire() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """One READ COMMITTED transaction: committed at the end, rolled back on any error or cancellation."""
        with mapped_errors(self._dsn):
            async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        """One REPEATABLE READ, READ ONLY transaction: every read in it sees the same instant."""
        with mapped_errors(self._dsn):
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection

    @asynccontextmanager
    async def snapshots(self, number: int) -> AsyncIterator[tuple[Any, ...]]:
        """`snapshot` over several connections at once, all of which see the same instant: `number` of them, or fewer.

        Fewer where the pool has no more, or where a connection does not reach the same server. Call it while nothing else of
        this pool is held.
        """
        async with self.snapshot() as first, AsyncExitStack() as others:
            instant = await queries("session").export_snapshot(first)
            connections = [first]
            for _ in range(min(number, self._pool.get_max_size()) - 1):
                try:
                    connections.append(await others.enter_async_context(self._at(instant)))
                except asyncpg.PostgresError:
                    break
            yield tuple(connections)

    @asynccontextmanager
    async def _at(self, instant: str) -> AsyncIterator[Any]:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            # it takes no parameter and has to be the first statement; the name is the server's own
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{instant}'")
            yield connection


def not_the_bots() -> SchemaError:
    """The error of a database that is not the bot's."""
    return SchemaError(
        "This database has no table monitoring.positions, so it is not the bot's. Nothing was changed.",
        hint="Check the database's name in POSGUARD_DSN.",
    )


class mapped_errors:  # noqa: N801 - reads as the statement it is: `with mapped_errors(dsn):`
    """Turns what asyncpg and the network raise into posguard's errors, without the address's password."""

    def __init__(self, dsn: SecretStr) -> None:
        self._dsn = dsn

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (mapped := self._map(error)) is not None:
            raise mapped from None

    def _map(self, error: BaseException) -> Exception | None:
        said = redact(str(error).strip() or type(error).__name__, self._dsn).splitlines()[0]
        if isinstance(error, ValueError | asyncpg.InterfaceError) and _ADDRESS.search(said):
            return SettingsError(
                "The database address cannot be read. Nothing was done.",
                hint="It reads postgresql://user:password@host:5432/database.",
            )
        if isinstance(error, asyncpg.InterfaceError) and "connection" not in said:
            return None
        if isinstance(error, asyncpg.UndefinedTableError) and '"monitoring.positions"' in said:
            return not_the_bots()
        for kinds, mapped, text, hint in _ERRORS:
            if isinstance(error, kinds):
                return mapped(text.format(said=said), hint=hint)
        return None


_ADDRESS = re.compile(
    r"\b(DSN|dsn|scheme|IPv6|port could not be cast|netloc|invalid literal for int)\b", re.IGNORECASE
)
_AGAIN = "Run it again."
_ERRORS: tuple[tuple[tuple[type[BaseException], ...], type[PosguardError], str, str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        CredentialsError,
        "The database refused the login: {said}. Nothing was changed.",
        "Check user and password in POSGUARD_DSN or the connection posguard_db.",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        SettingsError,
        "The server has no such database: {said}. Nothing was changed.",
        "Check the name in POSGUARD_DSN or the connection posguard_db.",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        SchemaError,
        "The database role may not do this: {said}.",
        "`posguard db roles` prints the grants it needs.",
    ),
    (
        (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError),
        SchemaError,
        "The database lacks a table: {said}.",
        "Run `posguard db upgrade`, then again.",
    ),
    (
        (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError),
        DatabaseUnavailableError,
        "The database took too long: {said}.",
        "Run it again when it is quieter.",
    ),
    (
        (asyncpg.SerializationError, asyncpg.DeadlockDetectedError),
        DatabaseUnavailableError,
        "The database undid it, because something else was done at the same time: {said}. Nothing was changed.",
        _AGAIN,
    ),
    (
        (
            asyncpg.PostgresConnectionError,
            asyncpg.CannotConnectNowError,
            asyncpg.ObjectNotInPrerequisiteStateError,  # a database that is closed for maintenance
            asyncpg.TooManyConnectionsError,
            asyncpg.AdminShutdownError,
            asyncpg.CrashShutdownError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # a connection that ended while it was given back
        ),
        DatabaseUnavailableError,
        "The database connection broke: {said}.",
        _AGAIN,
    ),
    (
        (OSError, TimeoutError),
        DatabaseUnavailableError,
        "The database did not answer: {said}. Nothing was changed.",
        "Check that it runs and that host and port are right.",
    ),
)
