"""A planted piece of the world: rows, what the venues hold, and what must be found of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from posguard.demo.markets import DemoMarket, markets, price_at
from posguard.demo.records import EventRecord, VenueSide
from posguard.demo.trade import ENTRY_AFTER, STOP_AFTER, Trade, VenueIds, stop_price
from posguard.model.finding import Kind, Proof, Severity

RowIds = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """A finding that must come of a case; rows are named as the trades are, ids follow later.

    per_row makes the row's id the subject; subject is then empty. Otherwise the finding is about the key, or the order named.
    """

    kind: Kind
    severity: Severity
    market: DemoMarket
    why: str
    rows: tuple[str, ...] = ()
    per_row: bool = False
    subject: str = ""
    proof: Proof = Proof.PROVEN
    since: datetime | None = None
    until: datetime | None = None


@dataclass
class Case:
    """One planted case as it is put together."""

    trades: list[Trade] = field(default_factory=list)
    venue: VenueSide = field(default_factory=VenueSide)
    expected: list[Expected] = field(default_factory=list)
    events: list[Callable[[RowIds], EventRecord]] = field(default_factory=list)
    reserved: set[tuple[str, str]] = field(default_factory=set)

    def __iadd__(self, other: Case) -> Self:
        self.trades += other.trades
        self.venue += other.venue
        self.expected += other.expected
        self.events += other.events
        self.reserved |= other.reserved
        return self


@dataclass
class Desk:
    """What the makers of cases share: the world's now and seed, the ids of the venues."""

    now: datetime
    seed: int
    ids: VenueIds

    def ago(self, **length: float) -> datetime:
        """So long before the world's now."""
        return self.now - timedelta(**length)

    def market(self, exchange: str, base: str) -> DemoMarket:
        """The market of a coin."""
        return markets()[exchange, f"{base}USDT"]

    def trade(
        self,
        exchange: str,
        base: str,
        side: str,
        created_at: datetime,
        *,
        quantity: Decimal | None = None,
        entry_order: bool = True,
        stop: bool = True,
        price: Decimal | None = None,
        **more: object,
    ) -> Trade:
        """An attempt in a coin at a time, at the market's price then, with its entry and its stop unless they are left out."""
        market = self.market(exchange, base)
        entry = price or price_at(market, created_at + ENTRY_AFTER, self.seed)
        return Trade(
            market=market,
            side=side,
            quantity=quantity or market.quantity(),
            created_at=created_at,
            entry_price=entry,
            entry_order=self.ids.order(exchange, created_at + ENTRY_AFTER) if entry_order else None,
            stop_order=self.ids.stop(exchange, created_at + STOP_AFTER) if stop else None,
            stop_price=stop_price(market, side, entry) if stop else None,
            name=f"{exchange}.{base}",
            **more,  # type: ignore[arg-type]
        )
