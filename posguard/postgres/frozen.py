"""One instant of the database for a library that opens its own connections: all of them see the same rows, and only read.

The library gets a connect function and two hooks; address and password stay here.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy.event
from psycopg import IsolationLevel, sql

from posguard.errors import SettingsError
from posguard.postgres.drivers import driver_error, mapped_driver_error, secrets_of
from posguard.postgres.pool import NO_DSN, NO_DSN_HINT
from posguard.postgres.queries import script
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from pydantic import SecretStr
    from sqlalchemy import Connection, Engine

    from posguard.errors import PosguardError


@dataclass
class FrozenView:
    """The database as it stood at `as_of` (the server's clock, aware UTC).

    `columns` holds `schema.table.column` of every table but the system's, whether the role may read it or not. Unqualified
    names are looked up in `schema`, which may be changed between two transactions.
    """

    as_of: datetime
    snapshot: str
    columns: frozenset[str]
    _dsn: SecretStr = field(repr=False)
    _ends_at: float
    _next_stop: float
    schema: str = "monitoring"

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection whose transactions are REPEATABLE READ, READ ONLY."""
        return _connect(self._dsn)

    def follow(self, engine: Engine) -> None:
        """Makes every transaction of the engine see this view."""
        sqlalchemy.event.listen(engine, "begin", self._join)

    def allow(self, length: timedelta) -> None:
        """What follows may take this long, all its statements and the library's retries together; then they are cut."""
        self._next_stop = time.monotonic() + length.total_seconds()

    def cleaned(self, text: str) -> str:
        """`text` without the address and its password."""
        return redact(text, self._dsn, *secrets_of(self._dsn))

    def mapped(self, error: BaseException) -> PosguardError:
        """The posguard error that a library's error stands for, by the driver's error behind it."""
        return mapped_driver_error(driver_error(error) or error, self._dsn)

    def _join(self, connection: Connection) -> None:
        left = max(min(self._next_stop, self._ends_at) - time.monotonic(), 0.001)
        statement = sql.SQL(script("join_frozen_view")).format(
            snapshot=sql.Literal(self.snapshot),
            schema=sql.Identifier(self.schema),
            milliseconds=sql.Literal(int(left * 1000)),
        )
        connection.exec_driver_sql(statement.as_string(None))


@contextmanager
def frozen_view(dsn: SecretStr | None, *, limit: timedelta) -> Iterator[FrozenView]:
    """Holds one instant of the database open until the block ends; no statement runs past `limit` from now.

    Raises PosguardError's where the database cannot be reached or read; nothing was changed.
    """
    if not dsn:
        raise SettingsError(NO_DSN, hint=NO_DSN_HINT)
    try:
        holder = _connect(dsn)
    except psycopg.Error as error:
        raise mapped_driver_error(error, dsn) from None
    try:
        try:
            row = holder.execute(script("frozen_view").encode()).fetchone()
        except psycopg.Error as error:
            raise mapped_driver_error(error, dsn) from None
        assert row is not None, "a SELECT without FROM has one row"
        snapshot, as_of, columns = row
        ends_at = time.monotonic() + limit.total_seconds()
        yield FrozenView(as_of, snapshot, frozenset(columns), dsn, ends_at, ends_at)
    finally:
        holder.close()  # without a COMMIT, which a connection that broke meanwhile would refuse


def _connect(dsn: SecretStr) -> psycopg.Connection[Any]:
    # No server-side statement outlives its transaction, as poolers in transaction mode want it.
    connection = psycopg.connect(
        dsn.get_secret_value(), connect_timeout=10, application_name="posguard suites", prepare_threshold=None
    )
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection
