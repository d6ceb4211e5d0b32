"""The ledger of request weight that all processes on one address share, in posguard's schema, by the database's clock."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from posguard.errors import DatabaseUnavailableError, PosguardError
from posguard.model.weight import Booking
from posguard.postgres.pool import Database
from posguard.postgres.queries import queries
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

log = structlog.get_logger(__name__)

_PATIENCE = (
    5.0  # seconds of one statement: nobody's stop-loss waits for this table, and reading has a way without it
)


class Weights:
    """Bookings and pauses of all processes. Each call is one statement: it works behind a pooler in transaction mode."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def book(
        self,
        exchange: str,
        address: str,
        *,
        weight: int,
        allowance: int,
        window: float,
        life: float,
        at_once: bool = False,
        settled: tuple[int, int] | None = None,
    ) -> Booking:
        """Books weight at the earliest time that keeps the allowance in every window of seconds. Raises PosguardError."""
        booking, spent = settled or (None, None)
        async with _known_failure(), self._db.connection() as connection:
            row = await queries("weights").book(
                connection,
                exchange=exchange,
                address=address,
                weight=weight,
                allowance=allowance,
                span=timedelta(seconds=window),
                life=timedelta(seconds=life),
                at_once=at_once,
                settled=booking,
                spent=spent,
            )
        return Booking(
            row["booking"],
            row["delay"],
            (row["paused"] or 0.0, row["paused_why"] or ""),
            (row["barred"] or 0.0, row["barred_why"] or ""),
        )

    async def pause(
        self, exchange: str, address: str, seconds: float, why: str, *, only_reading: bool
    ) -> None:
        """Tells all processes that the venue wants nothing for so long; a shorter pause changes nothing. Raises PosguardError."""
        async with _known_failure(), self._db.connection() as connection:
            await queries("weights").pause(
                connection,
                exchange=exchange,
                address=address,
                seconds=timedelta(seconds=seconds),
                why=why,
                only_reading=only_reading,
            )


@asynccontextmanager
async def _known_failure() -> AsyncIterator[None]:
    """Whatever the ledger fails of is a reason to do without it, a closed pool or a function that is gone included."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailableError(
            f"The request budget could not be shared: {redact(str(error))}. Nothing was booked."
        ) from None


@asynccontextmanager
async def open_weights(dsn: SecretStr | None) -> AsyncIterator[Weights | None]:
    """The shared ledger of the database; None where it has none that the role may write, and a log line says so."""
    async with AsyncExitStack() as stack:
        why, db = "", None
        try:
            db = await stack.enter_async_context(
                await Database.open(dsn, application="posguard weights", size=1, timeout=_PATIENCE)
            )
            async with db.connection() as connection:
                if not await queries("weights").usable(connection):
                    why = "no table of it that may be written"
        except PosguardError as error:
            why = str(error)
        if why:
            log.info("request_budget_not_shared", why=why)
        yield Weights(db) if db is not None and not why else None
