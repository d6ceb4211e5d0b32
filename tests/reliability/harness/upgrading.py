"""One check for each part of DB-10, on a database whose bot's tables do not carry the upgrade yet."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from posguard.errors import DatabaseUnavailableError, RefusedError
from posguard.postgres import botupgrade
from posguard.postgres.botfacts import GUARD
from posguard.postgres.queries import migration_statements
from tests.fixtures.bot_tables import catalogue, do, position, rows, sound
from tests.reliability.harness.checks import unless

IN_THE_WAY = {
    "duplicates": (position(), position("BTC/USDT:USDT", status="entry_placed")),
    "a status of no class": (position(status="sleeping"),),
    "an unfinished row": (position(status="entry_placed", age="2 hours"),),
}


async def _stands_in_the_way(dsn: Any, what: str) -> list[str]:
    do(dsn, *IN_THE_WAY[what])
    ids = [each[0] for each in rows(dsn, "SELECT id FROM monitoring.positions ORDER BY id")]
    before = catalogue(dsn)
    try:
        await botupgrade.upgrade(dsn)
    except RefusedError as error:
        named = all(f"#{number}" in error.message for number in ids)
        return [
            *unless(named, f"{what}: rows {ids} are not all named: {error.message}"),
            *unless(catalogue(dsn) == before, f"{what}: something was changed before it was refused"),
        ]
    return [f"{what} did not stand in the way"]


async def duplicates(dsn: Any) -> list[str]:
    return await _stands_in_the_way(dsn, "duplicates")


async def unclassified(dsn: Any) -> list[str]:
    return await _stands_in_the_way(dsn, "a status of no class")


async def unfinished(dsn: Any) -> list[str]:
    return await _stands_in_the_way(dsn, "an unfinished row")


async def invalid_index(dsn: Any) -> list[str]:
    """An interrupted build left an index that is not valid: it must not be taken for the guard."""
    await botupgrade.upgrade(dsn)
    do(dsn, f"DROP INDEX monitoring.{GUARD}", *IN_THE_WAY["duplicates"])
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as link:
        try:
            link.execute(getattr(migration_statements("bot_indexes"), GUARD).sql)
        except psycopg.errors.UniqueViolation:
            link.execute("TRUNCATE monitoring.positions")
    assert sound(dsn, GUARD) is False
    await botupgrade.upgrade(dsn)
    return unless(sound(dsn, GUARD), "an INVALID index was accepted as the guard")


async def turns(dsn: Any) -> list[str]:
    inside, gate = asyncio.Event(), asyncio.Event()

    async def wait(_name: str) -> None:
        inside.set()
        await gate.wait()

    first = asyncio.create_task(botupgrade.upgrade(dsn, checkpoint=wait))
    await inside.wait()
    try:
        await botupgrade.upgrade(dsn, patience=0.3)
    except DatabaseUnavailableError as error:
        return unless("Another upgrade" in error.message, f"{error.message}")
    else:
        return ["two upgrades were at work at one time"]
    finally:
        gate.set()
        await first
