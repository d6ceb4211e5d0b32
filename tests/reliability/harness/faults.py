"""A venue that answers badly on demand, a clock that needs no time, a database whose nth statement loses its connection."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.errors import DatabaseUnavailableError
from posguard.model.order import Lookup, OrderReply, Outcome, Sight, Why
from posguard.race.venue import InProcessVenue
from posguard.race.venue_rows import intent_of
from posguard.simulator import orders
from posguard.simulator.orders import Twist
from posguard.simulator.records import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class QuickClock:
    """Waiting takes no time, but time goes by; what is due meanwhile happens."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], Any]]] = []

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Come back at once, so many seconds later."""
        self.pass_by(seconds)
        await asyncio.sleep(0)

    def pass_by(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds
        late, self.due = (
            [work for at, work in self.due if at <= self.now],
            [(at, work) for at, work in self.due if at > self.now],
        )
        for work in late:
            work()

    def later(self, seconds: float, work: Callable[[], Any]) -> None:
        """Something that happens so many seconds from now."""
        self.due.append((self.now + seconds, work))


@dataclass
class Mood:
    """What the next requests meet; each entry is used once. See FaultyVenue for the words."""

    sends: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    fill: Decimal | None = None


class FaultyVenue(InProcessVenue):
    """The book, with answers that get lost.

    A request that trades may be: `lost` (never executed, nobody knows), `unanswered` (executed, nobody knows), `late`
    (executed one second after nobody knew), `refused`. A look-up or a snapshot may be `silent`: unknown, or incomplete.
    """

    def __init__(self, *arguments: Any, clock: QuickClock, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.mood = Mood()
        self.clock = clock
        self.sent: list[str] = []

    async def _send(self, work: Callable[[], Any], client_order_id: str) -> OrderReply:
        mood = self.mood.sends.pop(0) if self.mood.sends else ""
        if not mood:
            reply = await super()._send(work, client_order_id)
        else:
            held = await self._before_send() if self._before_send is not None else ""
            if held:
                return OrderReply(Outcome.REJECTED, client_order_id, why=Why.NEVER_SENT, reason=held)
            reply = self._badly(mood, work, client_order_id)
            await asyncio.sleep(0)
        if reply.why is not Why.NEVER_SENT:
            self.sent.append(client_order_id)
        return reply

    def _badly(self, mood: str, work: Callable[[], Any], client_order_id: str) -> OrderReply:
        if mood == "refused":
            return OrderReply(
                Outcome.REJECTED, client_order_id, why=Why.FUNDS, code="-2019", reason="no money"
            )
        if mood == "unanswered":
            self._quietly(work)
        if mood == "late":
            self.clock.later(1.0, lambda: self._quietly(work))
        return OrderReply(Outcome.UNKNOWN, client_order_id, why=Why.SILENCE, reason="no answer")

    @staticmethod
    def _quietly(work: Callable[[], Any]) -> None:
        try:
            work()
        except Refused:
            return

    async def _place(self, symbol: str, intent: Any) -> OrderReply:
        ratio, self.mood.fill = (self.mood.fill, None) if intent.opens else (None, self.mood.fill)
        if ratio is None:
            return await super()._place(symbol, intent)

        def work() -> Any:
            asked = intent_of(symbol, intent, self._account)
            return orders.place(self._book, self._account, asked, Twist(fill_ratio=ratio))

        return await self._send(work, intent.client_order_id)

    async def find(self, symbol: str, client_order_id: str, *, conditional: bool) -> Lookup:
        """The order of a client id; unknown where the mood is silent."""
        if self.mood.looks and self.mood.looks.pop(0):
            return Lookup(Sight.UNKNOWN, reason="no answer")
        return await super().find(symbol, client_order_id, conditional=conditional)

    async def snapshot(self) -> Any:
        """One look; incomplete where the mood is silent."""
        from dataclasses import replace

        look = await super().snapshot()
        if self.mood.looks and self.mood.looks.pop(0):
            return replace(look, complete=False, reasons=("no answer",), positions=(), orders=())
        return look


class BreakingDatabase:
    """A database whose connection breaks before or after the nth statement that the core gives it."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.countdown: int | None = None
        self.after = False

    def break_at(self, turn: int, *, after: bool) -> None:
        """The turn-th use from now on breaks; after: what was done is committed, and nobody hears of it."""
        self.countdown, self.after = turn, after

    def _hit(self, *, after: bool) -> None:
        if self.countdown is None or after != self.after:
            return
        self.countdown -= 1
        if self.countdown <= 0:
            self.countdown = None
            raise DatabaseUnavailableError("The database connection broke.")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """As the database's."""
        self._hit(after=False)
        async with self.database.connection() as connection:
            yield connection
        self._hit(after=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """As the database's."""
        self._hit(after=False)
        async with self.database.transaction() as connection:
            yield connection
        self._hit(after=True)
