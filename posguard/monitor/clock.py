"""The clock a run goes by: the database's, so that its windows end where the bot's rows have their times."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """The present moment, aware UTC."""
        ...

    def agree(self, theirs: datetime, within: timedelta = timedelta(0)) -> None:
        """Takes the database's clock as the right one; it was read at some time `within` the last so much."""
        ...

    async def until(self, moment: datetime, stop: asyncio.Event) -> None:
        """Returns when the moment has come, or when asked to stop."""
        ...


class ServerClock:
    """The clock of the machine, put right by the database's."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The present moment by the database's clock."""
        return datetime.now(UTC) + self._ahead

    def agree(self, theirs: datetime, within: timedelta = timedelta(0)) -> None:
        """A difference counts where the way there and back does not explain it, from half a second on."""
        ahead = theirs - datetime.now(UTC) + within / 2
        if abs(ahead - self._ahead) > timedelta(seconds=0.5) + within / 2:
            self._ahead = ahead

    async def until(self, moment: datetime, stop: asyncio.Event) -> None:
        """Returns when the moment has come, or when asked to stop."""
        while (left := (moment - self.now()).total_seconds()) > 0 and not stop.is_set():
            try:
                # a step of the clock meanwhile is noticed within a second
                await asyncio.wait_for(stop.wait(), min(left, 1.0))
            except TimeoutError:
                continue
