"""What a database is, has and allows, as `posguard check` needs it. Reads only."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.postgres.queries import queries
from posguard.postgres.schema import schema_version

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table as the present role sees it: its columns, whether it may be read, recorded in, changed in any way."""

    columns: frozenset[str]
    readable: bool
    writable: bool
    changeable: bool


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """A unique index of monitoring.positions; one that is not valid holds nothing apart."""

    name: str
    valid: bool
    definition: str


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """Everything at one look. `tables` is keyed by `schema.name`; size in bytes; clock_skew is theirs minus ours.

    schema_version is None where posguard's schema is absent or may not be read; open_rows (by exchange) is empty where
    monitoring.positions cannot be read in full.
    """

    version: int
    version_text: str
    database: str
    role: str
    superuser: bool
    standby: bool
    may_create: bool
    size: int
    clock_skew: timedelta
    schema_version: str | None
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    unique_indexes: tuple[IndexFacts, ...] = ()
    open_rows: Mapping[str, int] = field(default_factory=dict)


async def read_facts(connection: Any) -> DatabaseFacts:
    """The facts of the database behind a connection. Raises DatabaseUnavailableError."""
    asked = queries("facts")
    server = await asked.server(connection)
    tables = {f"{t['schema']}.{t['name']}": _table(t) async for t in asked.tables(connection)}
    positions = tables.get("monitoring.positions")
    counted: dict[str, int] = {}
    if positions and positions.readable and {"exchange", "status"} <= positions.columns:
        counted = {r["exchange"]: r["open_rows"] async for r in asked.open_by_exchange(connection)}
    version_table = tables.get("posguard.schema_version")
    return DatabaseFacts(
        version=server["version"],
        version_text=server["version_text"],
        database=server["database"],
        role=server["role"],
        superuser=bool(server["superuser"]),
        standby=server["standby"],
        may_create=server["may_create"],
        size=server["size"],
        clock_skew=await _skew(connection),
        schema_version=await schema_version(connection) if version_table and version_table.readable else None,
        tables=tables,
        unique_indexes=tuple([IndexFacts(**dict(i)) async for i in asked.unique_indexes(connection)]),
        open_rows=counted,
    )


async def _skew(connection: Any) -> timedelta:
    """By the quickest of three answers."""
    best: tuple[float, timedelta] | None = None
    for _ in range(3):
        start, before = time.monotonic(), datetime.now(UTC)
        theirs: datetime = await queries("facts").clock(connection)
        took = time.monotonic() - start
        measured = (took, theirs - (before + timedelta(seconds=took / 2)))
        best = measured if best is None else min(best, measured)
    assert best is not None
    return best[1]


def _table(record: Any) -> TableFacts:
    reachable = record["reachable"]
    return TableFacts(
        columns=frozenset(record["columns"]),
        readable=reachable and record["readable"],
        writable=reachable and record["writable"],
        changeable=reachable and record["changeable"],
    )
