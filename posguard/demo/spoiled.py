"""Rows that the suites must find: broken by themselves, and none of reconciliation's business. Pure.

The position rows are terminal ones on markets of their own. `violations` names, by expectation, what must fail: the rows here and
those planted cases that break an expectation as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from posguard.demo.case import Case, Desk
from posguard.demo.records import BotRows, EventRecord, OrderRecord
from posguard.demo.trade import Trade, trailing_record
from posguard.demo.truth import PlantedViolation

NO_SUCH_ROW = 999_999
_MARKET = ("binance", "MANA")


def spoiled_positions(desk: Desk) -> Case:
    """Terminal rows, each broken in one way and named after it."""
    made = [
        _closed(desk, "closed_undated", 70, closed_at=None),
        _closed(desk, "negative", 130, quantity=Decimal(-250)),
        _closed(desk, "zero", 190, quantity=Decimal(0)),
        _closed(desk, "closed_before", 250, shift=timedelta(minutes=-3)),
        _closed(desk, "priceless", 310, entry_price=Decimal(0)),
        replace(_closed(desk, "misspelt", 370), raw_symbol="mana-usdt"),
    ]
    return Case(trades=made, reserved={("binance", "MANAUSDT")})


def _closed(desk: Desk, name: str, minutes: int, *, shift: timedelta | None = None, **columns: Any) -> Trade:
    """A short trade so many minutes ago that ended well, but for the columns named."""
    at = desk.ago(minutes=minutes)
    trade = desk.trade(*_MARKET, "long", at, entry_order=False, stop=False)
    if shift is not None:
        columns["closed_at"] = at + shift
    return replace(
        trade,
        name=name,
        status="closed",
        closed_at=at + timedelta(minutes=20),
        exit_price=trade.entry_price,
        exit_reason="signal",
        told=False,
        overrides=tuple(columns.items()),
    )


def spoil(desk: Desk, rows: BotRows, trades: Mapping[str, tuple[int, Trade]]) -> BotRows:
    """The rows with broken orders, events and trailing stops among them. trades: id and trade of the named ones."""
    row_id, left = trades["binance.GALA"]
    live = replace(
        trailing_record(left, row_id, price=left.entry_price, at=desk.ago(hours=6)),
        state="active",
        is_activated=True,
        activated_at=desk.ago(hours=6, minutes=5),
    )
    return replace(
        rows,
        orders=(*rows.orders, *_orders(desk)),
        events=(*rows.events, *_events(desk)),
        trailing=(*rows.trailing, live, replace(live, position_id=NO_SUCH_ROW, state="inactive")),
    )


def _orders(desk: Desk) -> Iterable[OrderRecord]:
    at = desk.ago(hours=2, minutes=11)
    good = OrderRecord(
        position_id=str(NO_SUCH_ROW),
        exchange="binance",
        symbol="MANAUSDT",
        order_id="53400001",
        client_order_id="spoiled-1",
        type="market",
        side="buy",
        size=Decimal(700),
        price=Decimal("0.2981"),
        status="filled",
        filled=Decimal(700),
        remaining=Decimal(0),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        created_at=at,
        updated_at=at,
    )
    yield good
    yield replace(good, position_id="", order_id="53400002", client_order_id="spoiled-2")
    yield replace(
        good, position_id="", order_id="53400003", client_order_id="spoiled-3", filled=Decimal(1400)
    )


def _events(desk: Desk) -> Iterable[EventRecord]:
    at = desk.ago(hours=1, minutes=47)
    yield EventRecord("position_updated", '{"status": "active"}', at, position_id=NO_SUCH_ROW)
    yield EventRecord("position_reopened", "{}", at)
    yield EventRecord("error_occurred", "{}", at, severity="ERROR")


def violations(rows: BotRows, ids: Mapping[str, int]) -> tuple[PlantedViolation, ...]:
    """What the suites must find in these rows, numbered as they are loaded: by position, from one."""
    orders = {row.client_order_id: number for number, row in enumerate(rows.orders, 1)}
    bad_order = [orders[f"spoiled-{number}"] for number in (1, 2, 3)]
    nowhere = [n for n, row in enumerate(rows.events, 1) if row.position_id == NO_SUCH_ROW]
    unknown = [n for n, row in enumerate(rows.events, 1) if row.event_type == "position_reopened"]
    wordless = [
        n
        for n, row in enumerate(rows.events, 1)
        if row.event_type == "error_occurred" and row.error_message is None
    ]
    live = [n for n, row in enumerate(rows.trailing, 1) if row.state == "active"]
    lost = [n for n, row in enumerate(rows.trailing, 1) if row.position_id == NO_SUCH_ROW]
    of_positions = {
        "one_open_row_per_key": ("twin.first", "twin.second", "spelled.first", "spelled.second"),
        "stop_recorded": ("race.sync", "binance.FET", "bybit.GRT"),
        "status_known": ("binance.STX",),
        "status_present": ("bybit.GMX",),
        "quantity_positive": ("negative", "zero"),
        "entry_price_positive": ("priceless",),
        "symbol_canonical": ("spelled.first", "misspelt"),
        "closed_has_closed_at": ("closed_undated",),
        "open_has_no_closed_at": ("binance.STX",),
        "closed_after_opened": ("closed_before",),
    }
    found = [
        _violation(f"positions.{name}", [ids[row] for row in named]) for name, named in of_positions.items()
    ]
    found += [
        _violation("orders.position_exists", bad_order[:1]),
        _violation("orders.position_named", bad_order[1:]),
        _violation("orders.filled_within_size", bad_order[2:]),
        _violation("events.position_exists", nowhere),
        _violation("events.type_known", unknown),
        _violation("events.error_says_what", wordless),
        _violation("trailing_stops.live_follows_open", live),
        _violation("trailing_stops.position_exists", lost),
    ]
    return tuple(found)


def _violation(expectation: str, keys: list[int]) -> PlantedViolation:
    suite = expectation.partition(".")[0]
    why = f"planted: {len(keys)} {'row' if len(keys) == 1 else 'rows'} of monitoring.{_TABLES[suite]}"
    return PlantedViolation(suite, expectation, tuple(str(key) for key in sorted(keys)), why)


_TABLES = {
    "positions": "positions",
    "orders": "orders",
    "events": "events",
    "trailing_stops": "trailing_stop_state",
}
