"""The named queries of posguard/postgres/sql/*.sql, loaded once by aiosql: the only place with SQL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import aiosql

SQL = Path(__file__).parent / "sql"
_ROOT = Path(__file__).resolve().parents[2] / "migrations"
_SHIPPED = Path(__file__).resolve().parents[1] / "_shipped" / "migrations"
# The repository keeps them at top level, a wheel inside the package.
MIGRATIONS = _ROOT if (_ROOT / "env.py").exists() else _SHIPPED


@cache
def queries(name: str) -> Any:
    """The queries of sql/<name>.sql as an aiosql object for asyncpg; each named query is a coroutine function of a connection."""
    return aiosql.from_path(SQL / f"{name}.sql", "asyncpg", mandatory_parameters=False)


def script(name: str) -> str:
    """The text of sql/<name>.sql, for a script that runs as a whole."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def migration(name: str) -> str:
    """The text of migrations/sql/<name>.sql."""
    return (MIGRATIONS / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def migration_statements(name: str) -> Any:
    """The named statements of migrations/sql/<name>.sql, as `queries` gives those of sql/."""
    return aiosql.from_path(MIGRATIONS / "sql" / f"{name}.sql", "asyncpg", mandatory_parameters=False)


class Statement:
    """One named query with as little as possible between the caller and the server: for what runs hundreds of times a second."""

    def __init__(self, file: str, name: str) -> None:
        loaded = queries(file)
        self._text: str = getattr(loaded, name).sql
        self._order: tuple[str, ...] = tuple(loaded.driver_adapter.var_sorted[name])

    async def row(self, connection: Any, **values: Any) -> Any:
        """The first row; None where there is none."""
        return await connection.fetchrow(self._text, *[values[name] for name in self._order])

    async def rows(self, connection: Any, **values: Any) -> Any:
        """All rows."""
        return await connection.fetch(self._text, *[values[name] for name in self._order])

    async def do(self, connection: Any, **values: Any) -> None:
        """Runs it for its effect."""
        await connection.execute(self._text, *[values[name] for name in self._order])
