"""Plays a world in motion: writes its rows, events and log up to a moment, as the bot would have by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from posguard.demo.records import EventRecord, PositionRecord, columns, values
from posguard.postgres.botworld import append, change

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from posguard.demo.moving import MovingWorld


async def play(
    connection: Any, log: Path | None, world: MovingWorld, after: datetime, until: datetime
) -> None:
    """Writes what happened in (after, until]; the log gets its lines first. Call it inside a transaction."""
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(world.log_between(after, until))
    new, changed = world.rows(after, until)
    if new:
        await append(connection, "positions", columns(PositionRecord), [values(one) for one in new])
    await change(
        connection,
        [
            {
                name: getattr(one, name)
                for name in (
                    "id",
                    "status",
                    "has_stop_loss",
                    "stop_loss_price",
                    "closed_at",
                    "exit_reason",
                    "updated_at",
                )
            }
            for one in changed
        ],
    )
    events = world.events_between(after, until)
    if events:
        await append(connection, "events", columns(EventRecord), [values(one) for one in events])
