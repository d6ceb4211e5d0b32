"""Counting queries over the bot's tables, each asked only where its columns exist; reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from posguard.model.scope import Scope

POSITIONS = "monitoring.positions"
EVENTS = "monitoring.events"


async def columns(connection: Any, table: str) -> frozenset[str]:
    """The columns of `schema.table` that this role may read; empty where there is no such table."""
    found = queries("statistics").columns(connection, qualified_name=table)
    return frozenset([record["name"] async for record in found])


async def be_quick(connection: Any, most: timedelta) -> None:
    """Lets no statement of the transaction under way take longer than `most`."""
    await queries("statistics").be_quick(connection, most=int(most.total_seconds() * 1000))


async def rows_of(
    connection: Any, query: str, now: datetime, window: timedelta, scope: Scope
) -> list[dict[str, Any]]:
    """The lines of rows_by_status or errors_per_hour over the window that ends now."""
    ask = getattr(queries("statistics"), query)
    found = ask(connection, now=now, window=window, exchange=scope.exchange, symbol=scope.symbol)
    return [dict(record) async for record in found]


async def line_of(
    connection: Any, query: str, now: datetime, window: timedelta, scope: Scope
) -> dict[str, Any]:
    """The one line of rolled_back, open_latency or duplicate_key_errors over the window that ends now."""
    ask = getattr(queries("statistics"), query)
    found = await ask(connection, now=now, window=window, exchange=scope.exchange, symbol=scope.symbol)
    return {"count": found} if isinstance(found, int) else dict(found)
