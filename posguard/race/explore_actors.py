"""Who acts in an exploration, and how each core plays its part."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from posguard.errors import UsageError
from posguard.postgres.pool import Database
from posguard.race.cores import CORRECTED, DEFECTIVE, CoreWorld, Tables, Whole, build, maker
from posguard.race.corrected import CorrectedCore
from posguard.race.defective import DefectiveCore, DefectiveSettings
from posguard.race.gates import GatedVenue, pass_time
from posguard.race.signal import Ended, Opened, Signal
from posguard.trading import CoreSettings, before_send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from posguard.race.actors import Actor
    from posguard.race.gates import ActorPool

SYMBOL = "TESTUSDT"
QUANTITY = Decimal("61.8")
_PRICE, _STOP, _NEARER = Decimal(1), Decimal("0.95"), Decimal("0.97")
# Long enough for every lease and every T there is.
_LONG = 3600.0
_MOST_ACTORS = 4


class Part(StrEnum):
    """What an actor does."""

    SIGNAL = "signal"
    SYNCHRONISER = "synchroniser"
    CLEANUP = "cleanup"
    RECOVERY = "recovery"
    CLOSE = "close"
    MOVE_STOP = "move_stop"
    APPLY = "apply"

    @property
    def short(self) -> str:
        """Its name in a schedule, before its number."""
        return _SHORT[self]


_SHORT = {
    Part.SIGNAL: "sig",
    Part.SYNCHRONISER: "sync",
    Part.CLEANUP: "clean",
    Part.RECOVERY: "rec",
    Part.CLOSE: "close",
    Part.MOVE_STOP: "move",
    Part.APPLY: "apply",
}
# Parts that work on a position which stands before anybody begins, and the method that a core needs for them.
STANDING = {Part.CLOSE: "close_position", Part.MOVE_STOP: "move_stop"}
_BESIDE_A_SIGNAL = (
    Part.SIGNAL,
    Part.SYNCHRONISER,
    Part.CLEANUP,
    Part.RECOVERY,
    Part.CLOSE,
    Part.MOVE_STOP,
)
PAIRS = (
    *((Part.SIGNAL, other) for other in _BESIDE_A_SIGNAL),
    (Part.CLOSE, Part.CLOSE),
    (Part.CLOSE, Part.MOVE_STOP),
    (Part.CLOSE, Part.SYNCHRONISER),
    (Part.CLOSE, Part.RECOVERY),
    (Part.MOVE_STOP, Part.MOVE_STOP),
    (Part.MOVE_STOP, Part.SYNCHRONISER),
    (Part.MOVE_STOP, Part.RECOVERY),
)
# A plan is drawn and carried out in so many steps that its schedules can only be drawn.
APPLYING = (
    (Part.SIGNAL, Part.APPLY),
    (Part.CLOSE, Part.APPLY),
    (Part.MOVE_STOP, Part.APPLY),
    (Part.SIGNAL, Part.SYNCHRONISER, Part.APPLY),
    (Part.SIGNAL, Part.RECOVERY, Part.APPLY),
)
LARGER = (
    (Part.SIGNAL, Part.SIGNAL, Part.SYNCHRONISER),
    (Part.SIGNAL, Part.SYNCHRONISER, Part.CLEANUP),
    (Part.SIGNAL, Part.SYNCHRONISER, Part.RECOVERY),
    (Part.SIGNAL, Part.SIGNAL, Part.SYNCHRONISER, Part.RECOVERY),
    (Part.SIGNAL, Part.SIGNAL, Part.SYNCHRONISER, Part.CLEANUP),
)


@dataclass(frozen=True, slots=True)
class Cast:
    """The actors of an exploration: their parts, and whether the price falls through the stop once an entry is filled."""

    parts: tuple[Part, ...]
    slump: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """sig1, sig2, sync1, …, in the order of the parts."""
        names: list[str] = []
        for part in self.parts:
            number = 1 + sum(name.rstrip("0123456789") == part.short for name in names)
            names.append(f"{part.short}{number}")
        return tuple(names)

    @property
    def stands(self) -> bool:
        """Whether a position stands before anybody begins."""
        return bool(set(self.parts) & set(STANDING))

    @property
    def walked(self) -> bool:
        """Whether every schedule of it can be run: two actors, neither of whom has a plan drawn."""
        return len(self.parts) == 2 and Part.APPLY not in self.parts

    @property
    def title(self) -> str:
        """For a person."""
        return ", ".join(self.parts) + (" (price falls)" if self.slump else "")

    @classmethod
    def read(cls, text: str, *, slump: bool = False) -> Cast:
        """The cast of `signal,synchroniser`. Raises UsageError."""
        try:
            parts = tuple(Part(word.strip()) for word in text.split(","))
        except ValueError:
            known = ", ".join(Part)
            raise UsageError(f"--actors '{text}': the actors are {known}. Nothing was run.") from None
        if not 2 <= len(parts) <= _MOST_ACTORS:
            raise UsageError(f"--actors takes two to {_MOST_ACTORS} actors. Nothing was run.")
        return cls(parts, slump)


def tables_of(core: str) -> Tables:
    """The tables that a core works on. Raises UsageError."""
    return maker(core).tables


def gate_of(core: str) -> Callable[[], Awaitable[str]] | None:
    """What a core's venue awaits before each request that trades."""
    return before_send if core == CORRECTED else maker(core).before_send


async def core_for(core: str, actor: Actor, pool: ActorPool, venue: Any, dsn: str) -> Whole:
    """A core whose every statement and request is a step of the actor's, and whose time is the actor's."""
    gated: Any = GatedVenue(venue, actor)
    world = CoreWorld(dsn, pool, gated, pace=0.0, seed=0)
    if core == DEFECTIVE:
        return Whole(DefectiveCore(pool, gated, DefectiveSettings(polls=3, sleep=actor.clock.sleep)))
    if core == CORRECTED:
        settings = CoreSettings(clock=actor.clock)
        return Whole(CorrectedCore(world, Database(pool, SecretStr(dsn)), settings))
    return await build(core, world)


@dataclass(frozen=True, slots=True)
class Setting:
    """What an actor finds: the exchange, the row of the position that stands, and the step in which time passes for the others."""

    exchange: str
    standing: int | None
    age: Callable[[], Awaitable[None]]


def work_of(part: Part, name: str, core: Whole, found: Setting) -> Callable[[], Any]:
    """What an actor of this part does with its core."""
    row: Any = found.standing
    works: dict[Part, Callable[[], Any]] = {
        Part.SIGNAL: lambda: core.open(_signal(name, found.exchange)),
        Part.SYNCHRONISER: core.synchronise,
        Part.CLEANUP: core.cleanup,
        Part.RECOVERY: lambda: _late_recovery(core, found.age),
        Part.CLOSE: lambda: core.close_position(row),
        Part.MOVE_STOP: lambda: core.move_stop(row, _NEARER),
        Part.APPLY: core.apply,
    }
    return works[part]


def _signal(name: str, exchange: str) -> Signal:
    return Signal(name, SYMBOL, QUANTITY, _PRICE, _STOP, exchange=exchange)


async def stand(core: Whole, exchange: str) -> int:
    """The row of a position that stands protected. Raises UsageError where the core cannot open one."""
    opened = await core.open(_signal("stands", exchange))
    if opened.ended is not Ended.ACTIVE or opened.row_id is None:
        raise UsageError(f"The core could not open the position that is to stand: {opened}.")
    return opened.row_id


def check_parts(cast: Cast, core: Whole, name: str) -> None:
    """Raises UsageError where a core lacks what a part needs: an actor that does nothing would prove nothing."""
    needed = {**STANDING, Part.APPLY: "apply"}
    for part in cast.parts:
        if part in needed and not core.has(needed[part]):
            raise UsageError(
                f"--core {name} has no `{needed[part]}`, which the actor {part} needs. Nothing was run."
            )


async def _late_recovery(core: Whole, age: Callable[[], Awaitable[None]]) -> None:
    """Whoever was on his way stood still for so long that his leases are over; then recovery goes over the rows."""
    await age()
    await core.recover()


def ageing(
    actor: Actor, pool: ActorPool, statement: str, others: Sequence[Actor]
) -> Callable[[], Awaitable[None]]:
    """The step in which time passes for the others."""
    return lambda: pass_time(actor, pool, statement, others, _LONG)


def told_by(part: Part, actor: Actor) -> Opened | None:
    """What a signal's caller was told; None where there is no caller any more, or never was one.

    Raises UsageError where the core did what the explorer cannot stop at.
    """
    if isinstance(actor.error, UsageError):
        raise actor.error
    if actor.error is not None:
        return Opened(Ended.RAISED, None, type(actor.error).__name__)
    if part is not Part.SIGNAL or actor.dead:
        return None
    opened: Opened = actor.result
    return opened
