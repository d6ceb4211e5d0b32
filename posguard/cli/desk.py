"""The desk's way into the database: one transaction on posguard's newest schema, and the name of who decides."""

from __future__ import annotations

import asyncio
import getpass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def at_desk(work: Callable[[Any], Awaitable[T]], *, demo: bool, writes: bool = False) -> T:
    """What `work` returns; it gets the connection of one transaction, read-only unless it `writes`.

    Raises PosguardError; then nothing was changed.
    """
    from posguard.cli.connect import database
    from posguard.cli.output import structured_log_to_stderr
    from posguard.postgres.pool import Database
    from posguard.postgres.schema import require_schema

    structured_log_to_stderr()
    dsn = database(demo=demo)

    async def inside() -> T:
        async with (
            await Database.open(dsn, application="posguard findings", size=1) as db,
            db.transaction() if writes else db.snapshot() as connection,
        ):
            await require_schema(connection)
            return await work(connection)

    return asyncio.run(inside())


def actor(named: str) -> str:
    """Who decides: the name given, else the login name."""
    if named.strip():
        return named.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
