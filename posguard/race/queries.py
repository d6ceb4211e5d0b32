"""The named queries of posguard/race/sql/*.sql: statements of the bot's old code, and of the world made for a reproduction."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import aiosql

_SQL = Path(__file__).parent / "sql"


@cache
def queries(name: str) -> Any:
    """The queries of sql/<name>.sql as an aiosql object for asyncpg."""
    return aiosql.from_path(_SQL / f"{name}.sql", "asyncpg", mandatory_parameters=False)
