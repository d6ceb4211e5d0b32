"""What is known of one row at one moment, and the steps that may follow. Values only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from posguard.model.managed import Alert, ManagedRow, Rival
    from posguard.model.order import Lookup, OrderReply
    from posguard.model.venue import FillHistory, MarketRule, VenueSnapshot
    from posguard.trading.settings import CoreSettings


class Need(StrEnum):
    """A fact that a decision asks for."""

    ENTRY = "entry"  # the entry order, by its client id
    STOP = "stop"  # the stop-loss, by its client id
    CLOSES = "closes"  # the closing orders of all attempts, by their client ids
    SNAPSHOT = "snapshot"  # one more look at the venue
    FILLS = "fills"  # the market's fills since the row was made
    RIVALS = "rivals"  # the other open rows of the key


class Order(StrEnum):
    """An order that the core sends."""

    ENTRY = "entry"
    STOP = "stop"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a row beside what its status wants by itself: closed, its stop moved, or looked after by the synchroniser."""

    exit_reason: str | None = None
    trigger: Decimal | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the present owner knows. None: not asked yet.

    newborn: the row was made by this owner, who has followed it since; nothing of it is older than the owner.
    unsent: the change that fixes an order was just made by this owner, and the order is not sent.
    conclusive: whatever was sent has had its time T, so that absence now tells that it never came to be.
    canceled: a cancellation was tried, and is not tried again by this owner.
    patient: there is still time to ask again. overdue: an order has rested for longer than it should.
    others: the orders of the fills that are other rows'.
    rest: what is left to close, where this owner knows it; tries: how many orders of this kind were refused to it.
    """

    rule: MarketRule
    settings: CoreSettings
    newborn: bool = False
    unsent: bool = False
    engaged: bool = False
    conclusive: bool = False
    patient: bool = True
    overdue: bool = False
    canceled: bool = False
    tries: int = 0
    rest: Decimal | None = None
    wish: Wish | None = None
    reply: OrderReply | None = None
    entry: Lookup | None = None
    stop: Lookup | None = None
    closes: tuple[Lookup, ...] | None = None
    snapshots: tuple[VenueSnapshot, ...] = ()
    fills: FillHistory | None = None
    others: frozenset[str] = frozenset()
    rivals: tuple[Rival, ...] | None = None

    def but(self, **changes: Any) -> Self:
        """The same facts with some changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Ask:
    """Fetch a fact, then decide anew."""

    need: Need


@dataclass(frozen=True, slots=True)
class Move:
    """Change the row by compare and set, then decide anew.

    unsent: the change fixes an order that is to be sent next. keeps: what is known of the order under way stays known.
    since: from when on the position was unprotected. again: this is one more try, after a pause.
    """

    row: ManagedRow
    reason: str
    alert: Alert | None = None
    unsent: bool = False
    keeps: bool = False
    again: bool = False
    rest: Decimal | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send one order, once."""

    order: Order
    quantity: Decimal
    trigger: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel one live order: by the venue's id, or by the client's."""

    conditional: bool
    client_order_id: str = ""
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after a pause."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing more to do for this owner. settled: nothing of what it sent can still be executed."""

    settled: bool


Step = Ask | Move | Send | Cancel | Wait | Leave
