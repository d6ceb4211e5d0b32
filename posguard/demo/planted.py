"""One planted problem of every kind, each with what must be found of it. Pure.

Every case has a market of its own, which neither the history nor the demo bot ever touches. What depends on age carries the time
from which it holds; that an open row turns aged after three hours is added for all of them by the world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from posguard.demo.case import Case, Desk, Expected
from posguard.demo.records import VenueSide
from posguard.demo.trade import Trade, closing_fill, holding_of, opening_fill, stop_of, venue_side
from posguard.model.finding import Kind, Proof, Severity

CRITICAL_AFTER = timedelta(hours=1)
_HALF = Decimal("0.5")


def planted(desk: Desk) -> Case:
    """All planted cases but the incidents."""
    whole = Case()
    for maker in _MAKERS:
        whole += maker(desk)
    return whole


def _case(desk: Desk, trade: Trade, venue: VenueSide | None, *expected: Expected) -> Case:
    market = trade.market
    side = venue_side(trade, desk.ids) if venue is None else venue
    return Case([trade], side, list(expected), reserved={(market.exchange, market.symbol)})


def _about(
    trade: Trade, kind: Kind, severity: Severity, why: str, *, per_row: bool = True, **more: object
) -> Expected:
    rows = (trade.name,)
    return Expected(kind, severity, trade.market, why, rows, per_row=per_row, **more)  # type: ignore[arg-type]


def _naked(desk: Desk, trade: Trade) -> VenueSide:
    return VenueSide((holding_of(trade),), (), (opening_fill(trade, desk.ids),))


# -- statuses


def _unknown_status(desk: Desk) -> Case:
    """A status nobody knows; the row also says when it was closed, so that half of the bot takes it for closed."""
    at = desk.ago(hours=3, minutes=36)
    closing = at + timedelta(minutes=52)
    trade = replace(
        desk.trade("binance", "STX", "long", at), status="exiting", overrides=(("closed_at", closing),)
    )
    return _case(
        desk, trade, None, _about(trade, Kind.UNKNOWN_STATUS, Severity.WARNING, "its status is 'exiting'")
    )


def _no_status(desk: Desk) -> Case:
    trade = replace(desk.trade("bybit", "GMX", "short", desk.ago(hours=4, minutes=48)), status=None)
    return _case(
        desk, trade, None, _about(trade, Kind.UNKNOWN_STATUS, Severity.WARNING, "its status is NULL")
    )


# -- unfinished rows


def _ageing(trade: Trade, why: str) -> tuple[Expected, Expected]:
    """Unfinished and harmless so far: a warning that turns critical an hour after the row began."""
    turns = trade.created_at + CRITICAL_AFTER
    kind = Kind.INCOMPLETE_POSITION
    return (
        _about(trade, kind, Severity.WARNING, why, until=turns),
        _about(trade, kind, Severity.CRITICAL, why, since=turns),
    )


def _stuck_for_hours(desk: Desk) -> Case:
    trade = replace(desk.trade("binance", "INJ", "long", desk.ago(hours=2, minutes=50)), status="pending_sl")
    why = "pending_sl for hours, though its stop lives on the venue"
    return _case(desk, trade, None, _about(trade, Kind.INCOMPLETE_POSITION, Severity.CRITICAL, why))


def _stuck_naked(desk: Desk) -> Case:
    trade = replace(
        desk.trade("binance", "TIA", "long", desk.ago(minutes=26), stop=False), status="entry_placed"
    )
    return _case(
        desk,
        trade,
        _naked(desk, trade),
        _about(
            trade,
            Kind.INCOMPLETE_POSITION,
            Severity.CRITICAL,
            "entry_placed, a real position, and no stop protects it",
        ),
        _about(
            trade,
            Kind.UNPROTECTED_POSITION,
            Severity.CRITICAL,
            "its stop was never placed",
            per_row=False,
        ),
    )


def _never_sent(desk: Desk) -> Case:
    trade = replace(
        desk.trade("bybit", "CRV", "short", desk.ago(minutes=21), entry_order=False, stop=False),
        status="pending_entry",
    )
    return _case(desk, trade, VenueSide(), *_ageing(trade, "pending_entry, and nothing was ever sent"))


def _almost_done(desk: Desk) -> Case:
    trade = replace(desk.trade("bybit", "AXS", "long", desk.ago(minutes=12)), status="pending_sl")
    return _case(desk, trade, None, *_ageing(trade, "pending_sl, its stop lives, the last update is missing"))


# -- two rows, one position


def _spelled_twice(desk: Desk) -> Case:
    """The unique index compares letters; the later row is the one that the venue's quantity and order agree with."""
    first = replace(
        desk.trade("binance", "SUI", "long", desk.ago(hours=4, minutes=12), entry_order=False),
        name="spelled.first",
        raw_symbol="SUI/USDT:USDT",
    )
    second = replace(
        desk.trade("binance", "SUI", "long", desk.ago(hours=4, minutes=9)), name="spelled.second"
    )
    first = replace(first, quantity=second.quantity + 5, stop_order=None)
    why = "SUI/USDT:USDT and SUIUSDT are one market: two rows claim its position"
    case = _case(desk, second, None)
    case.trades.append(first)
    names = (first.name, second.name)
    case.expected = [Expected(Kind.DUPLICATE_POSITION, Severity.CRITICAL, second.market, why, names)]
    return case


# -- database against exchange


def _orphan(trade: Trade, why: str, proof: Proof = Proof.PROVEN) -> Expected:
    return _about(trade, Kind.ORPHANED_DB, Severity.CRITICAL, why, proof=proof)


def _stopped_out(desk: Desk) -> Case:
    trade = desk.trade("binance", "OP", "long", desk.ago(hours=4, minutes=24))
    at = desk.ago(hours=3, minutes=55)
    fired = replace(trade, exit_reason="stop_loss", exit_price=trade.stop_price)
    fills = (opening_fill(trade, desk.ids), closing_fill(fired, desk.ids, at=at))
    return _case(
        desk, trade, VenueSide(executions=fills), _orphan(trade, "its stop fired, the row stayed active")
    )


def _liquidated(desk: Desk) -> Case:
    trade = desk.trade("bybit", "ENS", "short", desk.ago(hours=6, minutes=14))
    price = trade.market.rounded(trade.entry_price * Decimal("1.09"))
    forced = closing_fill(trade, desk.ids, at=desk.ago(hours=5, minutes=2), kind="liquidation", price=price)
    fills = (opening_fill(trade, desk.ids), forced)
    return _case(desk, trade, VenueSide(executions=fills), _orphan(trade, "the venue liquidated it"))


def _never_opened(desk: Desk) -> Case:
    trade = desk.trade("bybit", "EGLD", "long", desk.ago(hours=3, minutes=18))
    why = "its whole history on the venue holds no opening fill"
    return _case(desk, trade, VenueSide(), _orphan(trade, why))


def _vanished(desk: Desk) -> Case:
    """As after a reset of a testnet: the venue remembers the opening fill, and neither position nor close."""
    trade = desk.trade("binance", "ARB", "short", desk.ago(hours=5, minutes=54))
    fills = (opening_fill(trade, desk.ids),)
    why = "gone from the venue, and no fill closed it"
    return _case(desk, trade, VenueSide(executions=fills), _orphan(trade, why, Proof.SUSPECTED))


def _foreign(desk: Desk, exchange: str, base: str, ago: timedelta, *, stop: bool) -> Case:
    """A position nobody told the database of."""
    trade = desk.trade(exchange, base, "short", desk.now - ago, stop=stop)
    market = trade.market
    why = "opened past the bot: no row owns it"
    case = Case(
        venue=venue_side(trade, desk.ids) if stop else _naked(desk, trade),
        expected=[Expected(Kind.EXTERNAL_POSITION, Severity.WARNING, market, why)],
        reserved={(exchange, market.symbol)},
    )
    if not stop:
        naked = "opened past the bot, without a stop"
        case.expected.append(Expected(Kind.UNPROTECTED_POSITION, Severity.CRITICAL, market, naked))
    return case


def _external_naked(desk: Desk) -> Case:
    return _foreign(desk, "binance", "SEI", timedelta(hours=2, minutes=33), stop=False)


def _external_protected(desk: Desk) -> Case:
    return _foreign(desk, "bybit", "SAND", timedelta(hours=5, minutes=41), stop=True)


def _reduced_by_hand(desk: Desk) -> Case:
    trade = desk.trade("binance", "LDO", "long", desk.ago(hours=5, minutes=6))
    part = trade.quantity // 3
    left = trade.quantity - part
    by_hand = closing_fill(trade, desk.ids, at=desk.ago(hours=4, minutes=40), quantity=part)
    venue = VenueSide((holding_of(trade, left),), (stop_of(trade),), (opening_fill(trade, desk.ids), by_hand))
    why = "a third of it was closed by hand; the row holds the old quantity"
    return _case(
        desk, trade, venue, _about(trade, Kind.QUANTITY_MISMATCH, Severity.WARNING, why, per_row=False)
    )


def _grown_by_hand(desk: Desk) -> Case:
    trade = desk.trade("bybit", "CHZ", "long", desk.ago(hours=3, minutes=52))
    more = trade.quantity + 40 * trade.market.step
    venue = VenueSide(
        (holding_of(trade, more),),
        (stop_of(trade, quantity=more),),
        (opening_fill(trade, desk.ids, more),),
    )
    why = "the venue holds 40 lots more than the row"
    return _case(
        desk, trade, venue, _about(trade, Kind.QUANTITY_MISMATCH, Severity.WARNING, why, per_row=False)
    )


def _flipped(desk: Desk) -> Case:
    """The row says long, the venue holds as much short, with a stop that is right for the short."""
    trade = desk.trade("bybit", "IMX", "long", desk.ago(hours=4, minutes=2))
    above = trade.market.rounded(trade.entry_price * Decimal("1.05"))
    venue = VenueSide(
        (holding_of(trade, flipped=True),),
        (stop_of(trade, buys=True, trigger=above),),
        (replace(opening_fill(trade, desk.ids), buys=False),),
    )
    why = "the row says long, the venue holds a short"
    return _case(desk, trade, venue, _about(trade, Kind.SIDE_MISMATCH, Severity.CRITICAL, why, per_row=False))


# -- protection


def _stop_unrecorded(desk: Desk) -> Case:
    """Young on purpose: it turns aged while one watches."""
    trade = desk.trade("binance", "FET", "long", desk.ago(minutes=50))
    unknown = replace(trade, stop_price=None, stop_order=None)
    venue = venue_side(trade, desk.ids)
    why = "its stop lives on the venue, and the row does not know it"
    return _case(desk, unknown, venue, _about(unknown, Kind.STOP_NOT_RECORDED, Severity.INFO, why))


def _stop_nowhere(desk: Desk) -> Case:
    trade = desk.trade("bybit", "GRT", "short", desk.ago(hours=3, minutes=12), stop=False)
    return _case(
        desk,
        trade,
        _naked(desk, trade),
        _about(trade, Kind.STOP_NOT_RECORDED, Severity.CRITICAL, "no stop in the row, none on the venue"),
        _about(trade, Kind.UNPROTECTED_POSITION, Severity.CRITICAL, "nothing protects it", per_row=False),
    )


def _stop_lost(desk: Desk) -> Case:
    """Young on purpose, as `_stop_unrecorded`."""
    trade = desk.trade("binance", "WLD", "long", desk.ago(minutes=35))
    why = "the row records a stop that does not live on the venue"
    return _case(
        desk,
        trade,
        _naked(desk, trade),
        _about(trade, Kind.UNPROTECTED_POSITION, Severity.CRITICAL, why, per_row=False),
    )


def _halved(desk: Desk, exchange: str, base: str, ago: timedelta) -> Case:
    trade = desk.trade(exchange, base, "long", desk.now - ago)
    market = trade.market
    half = (trade.quantity * _HALF) // market.step * market.step
    venue = VenueSide(
        (holding_of(trade),), (stop_of(trade, quantity=half),), (opening_fill(trade, desk.ids),)
    )
    why = "its stop covers half of it"
    return _case(
        desk, trade, venue, _about(trade, Kind.STOP_UNDERSIZED, Severity.CRITICAL, why, per_row=False)
    )


def _undersized(desk: Desk) -> Case:
    case = _halved(desk, "binance", "JUP", timedelta(hours=4, minutes=36))
    case += _halved(desk, "bybit", "ICP", timedelta(hours=6, minutes=48))
    return case


def _against_it(desk: Desk, exchange: str, base: str, ago: timedelta) -> Case:
    """A stop that a former short left behind: it buys when the price rises, and so protects no long."""
    trade = desk.trade(exchange, base, "long", desk.now - ago)
    above = trade.market.rounded(trade.entry_price * Decimal("1.05"))
    venue = VenueSide(
        (holding_of(trade),),
        (stop_of(trade, buys=True, trigger=above),),
        (opening_fill(trade, desk.ids),),
    )
    why = "its only stop buys above the price"
    return _case(
        desk, trade, venue, _about(trade, Kind.STOP_WRONG_SIDE, Severity.CRITICAL, why, per_row=False)
    )


def _wrong_side(desk: Desk) -> Case:
    case = _against_it(desk, "binance", "ORDI", timedelta(hours=5, minutes=30))
    case += _against_it(desk, "bybit", "RUNE", timedelta(hours=3, minutes=44))
    return case


def _stopped_twice(desk: Desk, exchange: str, base: str, ago: timedelta, *, whole: bool) -> Case:
    trade = replace(desk.trade(exchange, base, "long", desk.now - ago), whole_stop=whole)
    lower = trade.market.rounded(trade.entry_price * Decimal("0.94"))
    second = stop_of(
        trade,
        order_id=desk.ids.stop(exchange, trade.created_at + timedelta(minutes=9)),
        trigger=lower,
        whole=False,
    )
    case = _case(desk, trade, None)
    case.venue += VenueSide(stops=(second,))
    why = "two stops, each for all of it"
    case.expected = [_about(trade, Kind.DUPLICATE_STOP, Severity.WARNING, why, per_row=False)]
    return case


def _duplicate_stops(desk: Desk) -> Case:
    case = _stopped_twice(desk, "binance", "PYTH", timedelta(hours=3, minutes=25), whole=False)
    case += _stopped_twice(desk, "bybit", "DOT", timedelta(hours=7, minutes=8), whole=True)
    return case


# -- what is left behind


def _left_stop(desk: Desk) -> Case:
    """Closed by a fill, and its stop lives on."""
    trade = desk.trade("binance", "GALA", "long", desk.ago(hours=6, minutes=30))
    closed = desk.ago(hours=5, minutes=50)
    ended = replace(
        trade,
        status="closed",
        closed_at=closed,
        exit_reason="take_profit",
        exit_price=trade.market.rounded(trade.entry_price * Decimal("1.01")),
        close_order=desk.ids.order("binance", closed - timedelta(milliseconds=300)),
    )
    venue = venue_side(ended, desk.ids) + VenueSide(stops=(stop_of(trade),))
    why = "its position was closed hours ago"
    return _case(desk, ended, venue, _zombie(trade, why, Proof.PROVEN))


def _left_stop_in_doubt(desk: Desk) -> Case:
    """As `_vanished`: the stop was there before the opening fill, and no fill closed what that opened."""
    trade = desk.trade("bybit", "UNI", "long", desk.ago(hours=5, minutes=26))
    ended = replace(trade, status="closed", closed_at=desk.ago(hours=4, minutes=58), exit_reason="phantom")
    stop = replace(stop_of(trade), created_at=trade.created_at)
    venue = VenueSide(stops=(stop,), executions=(opening_fill(trade, desk.ids),))
    return _case(desk, ended, venue, _zombie(trade, "its position is gone without a trace", Proof.SUSPECTED))


def _zombie(trade: Trade, why: str, proof: Proof) -> Expected:
    order = trade.stop_order or ""
    return Expected(Kind.ZOMBIE_ORDER, Severity.WARNING, trade.market, why, (), subject=order, proof=proof)


def _aged(desk: Desk) -> Case:
    """Nothing is wrong with it but its age, which the world adds."""
    return _case(desk, desk.trade("binance", "FIL", "short", desk.ago(hours=7, minutes=34)), None)


def _delisted(desk: Desk) -> Case:
    """A symbol that the venue does not list."""
    like = desk.trade("bybit", "ETC", "long", desk.ago(hours=6, minutes=36))
    market = replace(like.market, symbol="FTTUSDT")
    trade = replace(like, market=market, name="bybit.FTT")
    case = _case(
        desk,
        trade,
        VenueSide(),
        _about(trade, Kind.UNRESOLVED_SYMBOL, Severity.WARNING, "the venue lists no FTTUSDT"),
    )
    case.reserved.add(("bybit", "ETCUSDT"))
    return case


_MAKERS: tuple[Callable[[Desk], Case], ...] = (
    _unknown_status,
    _no_status,
    _stuck_for_hours,
    _stuck_naked,
    _never_sent,
    _almost_done,
    _spelled_twice,
    _stopped_out,
    _liquidated,
    _never_opened,
    _vanished,
    _external_naked,
    _external_protected,
    _reduced_by_hand,
    _grown_by_hand,
    _flipped,
    _stop_unrecorded,
    _stop_nowhere,
    _stop_lost,
    _undersized,
    _wrong_side,
    _duplicate_stops,
    _left_stop,
    _left_stop_in_doubt,
    _aged,
    _delisted,
)
