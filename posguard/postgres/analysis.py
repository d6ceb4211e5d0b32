"""The analysis of a window in 14 sections (M6): typed values of each part, and the same queries as one script for psql. Reads only.

A part whose tables or columns a deployment lacks, or may not read, says so and fails no other; so does one that takes too long.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import asyncpg

from posguard.model.analysis import SECTIONS, Analysis, Told
from posguard.postgres.queries import queries
from posguard.postgres.statistics import columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from posguard.postgres.pool import Database

AGED = timedelta(hours=3)
LISTED = 500
AT_ONCE = 2
POSITIONS = "monitoring.positions"
ORDERS = "monitoring.orders"
EVENTS = "monitoring.events"
TRAILING = "monitoring.trailing_stop_state"
STATEMENTS = "pg_stat_statements"


@dataclass(frozen=True, slots=True)
class Query:
    """A part's query: its file, the columns without which it cannot be asked, and those it can do without, by table."""

    file: str
    needs: Mapping[str, frozenset[str]]
    without: Mapping[str, frozenset[str]]


def _query(file: str, needs: Mapping[str, str], without: Mapping[str, str] | None = None) -> Query:
    def split(named: Mapping[str, str]) -> dict[str, frozenset[str]]:
        return {table: frozenset(names.split()) for table, names in named.items()}

    return Query(file, split(needs), split(without or {}))


def _rows(needs: str, without: str = "") -> Query:
    return _query("analysis", {POSITIONS: needs}, {POSITIONS: without} if without else None)


def _events(needs: str) -> Query:
    return _query("analysis_events", {EVENTS: f"created_at {needs}"})


def _orders(needs: str, without: str = "") -> Query:
    return _query("analysis", {ORDERS: needs}, {ORDERS: without} if without else None)


_LIVES = "status symbol exchange created_at closed_at"
_STOP = "stop_loss_order_id has_stop_loss stop_loss_price"
QUERIES: Mapping[str, Query] = {
    "overview": _rows(_LIVES),
    "hours": _query(
        "analysis_events",
        {EVENTS: "created_at event_type severity", POSITIONS: "created_at closed_at status"},
    ),
    "by_exchange": _rows(_LIVES),
    "by_status": _rows("status created_at closed_at", "opened_at"),
    "lifecycle": _rows("exchange status created_at closed_at", "opened_at"),
    "lifecycle_faults": _rows("id status created_at closed_at", "opened_at updated_at"),
    "unprotected": _rows(
        "id exchange symbol side quantity status created_at", f"{_STOP} core_managed opened_at"
    ),
    "never_protected": _query(
        "analysis_events",
        {
            POSITIONS: "id exchange symbol status created_at closed_at",
            EVENTS: "position_id event_type created_at",
        },
        {POSITIONS: f"{_STOP} exchange_order_id"},
    ),
    "stop_loss": _events("event_type exchange"),
    "stop_distance": _rows("exchange side entry_price stop_loss_price created_at", "trailing_activated"),
    "trailing_states": _query(
        "analysis", {TRAILING: "exchange state is_activated"}, {TRAILING: "update_count last_update_time"}
    ),
    "trailing_events": _events("event_type exchange"),
    "trailing_rushes": _events("event_type exchange symbol position_id"),
    "trailing_faults": _query(
        "analysis",
        {
            TRAILING: "id position_id exchange symbol is_activated side current_stop_price highest_price lowest_price",
            POSITIONS: "id status",
        },
        {TRAILING: "stop_order_id activated_at"},
    ),
    "races": _rows(f"id {_LIVES}", "account position_side updated_at"),
    "duplicate_key_errors": _events(
        "id exchange symbol position_id event_type severity error_message event_data"
    ),
    "simultaneous": _events("id event_type exchange symbol position_id correlation_id"),
    "errors": _events("event_type severity exchange position_id"),
    "error_messages": _events("id error_message"),
    "latency": _query(
        "analysis_events",
        {POSITIONS: "id exchange created_at", EVENTS: "id position_id exchange event_type created_at"},
    ),
    "pnl": _rows("id status exchange closed_at", "realized_pnl pnl fees"),
    "pnl_by_reason": _rows("status closed_at", "realized_pnl pnl exit_reason"),
    "pnl_by_symbol": _rows("status exchange symbol closed_at", "realized_pnl pnl"),
    "aged": _rows("id exchange symbol side quantity status created_at", "opened_at unrealized_pnl"),
    "zombies": _query(
        "analysis",
        {
            ORDERS: "id order_id exchange symbol type side size status position_id created_at",
            POSITIONS: "id status",
        },
    ),
    "orders": _orders("exchange type status size created_at", "filled updated_at"),
    "order_fees": _orders("exchange fee fee_currency created_at"),
    "order_faults": _orders("id exchange symbol order_id position_id size filled status created_at"),
    "database": _query("analysis_health", {}),
    "tables": _query("analysis_health", {}),
    "indexes": _query("analysis_health", {}),
    "statements": _query("analysis_health", {STATEMENTS: "userid dbid query calls rows total_exec_time"}),
    "locks": _query("analysis_health", {}),
}
# The parts that take longest over a long window: begun first, so that two connections end together.
_LONGEST = ("latency", "hours", "pnl", "races", "simultaneous", "order_faults")
_PARTS = tuple(name for section in SECTIONS for name in section.parts)
_HINTS = get_type_hints(Analysis)
_ROW: Mapping[str, Any] = {name: get_args(_HINTS[name])[0] for name in _PARTS}

# What one part says about itself alone: its columns are not as they should be, a value cannot be read, it took too long.
_OF_THE_PART = (
    asyncpg.SyntaxOrAccessError,
    asyncpg.DataError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.QueryCanceledError,
)


async def analyse(
    db: Database, since: datetime, until: datetime, *, aged: timedelta = AGED, listed: int = LISTED
) -> Analysis:
    """Every part of the window [since, until), all of one instant, two at a time; `aged` is the age from which an open row is too old.

    Lists hold `listed` rows at most. Never raises for a table, a column or a privilege that is missing, nor for a part that
    takes longer than the database's timeout: the part says so. Raises DatabaseUnavailableError.
    """
    values = {"since": since, "until": until, "aged": aged, "listed": listed}
    told: dict[str, Told[Any]] = {}
    async with db.snapshots(AT_ONCE) as connections:
        have = {table: await columns(connections[0], table) for table in sorted(_tables())}
        left = sorted(_PARTS, key=lambda name: _LONGEST.index(name) if name in _LONGEST else len(_LONGEST))

        async def tell(connection: Any) -> None:
            await queries("analysis_health").have_room(connection)
            while left:
                name = left.pop(0)
                told[name] = await _tell(connection, name, have, values)

        try:
            async with asyncio.TaskGroup() as group:
                for connection in connections:
                    group.create_task(tell(connection))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return Analysis(since, until, **told)


def _tables() -> set[str]:
    return {table for query in QUERIES.values() for table in (*query.needs, *query.without)}


async def _tell(
    connection: Any, name: str, have: Mapping[str, frozenset[str]], values: Mapping[str, Any]
) -> Told[Any]:
    """One part in a savepoint of its own."""
    query = QUERIES[name]
    if why := missing(query, have):
        return Told(no_source=why)
    absent = tuple(sorted(c for table, names in query.without.items() for c in names - have[table]))
    begun = time.perf_counter()
    try:
        async with connection.transaction():
            found = getattr(queries(query.file), name)(connection, **values)
            rows = tuple([_typed(_ROW[name], record) async for record in found])
    except _OF_THE_PART as error:
        return Told(no_source=str(error).splitlines()[0], absent=absent)
    return Told(rows, absent=absent, seconds=time.perf_counter() - begun)


def missing(query: Query, have: Mapping[str, frozenset[str]]) -> str:
    """Why a query cannot be asked of a database with these columns; empty where it can."""
    for table, needed in query.needs.items():
        if not have[table]:
            return f"{table} does not exist or may not be read"
        if lacking := sorted(needed - have[table]):
            return f"{table} has no column {', '.join(lacking)}"
    return ""


def _typed(kind: Any, record: Any) -> Any:
    return kind(
        *[tuple(value) if isinstance(value := record[field.name], list) else value for field in fields(kind)]
    )
