"""Many bots at once, each with a symbol of its own, each to be killed or stopped somewhere; then one recovery, and the verdict."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from posguard.postgres.pool import Database
from posguard.trading import Result, TradingCore
from tests.reliability.harness.bot import Bot, Starter
from tests.reliability.harness.scene import Scene, brisk, lease_over, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

TASKS = ("open", "close", "rollback", "move_stop", "recover", "synchronise")
# What a bot begins with: a position that stands, one that its owner left half-way, one that nobody owns.
_STANDING = frozenset({"close", "rollback", "move_stop"})


def work_of(core: TradingCore, task: str, symbol: str, number: int | None) -> Coroutine[Any, Any, Any]:
    """A task's call; number is the row that it is done to."""
    match task:
        case "open":
            return core.open(request(symbol))
        case "close" | "rollback":
            return getattr(core, task)(number, "a test")
        case "move_stop":
            assert number is not None
            return core.move_stop(number, Decimal("0.97"))
        case _:
            return getattr(core, task)()


@dataclass(frozen=True)
class Plan:
    """What one bot does, and at which of its checkpoints it ends or stops itself; `at` None: at no checkpoint."""

    task: str
    at: int | None = None


class OwnerDied(BaseException):
    """Raised at a checkpoint: whatever comes after it never happens, as in a process that is gone."""


class Waves:
    """A scene with bots of its own and a core for whoever comes after them."""

    def __init__(self, scene: Scene, starter: Starter | None, database: Database, seed: int) -> None:
        self.scene, self.starter, self.database = scene, starter, database
        self.random = random.Random(seed)
        self.settings = brisk()
        self.number = 0
        self._latest = 0.0

    def core(self, latency: Callable[[], Awaitable[None]] | None = None, **values: Any) -> TradingCore:
        """A core in this process, on the same book."""
        return TradingCore(self.database, [self.scene.venue(latency)], self.settings, **values)

    async def lease_over(self) -> None:
        """Waits until a dead owner's rows may be taken over."""
        await lease_over(self.settings)

    async def checkpoints(self, task: str) -> list[str]:
        """The names of all checkpoints that a task meets when nothing goes wrong."""
        self.scene.forget()
        symbol, names = self.scene.symbols[0], []

        async def note(name: str) -> None:
            names.append(name)

        number = await self.prepare(task, symbol)
        if task == "recover":
            await lease_over(self.settings)
        await work_of(self.core(checkpoint=note), task, symbol, number)
        return names

    async def prepare(self, task: str, symbol: str) -> int | None:
        """What the task is done to; the id of its row."""
        if task in _STANDING:
            opened = await self.core().open(request(symbol))
            assert opened.result is Result.ACTIVE, opened
            return opened.position_id
        if task == "recover":
            # as many have died after a request as before one
            return await self.abandon(symbol, self.random.choice(_DEATHS))
        if task == "synchronise":
            book = self.scene.simulator.book
            exchange: Any = self.scene.exchange
            amount = Decimal("12.3") * self.random.choice((1, -1))
            book.set_position(book.account(exchange), symbol, amount, Decimal(1))
        return None

    async def abandon(self, symbol: str, where: str) -> int:
        """An open whose owner dies at a checkpoint; the id of its row."""

        async def die(name: str) -> None:
            if name == where:
                raise OwnerDied

        core = self.core(checkpoint=die)
        try:
            await core.open(request(symbol))
        except OwnerDied:
            found = "SELECT id FROM monitoring.positions WHERE symbol = %s ORDER BY id DESC LIMIT 1"
            return int(self.scene.rows(found, symbol)[0]["id"])
        raise AssertionError(f"no checkpoint {where}")

    async def go(
        self,
        plans: Sequence[Plan],
        *,
        by: str = "SIGKILL",
        within: tuple[float, float] = (0.0, 0.0),
        core: str = "corrected",
    ) -> list[Bot]:
        """A bot for each plan, all at once. within: without a checkpoint, killed between so many seconds after it began."""
        self.number += 1
        self.scene.forget()
        made = list(zip(plans, self.scene.symbols, strict=False))
        numbers = {symbol: await self.prepare(plan.task, symbol) for plan, symbol in made}
        if any(plan.task == "recover" for plan in plans):
            await lease_over(self.settings)
        assert self.starter is not None
        bots = [
            await self.starter.bot(
                dsn=self.scene.dsn,
                url=self.scene.simulator.base_url,
                do=plan.task,
                core=core,
                key=f"w{self.number}",
                symbols=[symbol],
                positions=numbers,
                at=plan.at,
                by=by,
            )
            for plan, symbol in made
        ]
        await asyncio.gather(
            *(self._await(plan, bot, by, within) for (plan, _), bot in zip(made, bots, strict=True))
        )
        return bots

    async def _await(self, plan: Plan, bot: Bot, by: str, within: tuple[float, float]) -> None:
        if plan.at is None:
            await bot.until("ready")
            await asyncio.sleep(self.random.uniform(*within))
            bot.kill()
            await bot.gone()
            return
        await bot.until_either("at", "done")
        if by == "SIGSTOP" and "at" in bot.seen[-1]:
            await bot.stopped()
        else:
            await bot.gone()

    async def recovered(self) -> list[str]:
        """What is broken after lease and T, and one pass of recovery and one of the synchroniser."""
        await lease_over(self.settings)
        began = datetime.now(UTC)
        core = self.core(owner="the next one")
        await core.recover()
        await core.synchronise()
        await core.finish()
        self._latest = max(self._latest, self.scene.latest_cover(began))
        return [*self.scene.broken(), *self.scene.gaps_tell()]

    def note(self) -> str:
        """How soon after lease and T, once a pass began, the last position had its stop; for the table."""
        return f"all covered at most {self._latest:.2f} s after the next pass began"


_DEATHS = (
    "after insert",
    "after submitting",
    "after send entry",
    "after entry_placed",
    "after pending_sl",
    "after send stop",
)


@asynccontextmanager
async def stage(dsn: str, width: int, seed: int) -> AsyncIterator[Waves]:
    """Everything but bots: what is done is done in this process."""
    async with await Database.open(SecretStr(dsn), application="next", size=8) as database:
        yield Waves(Scene.of(dsn, width), None, database, seed)


@asynccontextmanager
async def waves(dsn: str, width: int, seed: int) -> AsyncIterator[Waves]:
    """Bots, `width` at once."""
    async with stage(dsn, width, seed) as found, found.scene.simulator:
        found.starter = await Starter.start()
        try:
            yield found
        finally:
            await found.starter.close()
