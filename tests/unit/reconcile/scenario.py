"""Reads the lines of docs/scenarios.md into situations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

from posguard.model.duration import parse_duration
from posguard.model.position import PositionRow, PositionSide, Side, parse_side
from posguard.model.symbol import canonical_symbol
from posguard.model.venue import (
    Fill,
    FillHistory,
    FillKind,
    MarketRule,
    OrderKind,
    VenueId,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
    World,
)
from posguard.reconcile.facts import Limits, Situation, VenueLook
from posguard.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "scenarios.md"
NOW = datetime(2025, 10, 22, 21, 50, tzinfo=UTC)
BINANCE = VenueId("binance")
LISTED = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "APTUSDT")
MARKETS = {s: MarketRule(s, s, Decimal("0.1"), Decimal("0.01"), Decimal("0.1"), Decimal(5)) for s in LISTED}
LIMITS = Limits.of(Settings(_env_file=None))
LONG_AGO = timedelta(days=400)


@dataclass
class Line:
    """One line of the page."""

    number: int
    section: str
    database: str
    venue: str
    evidence: str
    found: str

    def __str__(self):
        return f"line {self.number}: {self.section}: {self.database or 'no row'} / {self.venue or 'nothing'}"


def lines():
    section, found = "", []
    for number, text in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        if text.startswith("## "):
            section = text.removeprefix("## ")
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        if text.startswith("|") and len(cells) == 4 and cells[0] != "database" and set(text) - set("| -"):
            found.append(Line(number, section, *cells))
    return found


def parts(cell):
    return [part.strip() for part in cell.split(";") if part.strip() not in ("", "–")]


def options(words):
    """`name:value` words, bare words, and the rest in order."""
    named = dict(w.split(":", 1) for w in words if re.fullmatch(r"[a-z]+:\S+", w))
    return named, [w for w in words if not re.fullmatch(r"[a-z]+:\S+", w)]


# Rows


def row(text):
    """A row and how it moved."""
    words = text.split()
    symbol = next((w for w in words if re.search(r"usdt", w, re.IGNORECASE)), "BTCUSDT")
    exchange = next((w for w in words if w in ("bybit", "kraken")), "binance")
    moves = next((w for w in words if w in ("moved", "appeared", "vanished")), "")
    named, rest = options([w for w in words if w not in (symbol, exchange, moves, "nostop")])
    number, status, side, quantity, age = rest
    since = None if age == "no-time" else NOW - ago(age)
    stopped = "nostop" not in words
    made = PositionRow(
        id=int(number.removeprefix("#")),
        exchange=exchange,
        account="main",
        raw_symbol=symbol,
        position_side=PositionSide(named.get("leg", "both")),
        raw_side=side,
        side=parse_side(side),
        quantity=None if quantity == "?" else Decimal(quantity),
        entry_price=Decimal(100),
        status=None if status == "NULL" else status,
        exchange_order_id=named.get("order"),
        stop_loss_order_id=None,
        stop_loss_price=Decimal(named.get("stop", "93")) if stopped else None,
        has_stop_loss=stopped,
        records_stop_order=False,
        created_at=since,
        opened_at=since,
        updated_at=since,
        digest="as it was",
    )
    return made, moves


def ago(text):
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)


def reads(cell):
    before, after = [], []
    for made, moves in map(row, parts(cell)):
        if moves != "appeared":
            before.append(made)
        if moves != "vanished":
            after.append(replace(made, digest="moved") if moves == "moved" else made)
    return tuple(before), tuple(after)


# Venues


@dataclass
class Book:
    positions: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    reasons: list = field(default_factory=list)


def books(cell, snapshots):
    """One book per snapshot."""
    found, ids = [Book() for _ in range(snapshots)], count(1)
    for part in parts(cell):
        if part == "1 snapshot":
            continue
        text, only = re.fullmatch(r"(.*?)(?: \[([\d,]+)\])?", part).groups()
        shown = {int(n) for n in only.split(",")} if only else set(range(1, snapshots + 1))
        thing = venue_thing(text, ids)
        for number, book in enumerate(found, 1):
            if number in shown:
                thing(book)
    return found


def venue_thing(text, ids):
    """What one part of the venue's cell adds to a book."""
    if text.startswith("incomplete: "):
        return lambda book: book.reasons.append(text.removeprefix("incomplete: "))
    words = text.split()
    symbol = next((w for w in words if w.endswith("USDT")), "BTCUSDT")
    price = next((Decimal(w[1:]) for w in words if w.startswith("@")), None)
    named, rest = options([w for w in words if w != symbol and not w.startswith("@")])
    leg = PositionSide(named.get("leg", "both"))
    if rest[0] in ("long", "short"):
        made = VenuePosition(
            symbol,
            leg,
            Side(rest[0]),
            Decimal(rest[1]),
            None if named.get("entry") == "?" else Decimal(100),
            None if named.get("mark") == "?" else Decimal(100),
        )
        return lambda book: book.positions.append(made)
    if rest[0] == "position-stop":
        return position_stop(price, shown="shown" in rest, ids=ids)
    kind, side, quantity = rest[:3]
    whole = quantity == "all"
    order = VenueOrder(
        order_id=f"o{next(ids)}",
        client_order_id=None,
        symbol=symbol,
        position_side=leg,
        buys=side == "buy",
        kind=OrderKind(kind),
        quantity=None if whole else Decimal(quantity),
        price=price if kind == "limit" else None,
        trigger_price=None if kind == "limit" else price,
        reduce_only=("opens" not in rest and kind != "limit")
        or (kind == "limit" and side == "sell" and "opens" not in rest),
        close_position=whole,
        created_at=None if named.get("age") == "?" else NOW - parse_duration(named.get("age", "1h")),
    )
    return lambda book: book.orders.append(order)


def position_stop(price, *, shown, ids):
    """A stop of the position itself, which the venue may show as an order too."""
    number = next(ids) if shown else 0

    def add(book):
        held = book.positions[-1]
        book.positions[-1] = replace(held, stop_loss=price)
        if shown:
            book.orders.append(
                VenueOrder(
                    f"o{number}", None, held.symbol, held.position_side, held.side is Side.SHORT, OrderKind.STOP,
                    None, None, price, reduce_only=True, close_position=True, created_at=NOW, position_level=True,
                )
            )  # fmt: skip

    return add


def look(cell, fills, snapshots):
    taken = []
    for number, book in enumerate(books(cell, snapshots), 1):
        at = NOW + timedelta(seconds=number)
        taken.append(
            VenueSnapshot(
                BINANCE,
                World.SIMULATOR,
                at,
                at,
                complete=not book.reasons,
                reasons=tuple(book.reasons),
                positions=() if book.reasons else tuple(book.positions),
                orders=() if book.reasons else tuple(book.orders),
                markets=MARKETS,
                clock_skew_ms=3,
            )
        )
    return VenueLook(BINANCE, World.SIMULATOR, tuple(taken), fills=fills)


# Evidence


def histories(cell, symbols):
    """The history of each symbol; fills are of the first symbol that a row or an order names."""
    told = [part for part in parts(cell) if part != "1 snapshot"]
    if not told:
        return {}
    fills, complete, since = [], "history cut" not in told, NOW - LONG_AGO
    for number, part in enumerate(told, 1):
        if begins := re.fullmatch(r"history (\d+m)", part):
            since = NOW - parse_duration(begins[1])
        elif part not in ("history cut", "no fills"):
            fills.append(fill(part, number, symbols[0]))
    known = symbols if not fills else symbols[:1]
    return {
        symbol: FillHistory(
            BINANCE,
            since,
            frozenset({symbol}),
            tuple(f for f in fills if f.symbol == symbol),
            complete=complete,
            reasons=() if complete else ("page 2: HTTP 502",),
        )
        for symbol in known
    }


def fill(text, number, symbol):
    named, rest = options(text.split())
    verb, quantity, age = rest[:3]
    kind = FillKind(rest[4]) if len(rest) > 4 else FillKind.TRADE
    return Fill(
        f"t{number}", named.get("order", f"x{number}"), None, symbol,
        PositionSide(named.get("leg", "both")), verb == "bought",
        Decimal(quantity), Decimal(100), kind, NOW - parse_duration(age),
    )  # fmt: skip


def situation(line):
    before, after = reads(line.database)
    snapshots = 1 if "1 snapshot" in line.evidence else 3
    named = [canonical_symbol(r.raw_symbol) for r in (*before, *after)]
    symbols = list(dict.fromkeys([*named, "BTCUSDT"]))
    looks = {}
    if line.venue != "not configured":
        looks = {BINANCE: look(line.venue, histories(line.evidence, symbols), snapshots)}
    return Situation(before, after, looks, replace(LIMITS, snapshots=snapshots), NOW)
