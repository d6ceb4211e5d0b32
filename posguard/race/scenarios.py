"""The races: who acts on a symbol at the same time, and what of it is legitimate.

Each scenario runs a batch of symbols at once in one account, as the bot trades many: the signals are the symbol's own, a
pass of the synchroniser or of the clean-up goes over all of them. When each actor starts is drawn from the seed, spread
over the window in which the bot waits for settlement and half as long again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from posguard.race.judge import Due
from posguard.race.signal import Ended, Opened, Signal

if TYPE_CHECKING:
    import random

    from posguard.race.cores import Whole

QUANTITY = Decimal("61.8")
_PRICE, _STOP = Decimal(1), Decimal("0.95")
_SLUMP, _STOP_AFTER = Decimal("0.93"), Decimal("0.85")
_STRESS_SIGNALS = 5

Opens = Mapping[str, Sequence[Opened]]


class Scenario(StrEnum):
    """The races that can be reproduced."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    STRESS = "stress"
    PROCESSES = "processes"


@dataclass
class Arena:
    """What a scenario acts with. `rival` is a second task's core, or another process's; times in seconds."""

    core: Whole
    rival: Callable[[Signal], Awaitable[Opened]]
    symbols: Sequence[str]
    random: random.Random
    window: float
    exchange: str
    slump: Callable[[str, Decimal], None]
    batch: int = 0
    opened: dict[str, list[Opened]] = field(default_factory=dict)
    failed_passes: list[str] = field(default_factory=list)

    def signal(self, symbol: str, attempt: str) -> Signal:
        """A signal of its own key."""
        key = f"{symbol}-{self.batch}-{attempt}"
        return Signal(key, symbol, QUANTITY, _PRICE, _STOP, exchange=self.exchange)

    async def open(
        self, signal: Signal, latest: float, by: Callable[[Signal], Awaitable[Opened]] | None = None
    ) -> Opened:
        """Opens at a moment up to `latest` windows from now, and notes what came of it."""
        await self.pause(latest)
        try:
            opened = await (by or self.core.open)(signal)
        except Exception as error:  # noqa: BLE001 - what escapes from a core is a breach of its own
            opened = Opened(Ended.RAISED, None, type(error).__name__)
        self.opened.setdefault(signal.symbol, []).append(opened)
        return opened

    async def go_over(self, step: Callable[[], Awaitable[None]]) -> None:
        """One pass of the synchroniser or the clean-up; what it raises is noted."""
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - as above
            self.failed_passes.append(type(error).__name__)

    async def pause(self, latest: float) -> None:
        """Waits up to `latest` windows."""
        await asyncio.sleep(self.random.uniform(0, latest) * self.window)


async def signal_and_signal(arena: Arena) -> None:
    """A: two signals for one symbol."""
    await asyncio.gather(
        *(
            arena.open(arena.signal(symbol, attempt), 1.0, by)
            for symbol in arena.symbols
            for attempt, by in (("1", arena.core.open), ("2", arena.rival))
        )
    )


async def signal_and_synchroniser(arena: Arena) -> None:
    """B: a signal, and a pass of the synchroniser while it is under way."""

    async def synchronise() -> None:
        await arena.pause(1.5)
        await arena.go_over(arena.core.synchronise)

    signals = (arena.open(arena.signal(symbol, "1"), 0.5) for symbol in arena.symbols)
    await asyncio.gather(synchronise(), *signals)


async def retry_after_rollback(arena: Arena) -> None:
    """C: the price falls through the first attempt's stop, so that it has to roll back; a second attempt comes meanwhile.

    Where neither opened, a third comes when all is over: nothing may stand in its way.
    """
    for symbol in arena.symbols:
        arena.slump(symbol, _SLUMP)

    def again(symbol: str, attempt: str) -> Signal:
        return replace(arena.signal(symbol, attempt), entry_price=_SLUMP, stop_price=_STOP_AFTER)

    await asyncio.gather(
        *(arena.open(arena.signal(symbol, "1"), 0.2) for symbol in arena.symbols),
        *(arena.open(again(symbol, "2"), 1.5, arena.rival) for symbol in arena.symbols),
    )
    await arena.go_over(arena.core.settle)
    left = [s for s in arena.symbols if all(o.ended is not Ended.ACTIVE for o in arena.opened[s])]
    await asyncio.gather(*(arena.open(again(symbol, "3"), 0.0) for symbol in left))


async def cleanup_and_signal(arena: Arena) -> None:
    """D: a signal, and a pass of the clean-up of unfinished rows while it is under way."""

    async def clean() -> None:
        await arena.pause(1.5)
        await arena.go_over(arena.core.cleanup)

    signals = (arena.open(arena.signal(symbol, "1"), 0.5) for symbol in arena.symbols)
    await asyncio.gather(clean(), *signals)


async def stress(arena: Arena) -> None:
    """Five signals for each symbol, synchroniser and clean-up over and over."""
    signals = [
        asyncio.create_task(arena.open(arena.signal(symbol, str(attempt)), 2.0, by))
        for symbol in arena.symbols
        for attempt in range(_STRESS_SIGNALS)
        for by in (arena.core.open if attempt % 2 else arena.rival,)
    ]

    async def over_and_over(step: Callable[[], Awaitable[None]]) -> None:
        while not all(task.done() for task in signals):
            await arena.go_over(step)
            await arena.pause(0.5)

    await asyncio.gather(*signals, over_and_over(arena.core.synchronise), over_and_over(arena.core.cleanup))


@dataclass(frozen=True, slots=True)
class Race:
    """A scenario with what it makes legitimate; `told` names its actors."""

    run: Callable[[Arena], Awaitable[None]]
    due: Due
    told: str


RACES: Mapping[Scenario, Race] = {
    Scenario.A: Race(signal_and_signal, Due(), "signal and signal"),
    Scenario.B: Race(signal_and_synchroniser, Due(), "signal and synchroniser"),
    Scenario.C: Race(retry_after_rollback, Due(entries=2, closed=QUANTITY), "retry after rollback"),
    # a clean-up may end a row for which nothing was sent; that signal then opens nothing
    Scenario.D: Race(cleanup_and_signal, Due(opens=False), "clean-up and signal"),
    Scenario.STRESS: Race(stress, Due(opens=False), "signals, synchroniser and clean-up, over and over"),
    Scenario.PROCESSES: Race(signal_and_signal, Due(), "signal and signal, in two processes"),
}
