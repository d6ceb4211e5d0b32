"""One request budget for all processes on an address: each leases a small part in advance from a ledger they share.

The ledger keeps time by one clock, its own. A leased part counts against the budget until a window after its time is over, so
that no window of the venue's ever holds more than the share, and a process that dies gives its part back by doing nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from posguard.errors import PosguardError
from posguard.exchange.budget import LONGEST_WAIT, UNSHARED, shared_budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.exchange.table import VenueTable
    from posguard.model.weight import Booking

_PART = 0.05  # of the allowance, leased at once
_LIFE = 0.1  # of the window, in which a part is spent or lost
_TRIES = 3  # a ledger that answers later than a part lives is as good as none
_ALONE = 30.0  # seconds without the ledger after it failed


class Ledger(Protocol):
    """Where the bookings of all processes are kept."""

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
        """Books `weight` for `life` seconds at the earliest time that keeps `allowance` in every `window` seconds.

        `settled` is an earlier booking and what was spent of it; weight 0 only settles. `at_once` records what was sent
        already, whatever the allowance says. Raises PosguardError where the ledger cannot be reached or written.
        """
        ...

    async def pause(
        self, exchange: str, address: str, seconds: float, why: str, *, only_reading: bool
    ) -> None:
        """Tells all processes that the venue wants nothing for so long. Raises PosguardError."""
        ...


class LedgerBudget:
    """A gateway's part of the budget that all processes share; the same to use as Budget.

    Where the ledger fails, this process goes on with a budget of its own, of half the share, and tries again later.
    """

    paces = True

    def __init__(
        self,
        ledger: Ledger,
        table: VenueTable,
        address: str,
        *,
        share: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._where = (table.exchange, address)
        self._allowance = max(1, int(table.limit * share))
        self._window = table.window
        self._life = table.window * _LIFE
        self._clock = clock
        self._by_itself = shared_budget(
            table.exchange, address, limit=table.limit, window=table.window, share=share * UNSHARED
        )
        self._failed_until = 0.0
        self._leased: int | None = None
        self._of_it, self._left, self._good_until = 0, 0, 0.0
        self._paused, self._barred = (0.0, ""), (0.0, "")
        self._owed = 0
        self._to_tell: list[tuple[float, str, bool]] = []
        self._telling: asyncio.Task[None] | None = None
        self._taking = asyncio.Lock()

    async def take(self, weight: int) -> None:
        """Wait until `weight` may be spent. At once, and without it, where a pause is longer than anybody waits."""
        async with self._taking:
            if not self.blocked()[0] and self._spent_of_lease(weight):
                return
            if await self._lease(weight):
                return
            await self._by_itself.take(weight)

    def spend(self, weight: int) -> None:
        """Count `weight` as sent now. Never waits: what no lease covers is told to the ledger afterwards."""
        if not self._spent_of_lease(weight):
            self._owed += weight
            self._tell()

    def block(self, seconds: float, why: str, *, only_reading: bool = False) -> None:
        """Send nothing for `seconds`, or read nothing, here and in every other process."""
        self._heed((seconds, why), (0.0, "") if only_reading else (seconds, why))
        self._to_tell.append((seconds, why, only_reading))
        self._tell()

    def blocked(self, *, for_reading: bool = True) -> tuple[float, str]:
        """The seconds until anything may be sent again, as last heard, and why; zero where nothing stands in the way."""
        until, why = self._paused if for_reading else self._barred
        return max(0.0, until - self._clock()), why

    async def close(self) -> None:
        """Give back what was leased and not spent. Safe to call twice."""
        if self._telling is not None:
            await self._telling
        if (settled := self._out_of_hand()) is not None:
            await self._ask(0, settled=settled)

    def _spent_of_lease(self, weight: int) -> bool:
        if self._left < weight or self._clock() >= self._good_until:
            return False
        self._left -= weight
        return True

    async def _lease(self, weight: int) -> bool:
        for _ in range(_TRIES):
            asked = self._clock()
            wanted = max(weight, int(self._allowance * _PART))
            booking = await self._ask(wanted, settled=self._out_of_hand())
            if booking is None or booking.id is None:
                return False
            self._leased, self._of_it = booking.id, wanted
            if self.blocked()[0] > LONGEST_WAIT:
                return True
            if (wait := max(booking.delay, self.blocked()[0])) > 0:
                await asyncio.sleep(wait + 0.001)
            self._left, self._good_until = wanted, asked + booking.delay + self._life
            if self._spent_of_lease(weight):
                return True
        return False

    def _out_of_hand(self) -> tuple[int, int] | None:
        """The present lease and what was spent of it; nothing more is spent of it from here on."""
        if self._leased is None:
            return None
        unspent = self._left if self._good_until else self._of_it
        settled = self._leased, self._of_it - unspent
        self._leased, self._of_it, self._left, self._good_until = None, 0, 0, 0.0
        return settled

    async def _ask(
        self, weight: int, *, at_once: bool = False, settled: tuple[int, int] | None = None
    ) -> Booking | None:
        """What the ledger answers; None where it fails, or failed a moment ago."""
        if self._clock() < self._failed_until:
            return None
        try:
            booking = await self._ledger.book(
                *self._where,
                weight=weight,
                allowance=self._allowance,
                window=self._window,
                life=self._life,
                at_once=at_once,
                settled=settled,
            )
        except PosguardError:
            self._failed_until = self._clock() + _ALONE
            return None
        self._heed(booking.paused, booking.barred)
        return booking

    def _heed(self, paused: tuple[float, str], barred: tuple[float, str]) -> None:
        now = self._clock()
        if paused[0] > 0:
            self._paused = max(self._paused, (now + paused[0], paused[1]))
            self._by_itself.block(*paused, only_reading=True)
        if barred[0] > 0:
            self._barred = max(self._barred, (now + barred[0], barred[1]))
            self._by_itself.block(*barred)

    def _tell(self) -> None:
        """Starts telling the ledger what it does not know yet, beside whatever goes on."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._told())

    async def _told(self) -> None:
        while self._owed or self._to_tell:
            if self._owed:
                owed, self._owed = self._owed, 0
                if await self._ask(owed, at_once=True) is None:
                    self._by_itself.spend(owed)
            if self._to_tell:
                seconds, why, only_reading = self._to_tell.pop(0)
                try:
                    await self._ledger.pause(*self._where, seconds, why, only_reading=only_reading)
                except PosguardError:
                    self._failed_until = self._clock() + _ALONE
