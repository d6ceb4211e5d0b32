"""A share of a venue's request budget, so that the bot on the same address is never banned because of posguard."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_WAIT = 15.0  # seconds: a venue that asks for more makes the read inconclusive instead
# What a process may use of the share while it cannot see the others: two of them at once keep to it.
UNSHARED = 0.5


class Budget:
    """At most `limit * share` of request weight within any `window` seconds, first come first served.

    Safe to share by several gateways, event loops and threads. `clock` gives seconds that never run back.
    """

    def __init__(
        self,
        limit: int,
        window: float,
        *,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        paces: bool = True,
    ) -> None:
        self.limit = limit
        self.window = window
        self.share = share
        self.paces = paces
        self._clock = clock
        self._booked: deque[tuple[float, int]] = deque()
        # Until when, and why: for reading, and for everything.
        self._blocked = (0.0, "")
        self._barred = (0.0, "")
        self._lock = threading.Lock()

    @classmethod
    def unlimited(cls) -> Budget:
        """A budget that never waits: for a simulator that has no limits."""
        return cls(1, 1.0, paces=False)

    @property
    def allowance(self) -> float:
        """The weight that fits into one window."""
        return self.limit * self.share

    def reserve(self, weight: int) -> float:
        """Book `weight` at the earliest time that keeps the budget; the seconds until then.

        A weight larger than the whole allowance waits for an empty window rather than for ever.
        """
        if not self.paces:
            return 0.0
        with self._lock:
            now = self._clock()
            last = self._booked[-1][0] if self._booked else now
            at = max(now, self._blocked[0], last)
            inside = [(when, booked) for when, booked in self._booked if when > at - self.window]
            total = sum(booked for _, booked in inside)
            for when, booked in inside:
                if total + weight <= self.allowance:
                    break
                at = max(at, when + self.window)
                total -= booked
            while self._booked and self._booked[0][0] <= now - self.window:
                self._booked.popleft()
            self._booked.append((at, weight))
            return at - now

    def spend(self, weight: int) -> None:
        """Count `weight` as sent now, whatever the budget says: reading afterwards waits the longer for it."""
        if not self.paces:
            return
        with self._lock:
            now = self._clock()
            later = [entry for entry in self._booked if entry[0] > now]
            earlier = [entry for entry in self._booked if entry[0] <= now]
            self._booked = deque([*earlier, (now, weight), *later])

    def block(self, seconds: float, why: str, *, only_reading: bool = False) -> None:
        """Send nothing for `seconds`, or read nothing; `why` completes the sentence `not asked, for …`."""
        if not self.paces:
            return
        with self._lock:
            until = self._clock() + seconds
            self._blocked = max(self._blocked, (until, why))
            if not only_reading:
                self._barred = max(self._barred, (until, why))

    def blocked(self, *, for_reading: bool = True) -> tuple[float, str]:
        """The seconds until anything may be sent again, and why; zero where nothing stands in the way."""
        with self._lock:
            until, why = self._blocked if for_reading else self._barred
            return max(0.0, until - self._clock()), why

    async def take(self, weight: int) -> None:
        """Wait until `weight` may be spent."""
        delay = self.reserve(weight)
        if delay > 0:
            await asyncio.sleep(delay)

    async def close(self) -> None:
        """Nothing: all gateways of the process go on sharing it."""


_shared: dict[tuple[str, str, float], Budget] = {}
_shared_lock = threading.Lock()


def shared_budget(exchange: str, address: str, *, limit: int, window: float, share: float) -> Budget:
    """The one budget of this process for an exchange at an address: the accounts there share an IP's limit."""
    with _shared_lock:
        return _shared.setdefault((exchange, address, share), Budget(limit, window, share=share))
