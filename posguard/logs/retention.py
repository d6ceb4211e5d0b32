"""What is too old goes: whole months are dropped, the rest is deleted day by day, so that no statement takes long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.postgres import logevents, logfiles

if TYPE_CHECKING:
    from posguard.postgres.pool import Database

SHORTEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Retained:
    """What was older than `before`: so many events, of which these whole months were dropped; `done` is false for a dry run."""

    before: datetime
    events: int
    partitions: tuple[str, ...]
    done: bool


async def retain(db: Database, before: datetime, *, confirm: bool) -> Retained:
    """Counts the log events before a time, and with `confirm` deletes them. Interrupted, what was deleted stays so; again is fine."""
    async with db.connection() as connection:
        older = await logevents.count_before(connection, before)
    if not confirm:
        return Retained(before, older, (), done=False)
    async with db.transaction() as connection:
        dropped = await logevents.drop_months_before(connection, before)
    async with db.connection() as connection:
        oldest = await logevents.oldest(connection)
    while oldest is not None and oldest < before:
        oldest = min(oldest + timedelta(days=1), before)
        async with db.connection() as connection:
            await logevents.delete_before(connection, oldest)
    async with db.transaction() as connection:
        await logfiles.forget_before(connection, before)
    return Retained(before, older, tuple(dropped), done=True)
