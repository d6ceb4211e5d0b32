"""What a backup is made of: the rows that a plan touches, whole, and the venue's positions and orders of their keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from posguard.cleanup.backup import Backup, content, read_backup, write_backup
from posguard.errors import VenueUnavailableError
from posguard.model.plan_text import line_plain
from posguard.model.venue import VenueId
from posguard.postgres import cleanup
from posguard.reconcile.sides import order_fields, position_fields

if TYPE_CHECKING:
    from pathlib import Path

    from posguard.cleanup.work import Work


async def make_backup(work: Work, path: Path) -> Backup:
    """Writes the backup of a plan and reads it back. Raises VenueUnavailableError where a venue cannot be read whole.

    One that an interrupted run of the same plan wrote is kept: no line was begun before it was noted.
    """
    if (there := await asyncio.to_thread(_there, path)) is not None and there.code == work.plan.code:
        return there
    positions, orders = await _venues(work)
    ids = {ref.id for one in work.plan.lines for ref in one.line.guards}
    async with work.db.snapshot() as connection:
        rows = await cleanup.whole_rows(connection, ids)
    options = work.plan.plan.options
    said = content(
        created_at=work.clock(),
        mode=options.mode.value,
        filters={"symbol": options.scope.symbol, "exchange": options.scope.exchange},
        rows=rows,
        positions=positions,
        orders=orders,
        plan={
            "id": work.plan.id,
            "code": work.plan.code,
            "database": work.plan.plan.database_fingerprint,
            "worlds": dict(work.plan.plan.worlds),
            "lines": [line_plain(one.line) | {"number": one.number} for one in work.plan.lines],
        },
    )
    return await asyncio.to_thread(write_backup, path, said)


def _there(path: Path) -> Backup | None:
    return read_backup(path) if path.exists() else None


async def _venues(work: Work) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the venues hold of the plan's keys now."""
    keys = {one.line.key for one in work.plan.lines}
    positions: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    for venue in sorted({VenueId(key.exchange, key.account) for key in keys}):
        work.progress(f"{venue}: what is backed up")
        snapshot = await work.readers[venue].snapshot()
        if not snapshot.complete:
            raise VenueUnavailableError(
                f"{venue} cannot be read, so that nothing can be backed up: {'; '.join(snapshot.reasons)}."
                " Nothing was changed.",
                hint="Run the same command again.",
            )
        named = {"exchange": venue.exchange, "account": venue.account}
        mine = {
            (key.symbol, key.position_side) for key in keys if VenueId(key.exchange, key.account) == venue
        }
        positions += [
            named | {"position_side": p.position_side.value, **position_fields(p)}
            for p in snapshot.positions
            if (p.symbol, p.position_side) in mine
        ]
        orders += [
            named | {"symbol": o.symbol, "position_side": o.position_side.value, **order_fields(o)}
            for o in snapshot.orders
            if (o.symbol, o.position_side) in mine
        ]
    return positions, orders
