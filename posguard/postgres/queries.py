"""The named queries of posguard/postgres/sql/*.sql, loaded once by aiosql: the only place with SQL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import aiosql

SQL = Path(__file__).parent / "sql"


@cache
def queries(name: str) -> Any:
    """The queries of sql/<name>.sql as an aiosql object for asyncpg; each named query is a coroutine function of a connection."""
    return aiosql.from_path(SQL / f"{name}.sql", "asyncpg", mandatory_parameters=False)


def script(name: str) -> str:
    """The text of sql/<name>.sql, for a script that runs as a whole."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")
