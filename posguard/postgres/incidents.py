"""What the database knows of one symbol around one time; reads only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from posguard.model.incident import (
    DatabaseFacts,
    EventFact,
    RowFact,
    TransitionFact,
    TriggerFact,
    UniqueIndexFact,
)
from posguard.model.money import to_decimal
from posguard.postgres.queries import queries

if TYPE_CHECKING:
    from posguard.model.scope import Scope


async def read_incident(connection: Any, scope: Scope, since: datetime, until: datetime) -> DatabaseFacts:
    """The facts about the scope's symbol: rows made between two times, their events and recorded changes, indexes and triggers.

    Times are aware. Raises SchemaError where monitoring.positions is missing, and DatabaseUnavailableError.
    """
    asked = queries("incidents")
    found = asked.rows_around(
        connection, symbol=scope.symbol, exchange=scope.exchange, since=since, until=until
    )
    rows = tuple([_row(dict(r)) async for r in found])
    ids = [row.id for row in rows]
    events = transitions = None
    if await asked.has_table(connection, qualified_name="monitoring.events"):
        around = asked.events_around(connection, symbol=scope.symbol, ids=ids, since=since, until=until)
        events = tuple([EventFact(**dict(e)) async for e in around])
    if await asked.has_table(connection, qualified_name="posguard.transitions"):
        transitions = tuple(
            [TransitionFact(**dict(t)) async for t in asked.transitions_of(connection, ids=ids)]
        )
    indexes = queries("facts").unique_indexes(connection)
    return DatabaseFacts(
        read_at=datetime.now(UTC),
        rows=rows,
        events=events,
        transitions=transitions,
        indexes=tuple([UniqueIndexFact(**dict(i)) async for i in indexes]),
        triggers=tuple([TriggerFact(**dict(t)) async for t in asked.triggers(connection)]),
    )


def _row(record: dict[str, Any]) -> RowFact:
    return RowFact(**record | {"quantity": to_decimal(record["quantity"])})
