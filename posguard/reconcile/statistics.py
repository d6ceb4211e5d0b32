"""Statistics by status, errors per hour, and whether the bot gets better (D5, D10). A measure without a source says so, never 0."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.errors import DatabaseUnavailableError, SchemaError
from posguard.model.baseline import BEFORE, BUILT_IN
from posguard.model.scope import Scope
from posguard.postgres import baselines
from posguard.postgres import statistics as store
from posguard.postgres.schema import NEWEST, schema_version
from posguard.postgres.statistics import EVENTS, POSITIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from posguard.model.baseline import Baseline
    from posguard.postgres.pool import Database

DAY = timedelta(hours=24)
PATIENCE = timedelta(seconds=5)  # of one query: statistics must not hold up a pass
WINDOWS: Mapping[str, timedelta] = {"24h": DAY, "7d": timedelta(days=7), "30d": timedelta(days=30)}
GOAL_ROLLED_BACK_SHARE = 0.05

_NEEDS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "rows_by_status": {
        POSITIONS: frozenset({"status", "created_at", "opened_at", "closed_at", "exchange", "symbol"})
    },
    "errors_per_hour": {EVENTS: frozenset({"event_type", "severity", "created_at", "exchange", "symbol"})},
    "rolled_back": {POSITIONS: frozenset({"status", "exit_reason", "created_at", "exchange", "symbol"})},
    "duplicate_key_errors": {
        EVENTS: frozenset({"error_message", "event_data", "created_at", "exchange", "symbol"})
    },
    "open_latency": {
        POSITIONS: frozenset({"id", "created_at", "exchange", "symbol"}),
        EVENTS: frozenset({"event_type", "position_id", "created_at"}),
    },
}

_EVERYTHING = Scope()


async def read_statistics(
    db: Database,
    now: datetime,
    scope: Scope = _EVERYTHING,
    *,
    error_hours: int = 24,
    baseline: str = BEFORE,
) -> dict[str, Any]:
    """All measures as plain JSON.

    `by_status` holds `rows` over the last 24 h, `errors_per_hour` over the last `error_hours`; `windows` holds, for 24h, 7d and 30d, `rolled_back`
    (rows, rolled_back, for_duplicates, share), `duplicate_key_errors` and `open_latency` (opens, p50, p95, p99, max in
    seconds, from the row to its first stop-loss); `baseline` holds the same of the baseline of that name. Whatever has no source holds `no_source`, the reason, in their place.
    Times are ISO texts in UTC. Never raises for a table, a column or a privilege that is missing, nor for a slow query.
    """
    async with db.connection() as connection:
        have = {table: await store.columns(connection, table) for table in (POSITIONS, EVENTS)}
    asked = _Asked(db, have, now, scope)
    return {
        "at": now.isoformat(),
        "by_status": await asked.rows("rows_by_status", DAY),
        "errors_per_hour": await asked.rows("errors_per_hour", timedelta(hours=error_hours)),
        "error_hours": error_hours,
        "windows": {name: await _window(asked, length) for name, length in WINDOWS.items()},
        "baseline": await _baseline(db, baseline),
        "goal_rolled_back_share": GOAL_ROLLED_BACK_SHARE,
    }


async def measure(db: Database, period_to: datetime, length: timedelta) -> dict[str, Any]:
    """The measures of one window, of everything, over the period of that length which ends then; see `read_statistics`."""
    async with db.connection() as connection:
        have = {table: await store.columns(connection, table) for table in (POSITIONS, EVENTS)}
    return await _window(_Asked(db, have, period_to, _EVERYTHING), length)


async def find_baseline(connection: Any, name: str) -> Baseline | None:
    """The baseline of a name, the built-in one included; None where there is none, or posguard's schema lacks the table."""
    if name == BUILT_IN.name:
        return BUILT_IN
    if await schema_version(connection) != NEWEST:
        return None
    return await baselines.by_name(connection, name)


async def _baseline(db: Database, name: str) -> dict[str, Any]:
    try:
        async with db.snapshot() as connection:
            found = await find_baseline(connection, name)
    except (DatabaseUnavailableError, SchemaError) as error:
        return {"name": name, "no_source": error.message}
    if found is None:
        return {"name": name, "no_source": f"no baseline of the name {name} is stored"}
    return found.plain


async def _window(asked: _Asked, length: timedelta) -> dict[str, Any]:
    rolled_back = await asked.line("rolled_back", length)
    if "rows" in rolled_back:
        rows = rolled_back["rows"]
        rolled_back["share"] = round(rolled_back["rolled_back"] / rows, 4) if rows else None
    return {
        "rolled_back": rolled_back,
        "duplicate_key_errors": await asked.line("duplicate_key_errors", length),
        "open_latency": await asked.line("open_latency", length),
    }


class _Asked:
    """One reading: which columns there are, which query was too slow, and every query behind the same guard."""

    def __init__(self, db: Database, have: Mapping[str, frozenset[str]], now: datetime, scope: Scope) -> None:
        self._db, self._have, self._now, self._scope = db, have, now, scope
        self._failed: dict[str, str] = {}

    async def rows(self, query: str, window: timedelta) -> dict[str, Any]:
        async def ask(connection: Any) -> dict[str, Any]:
            found = await store.rows_of(connection, query, self._now, window, self._scope)
            return {"rows": [_plain(row) for row in found]}

        return await self._ask(query, ask)

    async def line(self, query: str, window: timedelta) -> dict[str, Any]:
        async def ask(connection: Any) -> dict[str, Any]:
            return _plain(await store.line_of(connection, query, self._now, window, self._scope))

        return await self._ask(query, ask)

    async def _ask(self, query: str, ask: Callable[[Any], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """What the query says, or why it has no source; what failed over a short window is not asked over a longer one."""
        if why := self._missing(query) or self._failed.get(query):
            return {"no_source": why}
        try:
            async with self._db.snapshot() as connection:
                await store.be_quick(connection, PATIENCE)
                return await ask(connection)
        except (DatabaseUnavailableError, SchemaError) as error:
            self._failed[query] = error.message
            return {"no_source": error.message}

    def _missing(self, query: str) -> str:
        for table, needed in _NEEDS[query].items():
            have = self._have[table]
            if not have:
                return f"{table} does not exist or may not be read"
            if lacking := sorted(needed - have):
                return f"{table} has no column {', '.join(lacking)}"
        return ""


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
