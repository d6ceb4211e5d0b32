"""The database of a reproduction: gates that keep it out of every other one, its tables, its facts, its clearing away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg

from posguard.errors import RefusedError, SchemaError
from posguard.postgres import botupgrade, migrate
from posguard.postgres.pool import mapped_errors
from posguard.postgres.queries import script
from posguard.race.cores import Tables
from posguard.race.judge import RowFact
from posguard.race.queries import queries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from pydantic import SecretStr

_T = TypeVar("_T")
# Who may write this comment owns the database; nobody writes it by accident.
MARK = "posguard: test database"
_TABLES = ("positions", "orders", "events", "trailing_stop_state")


class RaceDatabase:
    """A database that bears the mark, with the tables a core works on; `remove` leaves it as it was found."""

    def __init__(self, dsn: SecretStr, pool: Any) -> None:
        self.dsn = dsn
        self.pool = pool
        self.index_stands = False
        self._sql = queries("world")
        self._made_bot = False
        self._made_own = False
        self._own = False

    @classmethod
    async def open(cls, dsn: SecretStr, *, size: int = 20) -> Self:
        """Connects; changes nothing. Raises what `posguard.postgres.pool.Database.open` raises."""
        with mapped_errors(dsn):
            pool = await asyncpg.create_pool(
                dsn.get_secret_value(),
                min_size=1,
                max_size=size,
                timeout=10,
                server_settings={"application_name": "posguard reproduce", "timezone": "UTC"},
            )
        return cls(dsn, pool)

    async def check(self) -> str:
        """The database's name. Raises RefusedError unless it bears the mark and holds no row but those of test symbols."""
        async with self.pool.acquire() as connection:
            name: str = await self._sql.database_name(connection)
            if await self._sql.mark(connection) != MARK:
                raise RefusedError(
                    f"The database {name} is not marked as one for tests. Nothing was changed.",
                    hint=f"""Only if it is one: COMMENT ON DATABASE "{name}" IS '{MARK}'.""",
                )
            for table in await self._tables(connection):
                if count := await getattr(self._sql, f"foreign_{table}")(connection):
                    raise RefusedError(
                        f"monitoring.{table} of the database {name} holds {count} rows of symbols that are not made up "
                        "(TESTUSDT, TEST1USDT, …). Nothing was changed.",
                        hint="Take an empty database.",
                    )
        return name

    async def prepare(self, tables: Tables) -> None:
        """Makes the tables where nothing is; those that are there stay as they stand.

        Raises SchemaError where they are in part, lack the upgrade that `tables` asks for, or where something else stands in
        the schemas, which `remove` would take away with them.
        """
        async with self.pool.acquire() as connection:
            there = await self._tables(connection)
            in_use = await self._sql.has_bot_schema(connection)
            self._own = await self._sql.has_own_schema(connection)
            upgrades = tables is Tables.UPGRADED
            if "positions" not in there and (in_use or (upgrades and self._own)):
                raise SchemaError(
                    "The database holds a schema monitoring or posguard, and not the bot's table positions. "
                    "Nothing was changed.",
                    hint="Take an empty database.",
                )
            if not there:
                self._made_bot = True
                await connection.execute(script("bot_schema"))
        if not there and upgrades:
            self._made_own = True
            await undisturbed(asyncio.to_thread(migrate.upgrade, self.dsn))
            await botupgrade.upgrade(self.dsn)
            self._own = True
        async with self.pool.acquire() as connection:
            self.index_stands = bool(await self._sql.index_stands(connection))
        if upgrades and not self.index_stands:
            raise SchemaError(
                "The bot's tables in this database are not upgraded. Nothing was changed.",
                hint="Run `posguard db upgrade` and `posguard db upgrade --target bot`, or take an empty database.",
            )

    async def facts(self, symbols: Sequence[str]) -> dict[str, list[RowFact]]:
        """The rows of each symbol, oldest first."""
        found: dict[str, list[RowFact]] = {symbol: [] for symbol in symbols}
        async with self.pool.acquire() as connection:
            async for row in self._sql.rows(connection, symbols=list(symbols)):
                found[row["symbol"]].append(_fact(row))
        return found

    async def clear(self, symbols: Sequence[str]) -> None:
        """Removes the rows of these symbols and what was recorded of them."""
        async with self.pool.acquire() as connection, connection.transaction():
            there, named = await self._tables(connection), list(symbols)
            ids = []
            if "positions" in there:
                ids = [row["id"] async for row in self._sql.delete_positions(connection, symbols=named)]
            for table in there - {"positions"}:
                await getattr(self._sql, f"delete_{table}")(connection, symbols=named)
            if self._own:
                for what in ("transitions", "gaps", "alerts"):
                    await getattr(self._sql, f"delete_{what}")(connection, ids=ids)

    async def remove(self, symbols: Sequence[str]) -> None:
        """Takes everything back that this object made; only after `check` and `prepare`."""
        if not self._made_bot:
            await self.clear(symbols)
            return
        async with self.pool.acquire() as connection:
            await self._sql.drop_bot_tables(connection)
            if self._made_own:
                await self._sql.drop_own_schema(connection)

    async def close(self) -> None:
        """Closes the connections."""
        try:
            await asyncio.wait_for(self.pool.close(), 5)
        except TimeoutError:
            self.pool.terminate()

    async def _tables(self, connection: Any) -> frozenset[str]:
        return frozenset([row["name"] async for row in self._sql.tables(connection)])


async def undisturbed(work: Awaitable[_T]) -> _T:
    """Waits for work to its end though the caller is cancelled meanwhile; then the cancellation goes on."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


async def checked_name(dsn: SecretStr) -> str:
    """The name of a database on which races may be run; reads only. Raises RefusedError, and what opening it raises."""
    database = await RaceDatabase.open(dsn, size=1)
    try:
        return await database.check()
    finally:
        await database.close()


def _fact(row: Any) -> RowFact:
    fact = RowFact(
        id=row["id"],
        status=row["status"],
        quantity=row["quantity"],
        began=row["began"],
        ended=row["changed"],
        attention=row["attention"],
    )
    if fact.open:
        return RowFact(fact.id, fact.status, fact.quantity, fact.began, None, fact.attention)
    return fact
