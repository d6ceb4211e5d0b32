"""Every time and limit of the trading core, and the clock it lives by."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from posguard.errors import SettingsError


class Clock(Protocol):
    """Seconds that never run back, and waiting. Tests hand in one that needs no real time."""

    def monotonic(self) -> float:
        """Seconds since some moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        ...


class RealClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds since some moment; a suspended process finds them gone when it wakes."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Times are timedeltas.

    lease: how long a row is one owner's without renewal. settle_after: T of ORD-4, after which an order that nobody finds
    was never executed: the venue's receive window (5 s), twice the greatest clock skew (2 s), and 5 s. patience: how long
    one owner asks before it leaves a row to the next recovery. poll, poll_most: first and longest pause between two
    look-ups. fill_patience: how long an entry may rest unfilled before its rest is cancelled. stop_tries, close_tries: how
    often one owner sends a refused stop or close anew, retry_pause apart. row_patience: how long close, move_stop and
    rollback wait for whoever works on the row. default_stop_percent: the stop's distance in percent of the fill where
    nobody names one, for positions that the synchroniser adopts above all. refuses_external: each open looks at the venue
    before anything is written, and is refused where it holds a position of the key that no open row owns.
    """

    lease: timedelta = timedelta(seconds=10)
    settle_after: timedelta = timedelta(seconds=14)
    patience: timedelta = timedelta(seconds=18)
    poll: timedelta = timedelta(milliseconds=100)
    poll_most: timedelta = timedelta(seconds=2)
    fill_patience: timedelta = timedelta(seconds=5)
    stop_tries: int = 3
    close_tries: int = 4
    retry_pause: timedelta = timedelta(milliseconds=300)
    row_patience: timedelta = timedelta(seconds=10)
    recover_every: timedelta = timedelta(seconds=15)
    synchronise_every: timedelta = timedelta(seconds=30)
    synchronise_gap: timedelta = timedelta(seconds=1)
    adopts: bool = True
    default_stop_percent: Decimal = Decimal(5)
    refuses_external: bool = False
    clock: Clock = field(default_factory=RealClock)

    def __post_init__(self) -> None:
        if self.patience < self.settle_after:
            raise SettingsError("The core's patience is shorter than settle_after. Nothing was done.")
        if not 0 < self.default_stop_percent < 100:
            raise SettingsError("The core's default_stop_percent is not between 0 and 100. Nothing was done.")
        if min(self.stop_tries, self.close_tries) < 1 or self.lease <= timedelta(0):
            raise SettingsError("The core's tries and lease must be above zero. Nothing was done.")
