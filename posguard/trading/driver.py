"""Drives one row: fetch what its status needs, decide, carry out one step, and again until nothing is left to do.

Every step is durable before the next begins, and everything that is needed to go on stands in the row: an owner may vanish at
any await, and whoever claims the row afterwards goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from posguard.errors import PosguardBugError, RetryableError
from posguard.model.managed import Alert, AlertKind, client_id
from posguard.model.order import Lookup, OrderReply, Outcome, Sight, Why
from posguard.model.position import Status
from posguard.model.transitions import Origin
from posguard.model.venue import VenueId
from posguard.postgres import managed
from posguard.trading.decide import decide
from posguard.trading.facts import Ask, Cancel, Facts, Leave, Move, Need, Order, Send, Wait
from posguard.trading.permit import Permit, permitted

if TYPE_CHECKING:
    from posguard.exchange.gateway import TradingGateway
    from posguard.model.managed import ManagedRow, Rival
    from posguard.model.venue import FillHistory, MarketRule
    from posguard.trading.facts import Wish
    from posguard.trading.ports import Ports

_MOST_STEPS = 5000  # more than patience allows: a decision that turns in a circle is a bug, and must not spin
_BEFORE = timedelta(seconds=2)  # a venue's clock may be behind the database's
# Statuses in which a position is known to stand without a stop.
_NAKED = frozenset({Status.ENTRY_PLACED, Status.PENDING_SL})


class LostError(Exception):
    """The row is another owner's now, or ended by another hand; what it is now is in it."""

    def __init__(self, row: ManagedRow | None) -> None:
        super().__init__()
        self.row = row


@dataclass
class Driver:
    """One owner's way with one row, from the moment it holds the lease (`leased_at`, monotonic seconds) on."""

    ports: Ports
    gateway: TradingGateway
    rule: MarketRule
    origin: Origin
    leased_at: float
    _quiet_since: float = float("-inf")  # from when on absence is conclusive
    _began: float = 0.0  # when the row came to its present status
    _pauses: int = 0

    async def drive(self, row: ManagedRow, *, newborn: bool = False, wish: Wish | None = None) -> ManagedRow:
        """The row as this owner leaves it. Raises DatabaseUnavailableError where the database stays away; the row is durable."""
        engaged = self.ports.switch.engaged
        facts = Facts(self.rule, self.ports.settings, newborn=newborn, engaged=engaged, wish=wish)
        self._turn_to(row)
        try:
            for _ in range(_MOST_STEPS):
                step = decide(row, self._timed(facts))
                match step:
                    case Leave():
                        return await self._leave(row, step)
                    case Move():
                        row, facts, done = await self._move(row, facts, step)
                        if done:
                            return row
                    case Ask():
                        facts = await self._ask(row, facts, step.need)
                    case Send():
                        facts = await self._send(row, facts, step)
                    case Cancel():
                        facts = await self._cancel(row, facts, step)
                    case Wait():
                        facts = await self._wait(row, facts)
        except LostError as lost:
            return await self._lost(row, facts, lost)
        raise PosguardBugError(f"Row #{row.id} turned in a circle at {row.status}.")

    # -- time

    def _turn_to(self, row: ManagedRow) -> None:
        del row
        self._began, self._pauses = self.ports.settings.clock.monotonic(), 0

    def _timed(self, facts: Facts) -> Facts:
        now, settings = self.ports.settings.clock.monotonic(), self.ports.settings
        conclusive = now >= self._quiet_since
        patient = now < self._began + settings.patience.total_seconds()
        overdue = now >= self._began + settings.fill_patience.total_seconds()
        if (facts.conclusive, facts.patient, facts.overdue) == (conclusive, patient, overdue):
            return facts
        return facts.but(conclusive=conclusive, patient=patient, overdue=overdue)

    @property
    def _until(self) -> float:
        return self.leased_at + self.ports.settings.lease.total_seconds()

    async def _hold_lease(self, row: ManagedRow) -> None:
        """Renews the lease where less than half of it is left. Raises LostError."""
        settings = self.ports.settings
        now = settings.clock.monotonic()
        if now < self._until - settings.lease.total_seconds() / 2:
            return
        async with self.ports.database.connection() as connection:
            mine = await managed.renew(connection, row, settings.lease)
            if not mine:
                raise LostError(await managed.read_row(connection, row.id))
        self.leased_at = now

    async def _pause(self, row: ManagedRow, seconds: float) -> None:
        await self.ports.settings.clock.sleep(seconds)
        await self._hold_lease(row)

    # -- steps

    async def _move(self, row: ManagedRow, facts: Facts, step: Move) -> tuple[ManagedRow, Facts, bool]:
        """The row after the change, what stays known, and whether this was the last step."""
        settings = self.ports.settings
        if step.again:
            await self._pause(row, settings.retry_pause.total_seconds())
        ends = step.row.ended or (step.row.status is Status.ACTIVE and not step.unsent)
        await self.ports.checkpoint(f"before {step.row.status}")
        moved = await self._advance(row, step, keeps=not ends)
        if moved is None:
            try:
                row = await self._read_mine(row)
            except LostError as lost:
                if ends and lost.row is not None and _made(lost.row, step):
                    return lost.row, facts, True  # only the acknowledgement was lost
                raise
            if not _made(row, step):
                return row, await self._refused(row, facts, step), False
            # Only the acknowledgement was lost: the row is as this owner made it.
            asked = self.ports.switch.asked()
            async with self.ports.database.connection() as connection:
                engaged, reason = await managed.switch(connection)
            self.ports.switch.told(asked, engaged=engaged, reason=reason)
            moved = managed.Moved(row, engaged=engaged)
        await self.ports.checkpoint(f"after {step.row.status}")
        await self.ports.announce(step.alert)
        if ends:
            return moved.row, facts, True
        if moved.row.status is not row.status:
            self._turn_to(moved.row)
        return moved.row, self._carried(facts, step, engaged=moved.engaged), False

    async def _refused(self, row: ManagedRow, facts: Facts, step: Move) -> Facts:
        """What is known after a change that was not made: the row moved, or a rival comes first."""
        facts = self._fresh(facts).but(reply=facts.reply, tries=facts.tries)
        await self._pause(row, self.ports.settings.poll.total_seconds())
        if step.row.status is not Status.ACTIVE:
            return facts
        return facts.but(rivals=tuple(r for r in await self._rivals(row) if r.precedes(row.id)))

    def _carried(self, facts: Facts, step: Move, *, engaged: bool) -> Facts:
        if step.keeps:
            return facts
        tries = facts.tries + 1 if step.again else 0
        return self._fresh(facts).but(unsent=step.unsent, engaged=engaged, rest=step.rest, tries=tries)

    def _fresh(self, facts: Facts) -> Facts:
        kept = Facts(self.rule, self.ports.settings, newborn=facts.newborn, wish=facts.wish)
        return kept.but(engaged=facts.engaged)

    async def _advance(self, row: ManagedRow, step: Move, *, keeps: bool) -> managed.Moved | None:
        settings = self.ports.settings
        activates = step.row.status is Status.ACTIVE and row.status is not Status.ACTIVE
        change = managed.activate if activates else managed.advance
        at, asked = settings.clock.monotonic(), self.ports.switch.asked()
        try:
            async with self.ports.database.connection() as connection:
                moved = await change(
                    connection,
                    row,
                    step.row,
                    reason=step.reason,
                    actor=self.ports.owner,
                    origin=self.origin,
                    lease=settings.lease,
                    keeps=keeps,
                    alert=step.alert,
                    unprotected=_naked(row, step.row),
                    since=step.since,
                )
        except RetryableError:
            return None
        if moved is not None:
            self.leased_at = at
            self.ports.switch.told(asked, engaged=moved.engaged)
        return moved

    async def _ask(self, row: ManagedRow, facts: Facts, need: Need) -> Facts:
        await self._hold_lease(row)
        match need:
            case Need.ENTRY:
                return facts.but(entry=await self._find(row, row.entry_client_id, conditional=False))
            case Need.STOP:
                return facts.but(stop=await self._find(row, row.stop_client_id, conditional=True))
            case Need.CLOSES:
                first = row.attempt if facts.rest is not None else 1
                names = [client_id(row.request_key, "c", n) for n in range(first, row.attempt + 1)]
                return facts.but(
                    closes=tuple([await self._find(row, name, conditional=False) for name in names])
                )
            case Need.SNAPSHOT:
                await self.ports.checkpoint("before snapshot")
                if facts.snapshots:
                    await self._pause(row, self.ports.settings.poll.total_seconds())
                return facts.but(snapshots=(*facts.snapshots, await self.gateway.snapshot()))
            case Need.FILLS:
                await self.ports.checkpoint("before fills")
                since = row.inserted_at - _BEFORE
                history = await self.gateway.fills([row.symbol], since)
                return facts.but(fills=history, others=await self._others(row, history))
            case Need.RIVALS:
                return facts.but(rivals=await self._rivals(row))

    async def _others(self, row: ManagedRow, history: FillHistory) -> frozenset[str]:
        """Which of the orders that the venue does not name are those of other rows."""
        nameless = {fill.order_id for fill in history.fills if fill.client_order_id is None}
        if not nameless:
            return frozenset()
        async with self.ports.database.connection() as connection:
            return await managed.others_orders(connection, row, nameless)

    async def _rivals(self, row: ManagedRow) -> tuple[Rival, ...]:
        async with self.ports.database.connection() as connection:
            return await managed.rivals(connection, row)

    async def _find(self, row: ManagedRow, name: str | None, *, conditional: bool) -> Lookup:
        if name is None:
            return Lookup(Sight.ABSENT)
        await self.ports.checkpoint("before find")
        try:
            return await self.gateway.find(row.symbol, name, conditional=conditional)
        except Exception as error:  # noqa: BLE001  a look-up that breaks has told nothing
            return Lookup(Sight.UNKNOWN, reason=type(error).__name__)

    async def _send(self, row: ManagedRow, facts: Facts, step: Send) -> Facts:
        await self._hold_lease(row)
        await self.ports.checkpoint(f"before send {step.order}")
        reply = await self._sent(row, step)
        self._quiet_since = (
            self.ports.settings.clock.monotonic() + self.ports.settings.settle_after.total_seconds()
            if reply.outcome is not Outcome.REJECTED
            else self._quiet_since
        )
        self._turn_to(row)
        await self.ports.checkpoint(f"after send {step.order}")
        facts = facts.but(unsent=False, reply=reply)
        if reply.outcome is not Outcome.ACCEPTED or reply.seen is None:
            return facts
        told = Lookup(Sight.FOUND, reply.seen)
        match step.order:
            case Order.ENTRY:
                return facts.but(entry=told)
            case Order.CLOSE:
                return facts.but(closes=(told,))
            case Order.STOP:
                return facts  # looked up: a venue may end a stop right after it took it

    async def _sent(self, row: ManagedRow, step: Send) -> OrderReply:
        name = {
            Order.ENTRY: row.entry_client_id,
            Order.STOP: row.stop_client_id,
            Order.CLOSE: row.close_client_id,
        }[step.order]
        assert name is not None
        permit = Permit(self._until, self.ports.settings.clock.monotonic, self.ports.switch.held)
        if refusal := permit.refusal():
            return OrderReply(Outcome.REJECTED, name, why=Why.NEVER_SENT, reason=f"not sent: {refusal}")
        order = (row.symbol, row.side, step.quantity)
        leg = row.position_side
        try:
            with permitted(permit):
                match step.order:
                    case Order.ENTRY:
                        return await self.gateway.place_entry(*order, client_order_id=name, position_side=leg)
                    case Order.CLOSE:
                        return await self.gateway.close_reduce_only(
                            *order, client_order_id=name, position_side=leg
                        )
                    case Order.STOP:
                        trigger = step.trigger or row.stop_loss_price
                        assert trigger is not None
                        return await self.gateway.place_stop(
                            *order, trigger, client_order_id=name, position_side=leg
                        )
        except Exception as error:  # noqa: BLE001  whatever broke, the order may have gone out
            return OrderReply(Outcome.UNKNOWN, name, why=Why.SILENCE, reason=type(error).__name__)

    async def _cancel(self, row: ManagedRow, facts: Facts, step: Cancel) -> Facts:
        await self._hold_lease(row)
        await self.ports.checkpoint("before cancel")
        permit = Permit(self._until, self.ports.settings.clock.monotonic, self.ports.switch.held)
        with permitted(permit):
            reply = await self.gateway.cancel(
                row.symbol,
                conditional=step.conditional,
                order_id=step.order_id,
                client_order_id=step.client_order_id,
            )
        await self.ports.checkpoint("after cancel")
        gone = reply.outcome is Outcome.ACCEPTED or reply.why is Why.NOT_FOUND
        if not gone:
            await self._pause(row, self.ports.settings.retry_pause.total_seconds())
        tried = gone or reply.why is Why.NEVER_SENT or not self._timed(facts).patient
        return facts.but(canceled=tried, entry=None, stop=None, closes=None)

    async def _wait(self, row: ManagedRow, facts: Facts) -> Facts:
        settings = self.ports.settings
        seconds = min(settings.poll.total_seconds() * 2**self._pauses, settings.poll_most.total_seconds())
        self._pauses = min(self._pauses + 1, 30)
        await self._pause(row, seconds)
        return facts.but(entry=None, stop=None, closes=None, snapshots=(), fills=None)

    async def _leave(self, row: ManagedRow, step: Leave) -> ManagedRow:
        if not row.ended and row.lease_owner is not None:
            await self.ports.checkpoint("before leave")
            async with self.ports.database.connection() as connection:
                await managed.give_back(connection, row, settled=step.settled)
        return row

    # -- what went otherwise

    async def _read_mine(self, row: ManagedRow) -> ManagedRow:
        """The row as it stands, while it is this owner's and open. Raises LostError, DatabaseUnavailableError."""
        while True:
            try:
                async with self.ports.database.connection() as connection:
                    found = await managed.read_row(connection, row.id)
                break
            except RetryableError:
                if self.ports.settings.clock.monotonic() >= self._until:
                    raise
                await self.ports.settings.clock.sleep(self.ports.settings.retry_pause.total_seconds())
        if found is None or found.fencing != row.fencing or found.ended or found.lease_owner is None:
            raise LostError(found)
        return found

    async def _lost(self, row: ManagedRow, facts: Facts, lost: LostError) -> ManagedRow:
        """Another hand has the row. Where it ended the row while an order of this owner is out, a person is told."""
        now = lost.row or row
        sent = facts.reply is not None and facts.reply.outcome is not Outcome.REJECTED
        if now.ended and sent and now.fencing == row.fencing and not row.exit_reason:
            kind = AlertKind.ENDED_UNDERWAY
            text = f"{row.key}: row #{row.id} became {now.status} while its order was out; look at the venue."
            alert = Alert(f"core:{row.id}:{kind}", "critical", kind, text, row.id)
            async with self.ports.database.connection() as connection:
                await managed.tell(connection, alert)
            await self.ports.announce(alert)
        return now


def _naked(row: ManagedRow, after: ManagedRow) -> bool:
    """Whether the position stands without a stop after the change."""
    if after.status in _NAKED:
        return True
    return after.status in {Status.CLOSING, Status.UNRESOLVED} and row.unprotected_since is not None


def _made(row: ManagedRow, step: Move) -> bool:
    """Whether a row that was read again is what the change was to make of it."""
    same = ("status", "attempt", "quantity", "stop_client_id", "exchange_order_id", "needs_attention")
    return all(getattr(row, name) == getattr(step.row, name) for name in same)


def venue_of(row: ManagedRow) -> VenueId:
    """The venue of a row."""
    return VenueId(row.exchange, row.account)
