"""Puts a demo world into a database and onto a simulator."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from posguard.demo.records import columns, values
from posguard.demo.venues import book_document
from posguard.postgres.botworld import MARK, load, prepare
from posguard.postgres.pool import Database

if TYPE_CHECKING:
    from pydantic import SecretStr

    from posguard.demo.world import DemoWorld
    from posguard.simulator.client import SimulatorControl


async def seed(db_dsn: SecretStr | str, simulator_control: SimulatorControl, world: DemoWorld) -> None:
    """Makes the bot's tables and fills them with the world, in one transaction; then sets both books to it.

    A database that an earlier demo filled is filled anew, and what posguard recorded of that demo is forgotten. Raises
    RefusedError where the database holds somebody else's monitoring data, with nothing changed anywhere; the pool's errors;
    SimulatorError, after which the same call may be made again.
    """
    tables = {
        name: (columns(type(rows[0])), [values(row) for row in rows])
        for name, rows in world.rows.tables().items()
    }
    async with (
        await Database.open(db_dsn, application="posguard demo", size=1) as database,
        database.transaction() as connection,
    ):
        await prepare(connection, world_mark(world.now, world.seed))
        await load(connection, tables)
    await simulator_control.load(replace=True, **book_document(world))


def world_mark(now: datetime, seed: int) -> str:
    """What the database says of itself: that it is made up, and of which world."""
    return f"{MARK}; anchored_at={now.isoformat()}; seed={seed}"


def world_of_mark(mark: str) -> tuple[datetime, int]:
    """Time and seed of the world that a mark names, for `make_world`. Raises ValueError where it names none."""
    parts = dict(part.split("=", 1) for part in mark.split("; ") if "=" in part)
    try:
        return datetime.fromisoformat(parts["anchored_at"]), int(parts["seed"])
    except KeyError:
        raise ValueError(f"the mark names no world: {mark}") from None
