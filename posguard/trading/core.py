"""The trading core: what the bot calls.

The calls and their meaning are stable; docs/core.md tells the state machine, the promises and what they rest on.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog

from posguard.errors import InputError, RetryableError
from posguard.model.managed import ROLLED_BACK
from posguard.model.position import Status
from posguard.model.transitions import Origin
from posguard.model.venue import VenueId
from posguard.postgres import managed
from posguard.trading.asking import birth_of, key_of, positive
from posguard.trading.driver import Driver
from posguard.trading.external import external_reason
from posguard.trading.facts import Wish
from posguard.trading.ports import Ports, Switch
from posguard.trading.settings import CoreSettings
from posguard.trading.stops import on_tick
from posguard.trading.synchroniser import synchronise_venue
from posguard.trading.words import Done, Opened, Pass, Result, done, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from decimal import Decimal
    from types import TracebackType

    from posguard.exchange.gateway import TradingGateway
    from posguard.model.managed import Birth, ManagedRow
    from posguard.model.venue import MarketRule
    from posguard.trading.ports import Checkpoint, CoreDatabase, OnAlert
    from posguard.trading.words import OpenRequest

log = structlog.get_logger(__name__)
T = TypeVar("T")
_AT_ONCE = 8  # rows that one pass of recovery goes on with at a time


class TradingCore:
    """Opens, protects, closes and recovers positions, so that every one ends protected, flat, or flagged with an alert.

    database: connections (`posguard.postgres.pool.Database`). gateways: one trading gateway for each exchange and account,
    opened with `before_send=posguard.trading.before_send`, so that lease and kill switch are looked at immediately before
    each order is signed. on_alert is called after an alert is committed. owner names this process in leases and records; it
    must be another one in each process. checkpoint, for tests, is awaited with a stable name before and after each
    durable change and each request.

    Several cores, in one process or many, may work on one database. Nothing raises for what the venue does; a database that
    stays away raises DatabaseUnavailableError from close, rollback, move_stop, recover and synchronise only.
    """

    def __init__(
        self,
        database: CoreDatabase,
        gateways: Iterable[TradingGateway],
        settings: CoreSettings | None = None,
        *,
        on_alert: OnAlert | None = None,
        owner: str = "",
        checkpoint: Checkpoint | None = None,
    ) -> None:
        named = {gateway.venue: gateway for gateway in gateways}
        who = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        extra: dict[str, Any] = {} if checkpoint is None else {"checkpoint": checkpoint}
        self._ports = Ports(
            database, named, settings or CoreSettings(), who, on_alert, switch=Switch(), **extra
        )
        self._under_way: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.finish()

    async def finish(self) -> None:
        """Waits for what is under way, of cancelled callers too. Gateways and database stay the caller's to close."""
        while self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)

    # -- opening

    async def open(self, request: OpenRequest) -> Opened:
        """Row, market entry, stop-loss sized from the fill, active; or flat and terminal; or unresolved with an alert.

        A known request_key sends nothing and answers with that attempt's row as it is. A caller that is cancelled gets its
        CancelledError at once, while what was begun is carried through in the background (`finish` waits for it).
        Raises InputError that names the field; then nothing was written.
        """
        key = key_of(request)
        gateway = self._ports.gateways.get(VenueId(key.exchange, key.account))
        if gateway is None:
            known = ", ".join(str(venue) for venue in self._ports.gateways) or "none"
            raise InputError(
                "exchange", f"the core has no gateway to {key.exchange}/{key.account} ({known})."
            )
        try:
            rule = await gateway.market(key.symbol)
        except RetryableError as error:
            return Opened(Result.REFUSED, None, f"Nothing was written or sent: {error.message}")
        birth = birth_of(request, key, rule, self._ports.settings)
        assert rule is not None
        return await self._shielded(self._open(birth, gateway, rule))

    async def _open(self, birth: Birth, gateway: TradingGateway, rule: MarketRule) -> Opened:
        if self._ports.settings.refuses_external:
            try:
                reason = await external_reason(self._ports, gateway, birth)
            except RetryableError as error:
                reason = f"the database did not answer ({error.message}); nothing was sent"
                return Opened(Result.PENDING, None, reason)
            if reason:
                return Opened(Result.REFUSED, None, f"{reason}; nothing was written or sent")
        leased_at = self._ports.settings.clock.monotonic()
        mine = f"{self._ports.owner}/{secrets.token_hex(4)}"  # this open's, beside others of this process
        try:
            born = await self._give_birth(birth, mine)
        except RetryableError as error:
            born = await self._born_after_all(birth, mine, error)
        if isinstance(born, Opened):
            return born
        driver = Driver(self._ports, gateway, rule, Origin.SIGNAL, leased_at)
        try:
            row = await driver.drive(born, newborn=True)
        except RetryableError as error:
            reason = f"the database did not answer ({error.message}); recovery goes on with the row"
            return Opened(Result.PENDING, born.id, reason)
        return opened(row)

    async def _give_birth(self, birth: Birth, lease_owner: str) -> ManagedRow | Opened:
        """Layers 1 and 2, in one transaction."""
        ports = self._ports
        await ports.checkpoint("before insert")
        asked = ports.switch.asked()
        async with ports.database.transaction() as connection:
            await managed.take_lock(connection, birth.key)
            there = await managed.standing(connection, birth.key, birth.request_key)
            ports.switch.told(asked, engaged=there.engaged, reason=there.switch_reason)
            there = there._replace(engaged=ports.switch.engaged, switch_reason=ports.switch.reason)
            row = None
            if there.asked is None and there.held is None and not there.engaged:
                row = await managed.give_birth(
                    connection,
                    birth,
                    actor=ports.owner,
                    lease=ports.settings.lease,
                    lease_owner=lease_owner,
                )
        await ports.checkpoint("after insert")
        return row if row is not None else await self._not_born(birth, there)

    async def _not_born(self, birth: Birth, there: managed.Standing) -> Opened:
        if there.asked is None and there.held is None and not there.engaged:
            # The guard's index refused what the check let pass: another transaction was quicker.
            async with self._ports.database.connection() as connection:
                there = await managed.standing(connection, birth.key, birth.request_key)
        if there.asked is not None:
            return await self._asked_again(there.asked)
        if there.held is not None:
            reason = f"row #{there.held} holds {birth.key}; nothing was written or sent"
            return Opened(Result.EXISTING, there.held, reason)
        if there.engaged:
            reason = f"the kill switch is engaged ({there.switch_reason}); nothing was written or sent"
            return Opened(Result.REFUSED, None, reason)
        return Opened(Result.REFUSED, None, "the key was taken for a moment; nothing was written or sent")

    async def _asked_again(self, position_id: int) -> Opened:
        async with self._ports.database.connection() as connection:
            row = await managed.read_row(connection, position_id)
        if row is None:
            return Opened(
                Result.REFUSED, position_id, "the request key is another kind of row's", repeated=True
            )
        return opened(row, repeated=True)

    async def _born_after_all(
        self, birth: Birth, lease_owner: str, error: RetryableError
    ) -> ManagedRow | Opened:
        """A connection that broke over the insert tells nothing: the request key does. A row of this open's own is gone on with."""
        try:
            async with self._ports.database.connection() as connection:
                found = await managed.id_of_request(connection, birth.request_key)
                row = None if found is None else await managed.read_row(connection, found)
        except RetryableError:
            reason = f"the database did not answer ({error.message}); nothing was sent"
            return Opened(Result.PENDING, None, reason)
        if row is None:
            return Opened(
                Result.REFUSED, None, f"the database did not answer ({error.message}); nothing was sent"
            )
        mine = row.lease_owner == lease_owner and row.status is Status.PENDING_ENTRY
        return row if mine else opened(row, repeated=True)

    # -- closing

    async def close(self, position_id: int, reason: str) -> Done:
        """Closes the row's position by a reduce-only order of its own quantity; its stop goes once flat is proven.

        Ends closed, or unresolved with an alert; pending where somebody else works on the row.
        """
        return await self._shielded(self._work_on(position_id, Wish(exit_reason=reason)))

    async def rollback(self, position_id: int, reason: str) -> Done:
        """As close, for an open that is not to stand: ends rolled_back where its fill is closed again, failed where it had none."""
        return await self._shielded(self._work_on(position_id, Wish(exit_reason=ROLLED_BACK + reason)))

    async def move_stop(self, position_id: int, trigger: Decimal) -> Done:
        """Moves the stop-loss of an active row: the new one stands before the old one goes.

        trigger is put on the market's tick. `active` with stop_price the new trigger: moved. `active` with another
        stop_price: the venue refused, and the old stop stands. Raises InputError where trigger is no price.
        """
        positive("trigger", trigger)
        return await self._shielded(self._work_on(position_id, Wish(trigger=trigger)))

    async def _work_on(self, position_id: int, wish: Wish) -> Done:
        row, leased_at = await self._claim(position_id)
        if row is None or leased_at is None:
            return await self._as_it_is(position_id, "somebody works on the row")
        gateway = self._ports.gateways.get(VenueId(row.exchange, row.account))
        rule = await _rule_of(gateway, row.symbol)
        if gateway is None or rule is None:
            await self._give_back(row)
            return Done(Result.REFUSED, position_id, f"no gateway reaches {row.key}; nothing was sent")
        if wish.trigger is not None:
            if row.status is not Status.ACTIVE:
                await self._give_back(row)
                return Done(
                    Result.REFUSED, position_id, f"row #{row.id} is {row.status}; no stop-loss was moved"
                )
            wish = Wish(trigger=on_tick(wish.trigger, rule))
        driver = Driver(self._ports, gateway, rule, Origin.MANUAL, leased_at)
        return done(await driver.drive(row, wish=wish))

    async def _claim(self, position_id: int) -> tuple[ManagedRow | None, float | None]:
        settings = self._ports.settings
        give_up = settings.clock.monotonic() + settings.row_patience.total_seconds()
        while True:
            at = settings.clock.monotonic()
            row = await self._claim_once(position_id)
            if row is not None:
                return row, at
            async with self._ports.database.connection() as connection:
                now = await managed.read_row(connection, position_id)
            if now is None or now.ended or settings.clock.monotonic() >= give_up:
                return None, None
            await settings.clock.sleep(settings.retry_pause.total_seconds())

    async def _claim_once(self, position_id: int) -> ManagedRow | None:
        ports = self._ports
        await ports.checkpoint("before claim")
        async with ports.database.connection() as connection:
            row = await managed.claim(
                connection,
                position_id,
                lease_owner=ports.owner,
                lease=ports.settings.lease,
                settle=ports.settings.settle_after,
            )
        await ports.checkpoint("after claim")
        return row

    async def _give_back(self, row: ManagedRow) -> None:
        async with self._ports.database.connection() as connection:
            await managed.give_back(connection, row, settled=True)

    async def _as_it_is(self, position_id: int, reason: str) -> Done:
        async with self._ports.database.connection() as connection:
            row = await managed.read_row(connection, position_id)
        if row is None:
            return Done(Result.REFUSED, position_id, "the core manages no row of this id; nothing was done")
        if row.ended:
            return done(row)
        return Done(Result.PENDING, position_id, reason, needs_attention=row.needs_attention)

    # -- recovery

    async def recover(self) -> Pass:
        """One pass over the rows that nobody goes on with: each is claimed and driven by what the venue really holds."""
        switch = self._ports.switch
        asked = switch.asked()
        async with self._ports.database.connection() as connection:
            found = await managed.due(connection, self._ports.settings.settle_after)
        if found.ids:
            switch.told(asked, engaged=found.engaged, reason=found.switch_reason)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(position_id: int) -> ManagedRow | None:
            async with gate:
                return await self._recover_one(position_id)

        ended = await asyncio.gather(*(one(each) for each in found.ids), return_exceptions=True)
        for error in ended:  # after all rows had their turn
            if isinstance(error, BaseException):
                raise error
        met = [row for row in ended if row is not None and not isinstance(row, BaseException)]
        return Pass(
            recovered=tuple(row.id for row in met if row.ended or row.status is Status.ACTIVE),
            flagged=tuple(row.id for row in met if row.needs_attention),
        )

    async def _recover_one(self, position_id: int) -> ManagedRow | None:
        at = self._ports.settings.clock.monotonic()
        row = await self._claim_once(position_id)
        if row is None:
            return None
        gateway = self._ports.gateways.get(VenueId(row.exchange, row.account))
        rule = await _rule_of(gateway, row.symbol)
        if gateway is None or rule is None:
            await self._give_back(row)
            return None
        return await Driver(self._ports, gateway, rule, Origin.RECOVERY, at).drive(row)

    async def synchronise(self) -> Pass:
        """One pass over every venue: what no open row owns is adopted and protected, active rows are looked after."""
        found = await asyncio.gather(
            *(synchronise_venue(self._ports, gateway) for gateway in self._ports.gateways.values())
        )
        return Pass(
            adopted=tuple(each for one in found for each in one.adopted),
            protected=tuple(each for one in found for each in one.protected),
            closed=tuple(each for one in found for each in one.closed),
            flagged=tuple(each for one in found for each in one.flagged),
            inconclusive=tuple(one.inconclusive for one in found if one.inconclusive),
        )

    async def run(self) -> None:
        """Recovery at once and every recover_every, the synchroniser every synchronise_every, until cancelled.

        What a pass raises is logged, and the next pass comes all the same.
        """
        settings = self._ports.settings
        await asyncio.gather(
            self._again_and_again(self.recover, settings.recover_every.total_seconds()),
            self._again_and_again(self.synchronise, settings.synchronise_every.total_seconds()),
        )

    async def _again_and_again(self, work: Callable[[], Awaitable[Pass]], seconds: float) -> None:
        while True:
            try:
                done = await work()
                log.debug("core_pass", work=work.__name__, result=str(done))
            except Exception as error:  # noqa: BLE001  the next pass must come whatever this one met
                log.warning("core_pass_failed", work=work.__name__, error=f"{type(error).__name__}: {error}")
            await self._ports.settings.clock.sleep(seconds)

    # -- the kill switch

    async def stop_all(self, reason: str) -> None:
        """Engages the kill switch: from now on no core on this database sends any order, this one from this moment on.

        Stops that stand keep standing. Positions without one are flagged with an alert and protected after `resume`. Where the
        database does not take it (DatabaseUnavailableError), this core stays stopped until its own `resume`.
        """
        self._ports.switch.pressed(reason)
        async with self._ports.database.connection() as connection:
            await managed.throw_switch(connection, engaged=True, reason=reason, actor=self._ports.owner)
        self._ports.switch.kept()

    async def resume(self) -> None:
        """Releases the kill switch for every core on this database."""
        async with self._ports.database.connection() as connection:
            await managed.throw_switch(connection, engaged=False, reason="", actor=self._ports.owner)
        self._ports.switch.released()

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """What is begun is carried through though the caller is cancelled: protection does not hang on a caller's patience."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)


async def _rule_of(gateway: TradingGateway | None, symbol: str) -> MarketRule | None:
    if gateway is None:
        return None
    try:
        return await gateway.market(symbol)
    except RetryableError:
        return None
