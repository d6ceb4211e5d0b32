"""What one pass knows before it decides: the limits, what each venue said, and one key with all that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from posguard.model.position import PositionKey, PositionSide
from posguard.model.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from posguard.model.position import PositionRow
    from posguard.model.protection import Protection
    from posguard.model.venue import (
        FillHistory,
        MarketRule,
        VenueId,
        VenueOrder,
        VenuePosition,
        VenueSnapshot,
        World,
    )
    from posguard.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decisions depend on."""

    grace: timedelta
    incomplete_critical_after: timedelta
    aged_after: timedelta
    max_skipped_share: float
    snapshots: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a process's settings."""
        return cls(
            settings.grace,
            settings.incomplete_critical_after,
            settings.aged_after,
            settings.max_skipped_share,
            settings.snapshots,
        )


@dataclass(frozen=True)
class VenueLook:
    """All that one pass heard of one venue, oldest snapshot first.

    troubles are reasons beside the snapshots' own. fills holds the history of each symbol that was asked for. hedge is
    what the settings say.
    """

    venue: VenueId
    world: World
    snapshots: tuple[VenueSnapshot, ...] = ()
    troubles: tuple[str, ...] = ()
    fills: Mapping[str, FillHistory] = field(default_factory=dict)
    hedge: bool = False

    @cached_property
    def latest(self) -> VenueSnapshot | None:
        """The last snapshot."""
        return self.snapshots[-1] if self.snapshots else None

    @cached_property
    def holdings(self) -> tuple[Mapping[PositionKey, VenuePosition], ...]:
        """The positions of each snapshot by key."""
        return tuple(
            {self.venue.key(p.symbol, p.position_side): p for p in snapshot.positions}
            for snapshot in self.snapshots
        )

    @cached_property
    def orders(self) -> tuple[Mapping[PositionKey, tuple[VenueOrder, ...]], ...]:
        """The live orders of each snapshot by key."""
        found = []
        for snapshot in self.snapshots:
            by_key: dict[PositionKey, list[VenueOrder]] = {}
            for order in snapshot.orders:
                by_key.setdefault(self.venue.key(order.symbol, order.position_side), []).append(order)
            found.append({key: tuple(sorted(orders, key=_by_id)) for key, orders in by_key.items()})
        return tuple(found)

    def unsure_orders(self, key: PositionKey) -> tuple[VenueOrder, ...]:
        """A key's live orders that not every snapshot shows: they came, or went, or a list left them out."""
        shown = [{order.order_id: order for order in orders.get(key, ())} for orders in self.orders]
        known = {order_id: order for orders in shown for order_id, order in orders.items()}
        return tuple(known[order_id] for order_id in sorted(known) if any(order_id not in o for o in shown))

    @cached_property
    def legs(self) -> Mapping[str, frozenset[PositionSide]]:
        """The legs that the last snapshot holds of each symbol."""
        found: dict[str, set[PositionSide]] = {}
        for position in self.latest.positions if self.latest else ():
            found.setdefault(position.symbol, set()).add(position.position_side)
        return {symbol: frozenset(legs) for symbol, legs in found.items()}

    @cached_property
    def has_legs(self) -> bool:
        """Whether the account is in hedge mode: configured so, or seen to hold a leg of it."""
        held = {p.position_side for snapshot in self.snapshots for p in snapshot.positions}
        ordered = {o.position_side for snapshot in self.snapshots for o in snapshot.orders}
        return self.hedge or bool((held | ordered) - {PositionSide.BOTH})

    @property
    def markets(self) -> Mapping[str, MarketRule]:
        """The rules of the markets that the last snapshot lists."""
        return self.latest.markets if self.latest else {}

    def knows_fills(self, symbol: str, since: datetime) -> bool:
        """Whether the fills of a symbol were asked for from that time on."""
        history = self.fills.get(symbol)
        return history is not None and history.since <= since

    def gaps(self, wanted: int) -> tuple[str, ...]:
        """Why this look proves nothing; empty where `wanted` consecutive complete snapshots were taken of one world."""
        said = list(self.troubles)
        for snapshot in self.snapshots:
            if not snapshot.complete:
                said += snapshot.reasons or ("the snapshot is incomplete, without a reason",)
            if snapshot.world is not self.world:
                said.append(f"asked for its {self.world} world and heard of its {snapshot.world} world")
        if not said and len(self.snapshots) < wanted:
            said.append(f"{len(self.snapshots)} of {wanted} snapshots were taken")
        return tuple(dict.fromkeys(said))


def _by_id(order: VenueOrder) -> tuple[str, str]:
    return order.order_id, order.kind


@dataclass(frozen=True, slots=True)
class KeyCase:
    """One key with all that a pass knows of it.

    rows are the open rows that neither moved nor wait within grace, by age. judged tells whether the venue side of this
    key can be believed; position, orders and protection are empty where it cannot. agreeing counts the snapshots, back
    from the last one, that give the same protection. unsure are the live orders that some of the snapshots show
    and others do not.
    """

    key: PositionKey
    rows: tuple[PositionRow, ...]
    now: datetime
    limits: Limits
    judged: bool
    why_not: str = ""
    position: VenuePosition | None = None
    orders: tuple[VenueOrder, ...] = ()
    market: MarketRule | None = None
    protection: Protection | None = None
    agreeing: int = 0
    unsure: tuple[VenueOrder, ...] = ()
    fills: FillHistory | None = None

    @property
    def gone(self) -> bool:
        """Whether the venue is known to hold no position: in every snapshot, none of them incomplete."""
        return self.judged and self.position is None

    @property
    def covered(self) -> bool:
        """Whether live stops cover the whole position."""
        return self.protection is not None and self.protection.covers


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a comparison looks at: values in, so that the same situation always gives the same findings.

    before and after are the open rows read before and after the venues were; looks are by venue.
    """

    before: tuple[PositionRow, ...]
    after: tuple[PositionRow, ...]
    looks: Mapping[VenueId, VenueLook]
    limits: Limits
    now: datetime
    scope: Scope = field(default_factory=Scope)
