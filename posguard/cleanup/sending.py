"""One order of a line: its intent committed first, then sent, then looked up until it is known what became of it (ORD-4, CLN-2).

Invariants: before anything is sent again the attempt before it is proven to have come to nothing; a run that takes a line up
again looks for what the run before it sent; nothing is sent without the lease, or while the kill switch is engaged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from posguard.cleanup.rowwork import compared
from posguard.cleanup.work import LineEndError, LostError
from posguard.model.managed import client_id
from posguard.model.order import OrderReply, OrderState, Outcome, Sight, Why
from posguard.model.plan import LineState, Role
from posguard.model.plan_text import order_plain
from posguard.model.venue import VenueId
from posguard.postgres import managed, plans
from posguard.postgres.plans import Note
from posguard.trading.permit import Permit, permitted

if TYPE_CHECKING:
    from decimal import Decimal

    from posguard.cleanup.work import Work
    from posguard.exchange.gateway import TradingGateway
    from posguard.model.order import SeenOrder
    from posguard.model.plan import Line, PlannedOrder, StoredLine
    from posguard.postgres.plans import Intent

_ROLES = {Role.STOP: "s", Role.CLOSE: "c", Role.CANCEL: "x"}
# Refusals that another attempt may get past.
_PASSING = frozenset({Why.RATE, Why.CLOCK, Why.NEVER_SENT})
_ENDED = frozenset({OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})


class Fate(StrEnum):
    """What became of one attempt."""

    STANDS = "stands"  # live
    FILLED = "filled"  # in full, or a stop that fired
    SPENT = "spent"  # certainly nothing more will come of it; another attempt may be made
    THROUGH = "through"  # a stop whose price is through
    NOTHING_TO_REDUCE = "nothing to reduce"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of an attempt; reason is a sentence, order_id the venue's."""

    fate: Fate
    client_order_id: str = ""
    order_id: str = ""
    reason: str = ""


@dataclass
class Sender:
    """Sends the orders of one line for one owner."""

    work: Work
    one: StoredLine
    fencing: int

    @property
    def line(self) -> Line:
        """The line."""
        return self.one.line

    @property
    def trader(self) -> TradingGateway:
        """Who may trade on the line's venue."""
        return self.work.traders[VenueId(self.line.key.exchange, self.line.key.account)]

    async def last(self, place: int) -> Intent | None:
        """The newest intent for the order at a place of the line."""
        async with self.work.db.connection() as connection:
            found = await plans.intents_of(connection, self.one.id)
        return next((intent for intent in reversed(found) if intent.detail["place"] == place), None)

    async def attempt(self, place: int, order: PlannedOrder, quantity: Decimal | None = None) -> Sent:
        """A new attempt: intent, send, look up. quantity replaces the order's."""
        before = await self.last(place)
        number = 1 if before is None else int(before.detail["attempt"]) + 1
        name = client_id(
            f"plan {self.work.plan.code} line {self.one.number}.{place}", _ROLES[order.role], number
        )
        if quantity is not None:
            order = replace(order, quantity=quantity)
        await self._intend(place, order, name, number)
        await self.work.checkpoint(f"{order.role} intended")
        began = time.monotonic()
        reply = await self._send(order, name)
        await self.work.checkpoint(f"{order.role} sent")
        await self._outcome(name, _said(reply))
        await self.work.checkpoint(f"{order.role} outcome")
        return await self._settle(order, name, reply, began)

    async def taken_up(self, order: PlannedOrder, intent: Intent) -> Sent:
        """What became of an attempt of an earlier run: never sent again before it is known."""
        said = intent.outcome or {}
        reply = OrderReply(
            Outcome(said.get("outcome", Outcome.UNKNOWN)),
            intent.client_order_id,
            order_id=said.get("order_id"),
            why=Why(said.get("why", Why.NONE)),
            reason=said.get("reason", ""),
        )
        if order.role is Role.CANCEL:
            return Sent(Fate.SPENT, intent.client_order_id)
        began = time.monotonic() - intent.age.total_seconds()
        return await self._settle(order, intent.client_order_id, reply, began)

    # -- steps

    async def _intend(self, place: int, order: PlannedOrder, name: str, number: int) -> None:
        """Commits what is about to be sent, the rows held and as the plan saw them. Raises LostError, LineEndError.

        What an earlier intent of the line began is carried on without looking at the rows again.
        """
        async with self.work.db.transaction() as connection:
            engaged, why = await managed.switch(connection)
            first = not await plans.intents_of(connection, self.one.id)
            if engaged:
                state = LineState.SKIPPED if first else LineState.UNRESOLVED
                raise LineEndError(state, f"not sent: the kill switch is engaged ({why})")
            if first:
                _, why = await compared(connection, self.work, self.line)
                if why:
                    raise LineEndError(LineState.SKIPPED, why)
            mine = await plans.set_line(connection, self.one.id, LineState.INTENDED, fencing=self.fencing)
            if not mine:
                raise LostError
            row = self.line.row.id if self.line.row else None
            detail = {"place": place, "attempt": number, "order": order_plain(order)}
            await self.work.note(
                connection, Note("intent", self.one.id, client_order_id=name, row_id=row, detail=detail)
            )
        await self.work.hold(self.one, self.fencing)

    async def _send(self, order: PlannedOrder, name: str) -> OrderReply:
        until = time.monotonic() + self.work.pace.lease / 2
        key = self.line.key
        with permitted(Permit(until, time.monotonic, lambda: "")):
            if order.role is Role.CANCEL:
                return await self.trader.cancel(
                    key.symbol, conditional=order.conditional, order_id=order.order_id
                )
            assert order.side is not None
            assert order.quantity is not None
            if order.role is Role.STOP:
                assert order.trigger is not None
                return await self.trader.place_stop(
                    key.symbol,
                    order.side,
                    order.quantity,
                    order.trigger,
                    client_order_id=name,
                    position_side=key.position_side,
                )
            return await self.trader.close_reduce_only(
                key.symbol, order.side, order.quantity, client_order_id=name, position_side=key.position_side
            )

    async def _outcome(self, name: str, said: dict[str, Any]) -> None:
        async with self.work.db.connection() as connection:
            await self.work.note(connection, Note("outcome", self.one.id, client_order_id=name, detail=said))

    async def _settle(self, order: PlannedOrder, name: str, reply: OrderReply, began: float) -> Sent:
        """The fate of an attempt, by its reply where that settles it, else by looking it up."""
        if reply.outcome is Outcome.REJECTED:
            return _rejected(name, reply)
        if order.role is Role.CANCEL:
            fate = Fate.FILLED if reply.outcome is Outcome.ACCEPTED else Fate.UNKNOWN
            return Sent(fate, name, reason=reply.reason)
        until = time.monotonic() + self.work.pace.patience
        doubted = ""
        while True:
            found = await self.trader.find(self.line.key.symbol, name, conditional=order.role is Role.STOP)
            if found.sight is Sight.FOUND and found.order is not None:
                known = _fate(order, found.order)
                if known is not None:
                    words = f"the venue shows it as {found.order.state}"
                    sent = Sent(known, name, found.order.order_id, words)
                    await self._outcome(name, {**_said(reply), "fate": known, "order_id": sent.order_id})
                    return sent
            elif found.sight is Sight.ABSENT:
                taken = reply.outcome in {Outcome.ACCEPTED, Outcome.EXISTS}
                if not taken and time.monotonic() - began >= self.work.pace.settle:
                    await self._outcome(name, {"outcome": Outcome.REJECTED, "why": Why.NEVER_SENT})
                    return Sent(Fate.SPENT, name, reason="no list of the venue holds it")
            doubted = found.reason or doubted or "the venue does not show it"
            if time.monotonic() >= max(until, began + self.work.pace.settle + self.work.pace.poll):
                return Sent(Fate.UNKNOWN, name, reason=doubted)
            await self.work.pause()
            await self.work.hold(self.one, self.fencing)


def _fate(order: PlannedOrder, seen: SeenOrder) -> Fate | None:
    """What a found order has come to; None while it is on its way."""
    if order.role is Role.STOP:
        if seen.state is OrderState.LIVE:
            return Fate.STANDS
        return Fate.SPENT if seen.state in _ENDED and not seen.filled else Fate.FILLED
    if seen.state is OrderState.FILLED:
        return Fate.FILLED
    return Fate.SPENT if seen.state in _ENDED else None


def _rejected(name: str, reply: OrderReply) -> Sent:
    fate = Fate.REFUSED
    if reply.why in _PASSING:
        fate = Fate.SPENT
    elif reply.why is Why.WOULD_TRIGGER:
        fate = Fate.THROUGH
    elif reply.why in {Why.REDUCE_ONLY, Why.NOT_FOUND}:
        fate = Fate.NOTHING_TO_REDUCE
    return Sent(fate, name, reason=reply.reason or f"refused: {reply.why}")


def _said(reply: OrderReply) -> dict[str, Any]:
    return {
        "outcome": reply.outcome.value,
        "why": reply.why.value,
        "order_id": reply.order_id,
        "code": reply.code,
        "reason": reply.reason,
    }
