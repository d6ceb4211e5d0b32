"""The bot's tables in a database that posguard made up itself: the demo's, and the tests'. No other database is ever written.

Such a database bears a mark, the comment on its schema monitoring, so that commands that write made-up data can tell it from a
real one. A database that holds somebody else's monitoring data is refused.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from posguard.errors import RefusedError
from posguard.postgres.pool import set_json
from posguard.postgres.queries import queries, script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

TABLES = ("events", "orders", "positions", "trailing_stop_state")
MARK = "posguard demo world"


async def demo_mark(connection: Any) -> str | None:
    """The mark of a made-up database, None on every other one. It begins with MARK and may say more after a semicolon."""
    text = await queries("botworld").mark(connection)
    return str(text) if text and str(text).startswith(MARK) else None


async def prepare(connection: Any, mark: str) -> None:
    """Makes the four tables, or empties those of an earlier demo with what posguard recorded of it, and sets the mark.

    `mark` begins with MARK. Inside a transaction of the caller's. Raises RefusedError, with nothing changed, where the schema
    monitoring holds rows or tables and bears no mark.
    """
    sql = queries("botworld")
    present = [row["relname"] for row in [row async for row in sql.bot_tables(connection)]]
    marked = await demo_mark(connection)
    if not present:
        await connection.execute(script("bot_schema"))
    elif marked is None and (tuple(present) != TABLES or await sql.holds_rows(connection)):
        raise RefusedError(
            "This database holds monitoring data that no demo made. Nothing was changed.",
            hint="Name an empty database, or one that a demo made.",
        )
    elif tuple(present) != TABLES:
        missing = ", ".join(sorted(set(TABLES) ^ set(present)))
        raise RefusedError(
            f"The demo database is not as a demo left it (see {missing}). Nothing was changed.",
            hint="Drop it, then run it again.",
        )
    else:
        await sql.empty_tables(connection)
        await sql.forget_runs(connection)
    await sql.hold_mark(connection, mark=mark)
    await sql.write_mark(connection)


async def load(
    connection: Any, tables: Mapping[str, tuple[Sequence[str], Collection[Sequence[Any]]]]
) -> None:
    """Loads rows by COPY: table name to column names and rows; JSON columns as text. The serial of positions goes above them."""
    for table, (columns, rows) in tables.items():
        await append(connection, table, columns, rows)
    await queries("botworld").raise_serial(connection)


async def append(
    connection: Any, table: str, columns: Sequence[str], rows: Collection[Sequence[Any]]
) -> None:
    """Appends rows to one of the bot's tables by COPY; JSON columns as text."""
    async with _plain_json(connection):
        await connection.copy_records_to_table(
            table, schema_name="monitoring", columns=list(columns), records=rows
        )


async def change(connection: Any, rows: Collection[Mapping[str, Any]]) -> None:
    """Changes stop, end and status of positions, by id."""
    if rows:
        await queries("botworld").change_positions(connection, list(rows))


@asynccontextmanager
async def _plain_json(connection: Any) -> AsyncIterator[None]:
    """COPY speaks the binary format, which the pool's JSON codec does not know: the driver's own one takes JSON as text."""
    await connection.reset_type_codec("jsonb", schema="pg_catalog")
    try:
        yield
    finally:
        await set_json(connection)
