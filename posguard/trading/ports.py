"""What the core reaches the world through. Nothing goes round these, so that a test can stand at every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from posguard.exchange.gateway import TradingGateway
    from posguard.model.managed import Alert
    from posguard.model.venue import VenueId
    from posguard.trading.settings import CoreSettings

log = structlog.get_logger(__name__)

Checkpoint = Callable[[str], Awaitable[None]]
OnAlert = Callable[["Alert"], Awaitable[None] | None]


class CoreDatabase(Protocol):
    """Connections to the bot's database: `posguard.postgres.pool.Database`, or what stands in front of it.

    The connections are asyncpg's, or speak like them (fetch, fetchrow, execute). None is held across a venue's request.
    """

    def connection(self) -> AbstractAsyncContextManager[Any]:
        """One connection, each statement a transaction of its own."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """One READ COMMITTED transaction: committed at the end, rolled back on any error or cancellation."""
        ...


@dataclass(slots=True)
class Switch:
    """What this process knows of the kill switch.

    What the database said is taken over where no hand of this process was on the switch meanwhile: `asked` before the
    question, `told` with the answer. A press that the database did not take keeps this process stopped until `released`.
    """

    engaged: bool = False
    reason: str = ""
    _hands: int = 0  # odd while a press is on its way to the database

    def asked(self) -> int:
        """A mark of this moment."""
        return self._hands

    def told(self, asked: int, *, engaged: bool, reason: str = "") -> None:
        """What the database answered to a question asked at that mark."""
        if asked == self._hands and not self._hands % 2:
            self.engaged = engaged
            self.reason = (reason or self.reason or "by another process") if engaged else ""

    def pressed(self, reason: str) -> None:
        """From now on nothing is sent, whatever the database still says."""
        self.engaged, self.reason = True, reason
        self._hands += 1 if not self._hands % 2 else 2

    def kept(self) -> None:
        """The database has it too."""
        self._hands += self._hands % 2

    def released(self) -> None:
        """The database released it."""
        self.engaged, self.reason = False, ""
        self._hands += 1 if self._hands % 2 else 2

    def held(self) -> str:
        """Why nothing may be sent; empty where it may."""
        return f"the kill switch is engaged: {self.reason}" if self.engaged else ""


async def _go_on(_name: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a driver needs: the doors, the times, and who it is."""

    database: CoreDatabase
    gateways: Mapping[VenueId, TradingGateway]
    settings: CoreSettings
    owner: str
    on_alert: OnAlert | None = None
    checkpoint: Checkpoint = _go_on
    switch: Switch = field(default_factory=Switch)

    async def announce(self, alert: Alert | None) -> None:
        """Tells the caller's call-back of an alert that is committed. What it raises stops nothing."""
        if alert is None or self.on_alert is None:
            return
        try:
            answer = self.on_alert(alert)
            if answer is not None:
                await answer
        except Exception as error:  # noqa: BLE001  the row in the outbox is what counts
            log.warning("alert_call_back_failed", key=alert.key, error=type(error).__name__)
