"""The synchroniser: adopts what no open row owns, and looks after active rows whose position or stop is not as it should be.

Needs two complete looks that agree; a venue that cannot be read whole is left as it is and said to be inconclusive. Rows on
their way are their owner's or recovery's: the synchroniser never inserts beside them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.errors import RetryableError
from posguard.model.managed import Birth
from posguard.model.position import Side, Status
from posguard.model.protection import protection_of
from posguard.model.transitions import Origin
from posguard.postgres import managed
from posguard.postgres.findings import ignore_rules
from posguard.trading.comparing import compare, still_orphans
from posguard.trading.driver import Driver
from posguard.trading.facts import Wish
from posguard.trading.permit import Permit, permitted
from posguard.trading.stops import away

if TYPE_CHECKING:
    from posguard.exchange.gateway import TradingGateway
    from posguard.model.managed import ManagedRow
    from posguard.model.venue import MarketRule, VenueOrder, VenuePosition, VenueSnapshot
    from posguard.trading.ports import Ports


@dataclass
class Synchroniser:
    """One pass over one venue; what it did is in the lists, by row id."""

    ports: Ports
    gateway: TradingGateway
    adopted: list[int] = field(default_factory=list)
    protected: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    inconclusive: str = ""

    async def run(self) -> None:
        """The pass. Raises DatabaseUnavailableError; what was done until then is durable."""
        venue = self.gateway.venue
        await self.ports.checkpoint("before synchronise")
        async with self.ports.database.connection() as connection:
            asked_at = await managed.server_time(connection)
            rows = await managed.owned(connection, venue)
            now = datetime.now(UTC)
            ignored = {
                rule.symbol
                for rule in await ignore_rules(connection)
                if (rule.exchange, rule.account) == (venue.exchange, venue.account)
                and (rule.until is None or rule.until > now)
            }
        first = await self._look()
        if first is None:
            return
        await self.ports.settings.clock.sleep(self.ports.settings.synchronise_gap.total_seconds())
        second = await self._look()
        if second is None:
            return
        found = compare(rows, first, second, ignored)
        if self.ports.settings.adopts:
            for position in found.external:
                await self._adopt(position, second, asked_at)
        for row_id in found.amiss:
            await self._look_after(row_id, second)
        if found.orphaned_stops:
            async with self.ports.database.connection() as connection:
                rows = await managed.owned(connection, venue)
            for order in still_orphans(found.orphaned_stops, rows):
                await self._remove(order)

    async def _look(self) -> VenueSnapshot | None:
        await self.ports.checkpoint("before snapshot")
        look = await self.gateway.snapshot()
        if look.complete:
            return look
        self.inconclusive = f"{self.gateway.venue}: {'; '.join(look.reasons)}"
        return None

    async def _adopt(self, position: VenuePosition, look: VenueSnapshot, asked_at: datetime) -> None:
        """A row of the core's own for a position that has none: refused by the database where any row of the key moved since."""
        rule = look.markets.get(position.symbol)
        price = position.entry_price or position.mark_price
        if rule is None or price is None:
            return
        birth = self._birth(position, look, rule, asked_at)
        ports, settings = self.ports, self.ports.settings
        leased_at = settings.clock.monotonic()
        await ports.checkpoint("before adopt")
        async with ports.database.transaction() as connection:
            await managed.take_lock(connection, birth.key)
            there = await managed.standing(connection, birth.key, birth.request_key)
            if there.held is not None:
                return
            row = await managed.give_birth(
                connection, birth, actor=ports.owner, lease=settings.lease, lease_owner=ports.owner
            )
        await ports.checkpoint("after adopt")
        if row is None:
            return
        driver = Driver(ports, self.gateway, rule, Origin.SYNC, leased_at)
        wish = Wish(verify=True) if row.status is Status.ACTIVE else None
        await self._note(await driver.drive(row, newborn=True, wish=wish), self.adopted)

    def _birth(
        self, position: VenuePosition, look: VenueSnapshot, rule: MarketRule, asked_at: datetime
    ) -> Birth:
        leg = (position.symbol, position.position_side)
        orders = [o for o in look.orders if (o.symbol, o.position_side) == leg]
        guard = protection_of(position, orders, rule.lot_step)
        stop = guard.valid[0] if guard.covers else None
        key = self.gateway.venue.key(*leg)
        price = position.entry_price or position.mark_price
        assert price is not None
        percent = self.ports.settings.default_stop_percent
        trigger = away(price, percent, position.side, rule) if stop is None else stop.trigger
        if stop is None and trigger is not None and position.mark_price is not None:
            through = (
                trigger >= position.mark_price
                if position.side is Side.LONG
                else trigger <= position.mark_price
            )
            if through:  # nobody asked for it to be closed at once
                trigger = away(position.mark_price, percent, position.side, rule)
        return Birth(
            key=key,
            side=position.side,
            quantity=position.quantity,
            entry_price=price,
            status=Status.PENDING_SL if stop is None else Status.ACTIVE,
            request_key=f"sync:{key.exchange}:{key.account}:{key.symbol}:{secrets.token_hex(8)}",
            origin=Origin.SYNC,
            reason="the venue holds it and no open row owns it",
            stop_loss_order_id=stop.order_id if stop is not None else None,
            stop_loss_price=trigger,
            unseen_since=asked_at,
        )

    async def _look_after(self, row_id: int, look: VenueSnapshot) -> None:
        ports, settings = self.ports, self.ports.settings
        at = settings.clock.monotonic()
        await ports.checkpoint("before claim")
        async with ports.database.connection() as connection:
            row = await managed.claim(
                connection,
                row_id,
                lease_owner=ports.owner,
                lease=settings.lease,
                settle=settings.settle_after,
            )
        await ports.checkpoint("after claim")
        if row is None:
            return
        rule = look.markets.get(row.symbol)
        if rule is None:
            async with ports.database.connection() as connection:
                await managed.give_back(connection, row, settled=True)
            return
        driver = Driver(ports, self.gateway, rule, Origin.SYNC, at)
        await self._note(await driver.drive(row, wish=Wish(verify=True)), self.protected)

    async def _note(self, row: ManagedRow, into: list[int]) -> None:
        if row.needs_attention:
            self.flagged.append(row.id)
        elif row.ended:
            self.closed.append(row.id)
        else:
            into.append(row.id)

    async def _remove(self, order: VenueOrder) -> None:
        """A stop of the core's own that was left behind: two looks show that nothing needs it."""
        ports, settings = self.ports, self.ports.settings
        until = settings.clock.monotonic() + settings.lease.total_seconds()
        await ports.checkpoint("before cancel")
        with permitted(Permit(until, settings.clock.monotonic, ports.switch.held)):
            await self.gateway.cancel(order.symbol, conditional=True, order_id=order.order_id)
        await ports.checkpoint("after cancel")


async def synchronise_venue(ports: Ports, gateway: TradingGateway) -> Synchroniser:
    """One pass over one venue; a database that stays away makes it inconclusive, as a venue does."""
    one = Synchroniser(ports, gateway)
    try:
        await one.run()
    except RetryableError as error:
        one.inconclusive = f"{gateway.venue}: {error.message}"
    return one
