"""The lines that send orders: what is sent in which order, and what has to be seen before the row is written (CLN-2, ORD-5, ORD-7).

Invariants: a position is called flat only where a filled close and a complete snapshot say so; a stop goes only once the new one
is seen to cover the position, or it is flat; what cannot be settled leaves the row open, the line unresolved, and an alert.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posguard.cleanup.rowwork import change, compared, ended_meanwhile
from posguard.cleanup.sending import Fate, Sender, Sent
from posguard.cleanup.work import LineEndError
from posguard.model.plan import Action, Given, LineState, Role
from posguard.model.position import Side
from posguard.model.protection import protection_of
from posguard.model.venue import VenueId

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from posguard.cleanup.work import Work
    from posguard.model.plan import Change, PlannedOrder, StoredLine
    from posguard.model.protection import Protection
    from posguard.model.venue import VenueOrder, VenuePosition, VenueSnapshot


def _failed(reason: str) -> LineEndError:
    return LineEndError(LineState.FAILED, reason)


def _unresolved(reason: str) -> LineEndError:
    return LineEndError(LineState.UNRESOLVED, reason)


@dataclass(frozen=True, slots=True)
class Now:
    """A key as one complete snapshot shows it."""

    position: VenuePosition | None
    orders: tuple[VenueOrder, ...]
    protection: Protection | None

    @property
    def covered(self) -> bool:
        """Whether live stops cover the whole position."""
        return self.protection is not None and self.protection.covers


async def carry_out(work: Work, one: StoredLine, fencing: int) -> None:
    """Sends what a line sends, settles it, and writes its row. Raises LostError."""
    run = _Run(work, one, fencing)
    try:
        changes, stop_id = await run.orders()
    except LineEndError as stop:
        async with work.db.transaction() as connection:
            await work.end(connection, one, fencing, stop.state, stop.reason)
        await work.checkpoint(stop.state.value)
        return
    await run.write(changes, stop_id)
    await work.checkpoint("changed")


@dataclass
class _Run:
    """One owner's way through the orders of one line."""

    work: Work
    one: StoredLine
    fencing: int

    async def orders(self) -> tuple[tuple[Change, ...], str]:
        """Sends the orders; the changes that the row is to take then, and the new stop's id."""
        line = self.one.line
        match line.action:
            case Action.CANCEL_ORDERS:
                await self._cancels(Given.ALWAYS)
                return (), ""
            case Action.CLOSE_POSITION:
                await self._close(Given.ALWAYS)
                await self._cancels(Given.DONE)
                return line.changes, ""
            case _:
                return await self._protect()

    async def write(self, changes: tuple[Change, ...], stop_id: str) -> None:
        """The row's change and the line's end. The orders stand, whatever became of the row."""
        work, one = self.work, self.one
        async with work.db.transaction() as connection:
            held, why = await compared(connection, work, one.line)
            if not why or (not changes and one.line.action is not Action.ADOPT):
                await change(
                    connection, work, one, self.fencing, held=held, changes=changes, stop_order_id=stop_id
                )
            elif await ended_meanwhile(connection, one.line):
                await work.end(
                    connection, one, self.fencing, LineState.DONE, "the row was ended by another hand"
                )
            else:
                reason = f"its orders are done, and the row was left as it is: {why}"
                await work.end(connection, one, self.fencing, LineState.FAILED, reason)
            await work.checkpoint("changing")

    # -- stops

    async def _protect(self) -> tuple[tuple[Change, ...], str]:
        line = self.one.line
        place, order = self._place(Role.STOP, Given.ALWAYS)
        sent = await self._stop(place, order)
        if sent.fate is Fate.THROUGH:
            if not any(one.given is Given.STOP_REFUSED for one in line.orders):
                raise _failed(
                    f"the venue refuses the stop, its price is through ({sent.reason}); nothing else was sent"
                )
            await self._close(Given.STOP_REFUSED)
            await self._cancels(Given.DONE)
            return line.fallback, ""
        await self._covered()
        await self._cancels(Given.DONE)
        await self._covered()
        return line.changes, sent.order_id

    async def _stop(self, place: int, order: PlannedOrder) -> Sent:
        """Until the stop stands, or its price is through."""
        sender = Sender(self.work, self.one, self.fencing)
        sent = await self._taken_up(sender, place, order)
        for _ in range(self.work.pace.attempts):
            if sent is None or sent.fate is Fate.SPENT:
                now = await self.now()
                if now.position is None or now.position.side is not order.side:
                    raise _failed("the position is gone, or turned, since the plan; no stop was placed")
                if through(now.position, order.trigger):
                    return Sent(Fate.THROUGH, reason="the price went through it")
                sent = await sender.attempt(place, order)
            if sent.fate in {Fate.STANDS, Fate.THROUGH}:
                return sent
            if sent.fate is Fate.FILLED:
                raise _failed("the stop fired as soon as it stood: the venue closed the position")
            if sent.fate is Fate.UNKNOWN:
                raise _unresolved(f"it is not known whether the stop stands: {sent.reason}")
            if sent.fate is not Fate.SPENT:
                raise _failed(f"the stop was refused: {sent.reason}")
            await self.work.pause()
        raise _failed(
            f"no stop could be placed in {self.work.pace.attempts} attempts: {sent.reason if sent else ''}"
        )

    async def _covered(self) -> None:
        """Waits until the venue shows the position covered."""
        until = time.monotonic() + self.work.pace.patience
        while True:
            now = await self.now()
            if now.covered:
                return
            if now.position is None:
                raise _failed(
                    "the stop stood, and the position is gone since: `cleanup zombies` is about a stop left behind"
                )
            if time.monotonic() >= until:
                raise _unresolved("the stop was accepted, and the venue does not show the position covered")
            await self._wait()

    # -- closes

    async def _close(self, given: Given) -> None:
        """Until a filled close and a complete snapshot say that the position is flat."""
        place, order = self._place(Role.CLOSE, given)
        sender = Sender(self.work, self.one, self.fencing)
        sent = await self._taken_up(sender, place, order)
        for _ in range(self.work.pace.attempts):
            if sent is None or sent.fate is Fate.SPENT:
                sent = await sender.attempt(place, order, await self._left(order))
            if sent.fate in {Fate.FILLED, Fate.NOTHING_TO_REDUCE}:
                await self._flat()
                return
            if sent.fate is Fate.UNKNOWN:
                raise _unresolved(f"it is not known whether the close was executed: {sent.reason}")
            if sent.fate is not Fate.SPENT:
                raise _failed(f"the close was refused: {sent.reason}")
            await self.work.pause()
        raise _unresolved(
            f"the position could not be closed in {self.work.pace.attempts} attempts: {sent.reason if sent else ''}"
        )

    async def _left(self, order: PlannedOrder) -> Decimal:
        """What is left to close, at most what the plan says."""
        now = await self.now()
        assert order.quantity is not None
        if now.position is None:
            raise _failed("the position is gone, and not by this line; the row is left as it is")
        if now.position.side is not order.side or now.position.quantity > order.quantity:
            raise _failed("the position turned or grew since the plan; nothing more was sent")
        return now.position.quantity

    async def _flat(self) -> None:
        until = time.monotonic() + self.work.pace.patience
        while (await self.now()).position is not None:
            if time.monotonic() >= until:
                raise _unresolved("the close was filled, and the venue still shows a position")
            await self._wait()

    # -- cancels

    async def _cancels(self, given: Given) -> None:
        """Each order that is still live is cancelled, until the venue no longer shows it."""
        sender = Sender(self.work, self.one, self.fencing)
        for place, order in enumerate(self.one.line.orders):
            if order.role is not Role.CANCEL or order.given is not given:
                continue
            for _ in range(self.work.pace.attempts):
                if not await self._lives(order):
                    break
                await sender.attempt(place, order)
                await self._gone(order)
            else:
                raise _failed(
                    f"order {order.order_id} is still live; what came before it in this line is done"
                )

    async def _lives(self, order: PlannedOrder) -> bool:
        return any(one.order_id == order.order_id for one in (await self.now()).orders)

    async def _gone(self, order: PlannedOrder) -> None:
        until = time.monotonic() + self.work.pace.patience / 3
        while await self._lives(order) and time.monotonic() < until:
            await self._wait()

    # -- what they share

    def _place(self, role: Role, given: Given) -> tuple[int, PlannedOrder]:
        return next(
            (place, order)
            for place, order in enumerate(self.one.line.orders)
            if order.role is role and order.given is given
        )

    async def _taken_up(self, sender: Sender, place: int, order: PlannedOrder) -> Sent | None:
        """What an earlier run of this plan has come to with this order; None where it did not begin it."""
        intent = await sender.last(place)
        return None if intent is None else await sender.taken_up(order, intent)

    async def now(self) -> Now:
        """The key as the venue shows it. Raises LineEndError where no complete snapshot comes in time."""
        key = self.one.line.key
        reader = self.work.readers[VenueId(key.exchange, key.account)]
        until = time.monotonic() + self.work.pace.patience
        while True:
            snapshot = await reader.snapshot(key.symbol)
            await self.work.hold(self.one, self.fencing)
            if snapshot.complete:
                return _now(snapshot, self.one)
            if time.monotonic() >= until:
                raise _unresolved(f"the venue cannot be read: {'; '.join(snapshot.reasons)}")
            await self._wait()

    async def _wait(self) -> None:
        await self.work.pause()
        await self.work.hold(self.one, self.fencing)


def through(position: VenuePosition, trigger: Decimal | None) -> bool:
    """Whether the price has reached a stop's trigger already."""
    if position.mark_price is None or trigger is None:
        return False
    if position.side is Side.LONG:
        return position.mark_price <= trigger
    return position.mark_price >= trigger


def _now(snapshot: VenueSnapshot, one: StoredLine) -> Now:
    key = one.line.key
    position = next(
        (p for p in snapshot.positions if (p.symbol, p.position_side) == (key.symbol, key.position_side)),
        None,
    )
    orders = _of_key(snapshot.orders, one)
    market = snapshot.markets.get(key.symbol)
    guarded = protection_of(position, orders, market.lot_step) if position and market else None
    return Now(position, orders, guarded)


def _of_key(orders: Iterable[VenueOrder], one: StoredLine) -> tuple[VenueOrder, ...]:
    key = one.line.key
    return tuple(o for o in orders if (o.symbol, o.position_side) == (key.symbol, key.position_side))
