"""The cores that can be raced: the bot's old one, the corrected one, and any that a user wraps.

`--core module:object` names a callable that takes a `CoreWorld` and returns a `RaceCore`; docs/race.md has one in thirty
lines. Its attribute `tables` says on which tables it works: `old` (the default) or `upgraded`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from posguard.errors import NotBuiltError, UsageError
from posguard.race.defective import DefectiveCore, DefectiveSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from posguard.exchange.gateway import TradingGateway
    from posguard.race.signal import Opened, Signal

DEFECTIVE, CORRECTED = "defective", "corrected"
# A tenth of the bot's rollbacks did not find their position.
_UNSEEN = 0.1


class Tables(StrEnum):
    """The state of the bot's tables."""

    OLD = "old"  # the unique index covers `active` only
    UPGRADED = "upgraded"  # target bot is in place


@dataclass(frozen=True, slots=True)
class CoreWorld:
    """What a core gets: the database's address and a pool of asyncpg on it, the venue, and how fast time runs.

    `pace` is the share of the real waits: at 0.01 the bot's 3 s of settlement last 30 ms. `seed` repeats what is random.
    """

    dsn: str
    pool: Any
    venue: TradingGateway
    pace: float
    seed: int


@runtime_checkable
class RaceCore(Protocol):
    """A core under race. Only `open` is needed; see `Whole` for what a core without the others does."""

    async def open(self, signal: Signal) -> Opened:
        """Open a position for a signal, roll it back where that fails, and say what became of it.

        `signal.key` names the attempt. What it raises is a breach.
        """
        ...


class Whole:
    """A core with every step a scenario asks for; what it lacks does nothing."""

    def __init__(self, core: RaceCore) -> None:
        self._core: Any = core

    async def open(self, signal: Signal) -> Opened:
        """Open a position."""
        opened: Opened = await self._core.open(signal)
        return opened

    async def synchronise(self) -> None:
        """One pass of the position synchroniser."""
        await self._optional("synchronise")

    async def cleanup(self) -> None:
        """One pass over unfinished rows."""
        await self._optional("cleanup")

    async def settle(self) -> None:
        """What the core does by itself afterwards, until nothing changes any more."""
        await self._optional("settle")

    async def close(self) -> None:
        """Give back what the core opened."""
        await self._optional("close")

    def has(self, step: str) -> bool:
        """Whether the core has a step of its own."""
        return hasattr(self._core, step)

    async def _optional(self, step: str) -> None:
        if work := getattr(self._core, step, None):
            await work()


def defective(world: CoreWorld) -> RaceCore:
    """The bot's old core, its waits shortened to the world's pace."""
    settings = DefectiveSettings(unseen_share=_UNSEEN, seed=world.seed)
    return DefectiveCore(world.pool, world.venue, settings.scaled(world.pace))


def factory(name: str) -> tuple[Callable[[CoreWorld], Any], Tables]:
    """The maker of a core and the tables it works on. Raises UsageError for a name that leads nowhere."""
    if name == DEFECTIVE:
        return defective, Tables.OLD
    if name == CORRECTED:
        raise NotBuiltError("The corrected core is not part of this version. Nothing was done.")
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(
            f"--core '{name}' is neither defective nor corrected nor module:object. Nothing was done."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
        tables = Tables(getattr(found, "tables", Tables.OLD))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--core {name} cannot be used: {error}. Nothing was done.") from None
    if not callable(found):
        raise UsageError(f"--core {name} cannot be called with a CoreWorld. Nothing was done.")
    return found, tables


async def build(name: str, world: CoreWorld) -> Whole:
    """A core of that name in a world. Raises UsageError."""
    made = factory(name)[0](world)
    core = await made if inspect.isawaitable(made) else made
    if not isinstance(core, RaceCore):
        raise UsageError(f"--core {name} has no coroutine `open(signal)`. Nothing was done.")
    return Whole(core)
