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
from typing import TYPE_CHECKING, Any, Protocol

from posguard.errors import PosguardError, UsageError
from posguard.race.corrected import corrected
from posguard.race.defective import DefectiveCore, DefectiveSettings
from posguard.trading import before_send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from decimal import Decimal

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

    async def apply(self) -> None:
        """A pass, a plan of what it found, and the plan carried out."""
        await self._optional("apply")

    async def close_position(self, position_id: int) -> None:
        """Close one position."""
        await self._optional("close_position", position_id)

    async def move_stop(self, position_id: int, trigger: Decimal) -> None:
        """Move one position's stop-loss."""
        await self._optional("move_stop", position_id, trigger)

    async def recover(self) -> None:
        """One pass over what is unfinished, as at the core's start or once in a while."""
        await self._optional("recover")

    async def settle(self) -> None:
        """What the core does by itself afterwards, until nothing changes any more."""
        await self._optional("settle")

    async def close(self) -> None:
        """Give back what the core opened."""
        await self._optional("close")

    def has(self, step: str) -> bool:
        """Whether the core has a step of its own."""
        return hasattr(self._core, step)

    async def _optional(self, step: str, *values: Any) -> None:
        if work := getattr(self._core, step, None):
            await work(*values)


def defective(world: CoreWorld) -> RaceCore:
    """The bot's old core, its waits shortened to the world's pace."""
    settings = DefectiveSettings(unseen_share=_UNSEEN, seed=world.seed)
    return DefectiveCore(world.pool, world.venue, settings.scaled(world.pace))


@dataclass(frozen=True, slots=True)
class Maker:
    """How a core is made, the tables it works on, and what its gateway awaits before each request (None: nothing)."""

    make: Callable[[CoreWorld], Any]
    tables: Tables
    before_send: Callable[[], Awaitable[str]] | None = None


def maker(name: str) -> Maker:
    """The maker of a core. Raises UsageError for a name that leads nowhere."""
    if name == DEFECTIVE:
        return Maker(defective, Tables.OLD)
    if name == CORRECTED:
        return Maker(corrected, Tables.UPGRADED, before_send)
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
    except Exception as error:  # noqa: BLE001 - whatever a foreign module does when it is imported
        raise UsageError(
            f"--core {name} cannot be used: {type(error).__name__}: {error}. Nothing was done."
        ) from None
    if not callable(found):
        raise UsageError(f"--core {name} cannot be called with a CoreWorld. Nothing was done.")
    return Maker(found, tables, getattr(found, "before_send", None))


async def build(name: str, world: CoreWorld) -> Whole:
    """A core of that name in a world. Raises UsageError."""
    try:
        made = maker(name).make(world)
        core = await made if inspect.isawaitable(made) else made
    except PosguardError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign core's own
        raise UsageError(
            f"--core {name} could not be made: {type(error).__name__}: {error}.",
            hint="What was made for it is removed.",
        ) from None
    if not inspect.iscoroutinefunction(getattr(core, "open", None)):
        raise UsageError(f"--core {name} has no coroutine `open(signal)`. Nothing was done.")
    return Whole(core)
