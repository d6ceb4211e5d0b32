"""Both incidents as they happened, moved in time to lie within the demo's eight hours; every gap is kept. Pure.

Incident 1 (#2548, #2549, APTUSDT on Binance): the signal's row leaves the unique index while it waits for settlement, the
synchroniser takes the real position for a missing one and inserts #2549; the activation of #2548 then hits the index, its rollback
sells the 61.0 that both rows mean, and #2549 stays `active` for a position that is gone. Proven by the fill that closed it.

Incident 2 (#275, #276, KASUSDT): two inserts 34 ms apart inside one open; only #275 was carried on with. The unique index
covers `active` rows alone, and PostgreSQL holds it valid only if they are unique, so #276 stands where it was left, in
`pending_entry`, which the index does not see; it is therefore found as unfinished too. The write-up names no exchange: it is
Bybit here, where the other two of the wave, AKEUSDT one second before and BIDUSDT one after, were opened and closed as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from posguard.demo.case import Case, Desk, Expected, RowIds
from posguard.demo.events import duplicate_key_event
from posguard.demo.records import EventRecord, VenueSide
from posguard.demo.trade import Trade, closing_fill, opening_fill, venue_side
from posguard.model.finding import Kind, Severity

FIRST_ROW, SECOND_ROW = 2548, 2549
TWIN_ROW, LATER_TWIN_ROW = 275, 276
RACE_GAP = timedelta(milliseconds=3756)
TWIN_GAP = timedelta(microseconds=34_600)
RACE_ORDER = "53190368"
RACE_AGO = timedelta(hours=5, minutes=12, seconds=7)
TWIN_AGO = timedelta(hours=7, minutes=21, seconds=40)
_STOP_AFTER = timedelta(milliseconds=4_900)
_BOUGHT, _WANTED = Decimal("61.0"), Decimal("61.8")


def race_time(now: datetime) -> datetime:
    """When #2548 was inserted."""
    return now - RACE_AGO


def twin_time(now: datetime) -> datetime:
    """When #275 was inserted."""
    return now - TWIN_AGO


def windows(now: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The times in which nobody else inserts a row, so that the ids are neighbours."""
    race, twin, second = race_time(now), twin_time(now), timedelta(seconds=1)
    return (race - second, race + 8 * second), (twin - 4 * second, twin + 6 * second)


def signal_against_synchroniser(desk: Desk) -> Case:
    """Incident 1."""
    at = race_time(desk.now)
    rolled_back = at + timedelta(milliseconds=5_600)
    first = replace(
        desk.trade("binance", "APT", "long", at, quantity=_WANTED, entry_order=False, stop=False),
        name="race.signal",
        told=False,
        filled=_BOUGHT,
        status="rolled_back",
        entry_order=RACE_ORDER,
        stop_order=desk.ids.stop("binance", at + _STOP_AFTER),
        stop_after=_STOP_AFTER,
        close_order=desk.ids.order("binance", rolled_back - timedelta(milliseconds=300)),
        closed_at=rolled_back,
        exit_reason="rollback: duplicate key",
        error="Atomic position creation failed: duplicate key value",
    )
    first = replace(first, exit_price=first.market.rounded(first.entry_price * Decimal("0.9991")))
    second = replace(
        first,
        name="race.sync",
        origin="sync",
        quantity=_BOUGHT,
        filled=None,
        status="active",
        created_at=at + RACE_GAP,
        entry_order=None,
        stop_order=None,
        close_order=None,
        closed_at=None,
        exit_price=None,
        exit_reason=None,
        error=None,
    )
    bought = opening_fill(first, desk.ids, _BOUGHT)
    sold = closing_fill(first, desk.ids, quantity=_BOUGHT)
    why = "the rollback of #2548 sold the 61.0 APT that this row stands for"
    case = Case([first, second], VenueSide(executions=(bought, sold)), reserved={("binance", "APTUSDT")})
    case.expected = [
        Expected(Kind.ORPHANED_DB, Severity.CRITICAL, first.market, why, ("race.sync",), per_row=True)
    ]
    case.events = _race_events(first)
    return case


_RACE_STORY = (
    # milliseconds after #2548 was inserted, row, event, severity, event_data
    (0, "race.signal", "position_created", "INFO", '{"status": "active", "quantity": "61.8"}'),
    (210, "race.signal", "order_placed", "INFO", '{"type": "market", "size": "61.8"}'),
    (500, "race.signal", "order_filled", "INFO", '{"filled": "61.0"}'),
    (1_000, "race.signal", "position_updated", "INFO", '{"status": "entry_placed"}'),
    (3_640, "race.sync", "sync_started", "INFO", "{}"),
    (3_756, "race.sync", "missing_position_added", "WARNING", '{"quantity": "61.0"}'),
    (3_758, "race.sync", "position_created", "INFO", '{"status": "active", "quantity": "61.0"}'),
    (3_790, "race.sync", "sync_completed", "INFO", "{}"),
    (4_900, "race.signal", "stop_loss_placed", "INFO", "{}"),
    (4_935, "race.signal", "position_error", "ERROR", '{"message": "rolling back, state=pending_sl"}'),
    (5_120, "race.signal", "order_cancelled", "INFO", '{"why": "rollback"}'),
    (5_300, "race.signal", "order_filled", "WARNING", '{"emergency_close": "61.0"}'),
    (5_600, "race.signal", "position_closed", "WARNING", '{"status": "rolled_back"}'),
)


def _race_events(first: Trade) -> list[Callable[[RowIds], EventRecord]]:
    def told(after_ms: int, row: str, kind: str, severity: str, data: str) -> Callable[[RowIds], EventRecord]:
        def make(ids: RowIds) -> EventRecord:
            at = first.created_at + timedelta(milliseconds=after_ms)
            return EventRecord(
                kind, data, at, None, ids[row], None, first.symbol, "binance", severity, _said(kind)
            )

        return make

    def duplicate(ids: RowIds) -> EventRecord:
        at = first.created_at + timedelta(milliseconds=4_933)
        return duplicate_key_event(first, ids["race.signal"], at)

    return [duplicate, *(told(*line) for line in _RACE_STORY)]


def _said(kind: str) -> str | None:
    return "Atomic position creation failed: duplicate key value" if kind == "position_error" else None


def two_inserts_in_one_open(desk: Desk) -> Case:
    """Incident 2."""
    at = twin_time(desk.now)
    first = replace(
        desk.trade("bybit", "KAS", "long", at), name="twin.first", entry_order=None, trailing=True
    )
    second = replace(
        first,
        name="twin.second",
        status="pending_entry",
        created_at=at + TWIN_GAP,
        stop_order=None,
        stop_price=None,
        trailing=False,
    )
    neighbours = [
        _neighbour(desk, "AKE", at - timedelta(seconds=1), timedelta(minutes=48)),
        _neighbour(desk, "BID", at + timedelta(seconds=1), timedelta(minutes=31)),
    ]
    case = Case([first, second], reserved={("bybit", f"{coin}USDT") for coin in ("AKE", "KAS", "BID")})
    # neither row holds the entry's order id, and the venue does
    sent = replace(first, entry_order=desk.ids.order("bybit", at + timedelta(milliseconds=500)))
    case.venue = venue_side(sent, desk.ids)
    for trade in neighbours:
        case.trades.append(trade)
        case.venue += venue_side(trade, desk.ids)
    rows = ("twin.first", "twin.second")
    case.expected = [
        Expected(
            Kind.DUPLICATE_POSITION,
            Severity.CRITICAL,
            first.market,
            "two rows, inserted 34 ms apart, claim one position",
            rows,
        ),
        Expected(
            Kind.INCOMPLETE_POSITION,
            Severity.CRITICAL,
            first.market,
            "the second of the two was never carried on with",
            rows[1:],
            per_row=True,
        ),
    ]
    return case


def _neighbour(desk: Desk, base: str, at: datetime, held: timedelta) -> Trade:
    trade = desk.trade("bybit", base, "long", at)
    closed = at + held
    return replace(
        trade,
        name="",
        status="closed",
        closed_at=closed,
        close_order=desk.ids.order("bybit", closed - timedelta(milliseconds=300)),
        exit_price=trade.market.rounded(trade.entry_price * Decimal("1.006")),
        exit_reason="take_profit",
    )
