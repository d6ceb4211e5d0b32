"""Situations made up from a seed: any mixture of rows, positions, orders and fills, and venues that fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

from posguard.model.position import PositionRow, PositionSide, Side, parse_side
from posguard.model.venue import (
    Fill,
    FillHistory,
    FillKind,
    OrderKind,
    VenueId,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
    World,
)
from posguard.reconcile.facts import Situation, VenueLook
from tests.unit.reconcile.scenario import LIMITS, LISTED, LONG_AGO, MARKETS, NOW

VENUES = (VenueId("binance"), VenueId("bybit"))


SYMBOLS = (*LISTED[:3], "FTTUSDT")


STATUSES = (
    "active",
    "active",
    "active",
    "pending_entry",
    "entry_placed",
    "pending_sl",
    "exiting",
    "closing",
    None,
)


class Maker:
    """A made-up situation from one seed, so that a failing test prints all it takes to see it again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def quantity(self) -> Decimal:
        return Decimal(self.random.randint(1, 30)) / 10 * self.random.choice([1, 5])

    def moment(self):
        return None if self.chance(12) else NOW - timedelta(seconds=self.random.randint(-100, 20_000))

    def row(self, number: int) -> PositionRow:
        pick = self.random.choice
        side, since = pick(["long", "long", "short", "BUY", "odd"]), self.moment()
        return PositionRow(
            id=number,
            exchange=pick(VENUES).exchange,
            account="main",
            raw_symbol=pick([*SYMBOLS, "btc/usdt:usdt"]),
            position_side=pick([PositionSide.BOTH, *PositionSide]),
            raw_side=side,
            side=parse_side(side),
            quantity=None if self.chance(12) else self.quantity(),
            entry_price=Decimal(100),
            status=pick(STATUSES),
            exchange_order_id=pick([None, "o1", "x1"]),
            stop_loss_order_id=None,
            stop_loss_price=pick([None, Decimal(95)]),
            has_stop_loss=pick([True, True, False]),
            records_stop_order=False,
            created_at=since,
            opened_at=None,
            updated_at=since,
            digest="before",
        )

    def order(self, number: int) -> VenueOrder:
        pick = self.random.choice
        return VenueOrder(
            order_id=f"o{number}",
            client_order_id=None,
            symbol=pick(LISTED[:3]),
            position_side=pick([PositionSide.BOTH, *PositionSide]),
            buys=pick([True, False]),
            kind=pick([OrderKind.STOP, *OrderKind]),
            quantity=pick([None, self.quantity()]),
            price=None,
            trigger_price=pick([None, Decimal(95), Decimal(105)]),
            reduce_only=pick([True, True, False]),
            close_position=self.chance(4),
            created_at=self.moment(),
        )

    def stop_of(self, number: int, held: VenuePosition) -> VenueOrder:
        """Mostly what protects a position, for all or half of it."""
        long = held.side is Side.LONG
        return replace(
            self.order(number),
            symbol=held.symbol,
            position_side=held.position_side,
            buys=not long,
            kind=self.random.choice([OrderKind.STOP, OrderKind.STOP, OrderKind.TRAILING]),
            quantity=self.random.choice([held.quantity, held.quantity / 2]),
            trigger_price=Decimal(95) if long else Decimal(105),
        )

    def orders(self, held: list[VenuePosition]) -> list[VenueOrder]:
        return [
            self.stop_of(number, self.random.choice(held)) if held and self.chance(2) else self.order(number)
            for number in range(self.random.randrange(7))
        ]

    def positions(self) -> list[VenuePosition]:
        made = {}
        for _ in range(self.random.randrange(5)):
            leg = self.random.choice([PositionSide.BOTH, PositionSide.BOTH, *PositionSide])
            side = Side(leg.value) if leg is not PositionSide.BOTH else self.random.choice(list(Side))
            symbol, stop = (
                self.random.choice(LISTED[:3]),
                self.random.choice([None, Decimal(95), Decimal(105)]),
            )
            made[symbol, leg] = VenuePosition(
                symbol, leg, side, self.quantity(), Decimal(100), Decimal(100), stop
            )
        return list(made.values())

    def fill(self, number: int, symbol: str) -> Fill:
        pick = self.random.choice
        return Fill(
            f"t{number}", pick(["x1", "x2"]), None, symbol, pick(list(PositionSide)), pick([True, False]),
            self.quantity(), Decimal(100), pick(list(FillKind)),
            NOW - timedelta(seconds=self.random.randint(-10, 20_000)),
        )  # fmt: skip

    def history(self, venue: VenueId, symbol: str) -> FillHistory:
        fills = tuple(self.fill(number, symbol) for number in range(self.random.randrange(5)))
        return FillHistory(venue, NOW - LONG_AGO, frozenset({symbol}), fills, complete=not self.chance(4))

    def look(self, venue: VenueId, snapshots: int) -> VenueLook:
        held = self.positions()
        live = self.orders(held)
        taken = tuple(
            VenueSnapshot(
                venue,
                World.SIMULATOR,
                NOW + timedelta(seconds=number),
                NOW + timedelta(seconds=number),
                complete=True,
                positions=tuple(p for p in held if not self.chance(20)),
                orders=tuple(o for o in live if not self.chance(20)),
                markets=MARKETS,
            )
            for number in range(snapshots)
        )
        fills = {s: self.history(venue, s) for s in LISTED[:3] if self.chance(2)}
        return VenueLook(venue, World.SIMULATOR, taken, fills=fills)

    def situation(self, snapshots: int) -> Situation:
        before = [self.row(number + 1) for number in range(self.random.randrange(8))]
        after = [
            replace(row, digest="after" if self.chance(12) else "before")
            for row in before
            if not self.chance(12)
        ]
        return Situation(
            tuple(before),
            tuple(after),
            {venue: self.look(venue, snapshots) for venue in VENUES},
            replace(LIMITS, max_skipped_share=self.random.choice([0.2, 1.0]), snapshots=snapshots),
            NOW,
        )


def made(seed, snapshots=3):
    return Maker(seed).situation(snapshots)


def broken(situation, venue, number):
    """The situation with one snapshot of a venue incomplete."""
    look = situation.looks[venue]
    taken = list(look.snapshots)
    taken[number] = replace(taken[number], complete=False, reasons=("HTTP 524",), positions=(), orders=())
    looks_ = {**situation.looks, venue: replace(look, snapshots=tuple(taken))}
    return replace(situation, looks=looks_)
