"""Bybit v5: orders, stops on the position, executions."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from posguard.simulator import bybit_rows as rows
from posguard.simulator import execution, orders
from posguard.simulator.records import (
    ZERO,
    Account,
    Fill,
    Intent,
    Order,
    Position,
    PositionSide,
    Reason,
    Refused,
)
from posguard.simulator.wire import Call, newest_first, window

DAY = 86_400_000
_SIDE_OF_INDEX: dict[str, PositionSide] = {"0": "both", "1": "long", "2": "short"}
_LIVE_ONLY, _RECENT = "0", "1"
_EXEC_TYPES = {"": None, "Trade": "trade", "BustTrade": "liquidation", "AdlTrade": "adl"}


def linear(call: Call) -> bool:
    """Whether it is about linear contracts; the other categories exist here and are empty."""
    category = call.need("category")
    if category not in ("linear", "inverse", "spot", "option"):
        raise Refused(Reason.BAD_PARAMETER, "category")
    return category == "linear"


def side_of(call: Call, account: Account) -> PositionSide:
    """The leg that positionIdx names; it must fit the account's mode."""
    named = _SIDE_OF_INDEX.get(call.text("positionIdx", "0"))
    if named is None or account.hedged == (named == "both"):
        raise Refused(Reason.MODE_MISMATCH)
    return named


def settles_in(call: Call, symbol: str) -> bool:
    """Whether the symbol belongs to the settle coin asked for; any does where none was."""
    coin = call.text("settleCoin")
    return not coin or call.book.market("bybit", symbol).settle == coin


def require_scope(call: Call) -> str:
    """The symbol asked for; without one, a settle or base coin must be named."""
    symbol = call.text("symbol")
    if symbol:
        call.book.market("bybit", symbol)
    elif not call.text("settleCoin") and not call.text("baseCoin"):
        raise Refused(Reason.BAD_PARAMETER, "symbol, settleCoin and baseCoin are all empty")
    return symbol


# -- placing


def create(call: Call) -> Any:
    """order/create: answers ids only, whatever becomes of the order."""
    if not linear(call):
        raise Refused(Reason.BAD_PARAMETER, "category")
    intent = _intent(call)
    order = orders.place(call.book, call.account, intent, call.twist)
    if order.waiting and call.twist.stop_ends:
        execution.end_stop(call.book, call.account, order, call.twist.stop_ends)
    return {"orderId": order.id, "orderLinkId": order.client_id}


def amend(call: Call) -> Any:
    """order/amend: quantity, price or trigger price of a live order."""
    linear(call)
    order = orders.amend(
        call.book,
        call.account,
        _asked(call),
        qty=_optional(call, "qty"),
        price=_optional(call, "price"),
        trigger=_optional(call, "triggerPrice"),
    )
    return {"orderId": order.id, "orderLinkId": order.client_id}


def _intent(call: Call) -> Intent:
    side, kind = call.need("side"), call.need("orderType")
    if side not in ("Buy", "Sell"):
        raise Refused(Reason.BAD_PARAMETER, "side")
    if kind not in ("Market", "Limit"):
        raise Refused(Reason.BAD_PARAMETER, "orderType")
    if len(call.text("orderLinkId")) > 36:
        raise Refused(Reason.BAD_PARAMETER, "orderLinkId")
    tif = "IOC" if kind == "Market" else call.text("timeInForce", "GTC")
    plain = Intent(
        symbol=call.need("symbol"),
        side="buy" if side == "Buy" else "sell",
        kind=kind.lower(),
        qty=call.decimal("qty"),
        client_id=call.text("orderLinkId"),
        position_side=side_of(call, call.account),
        price=call.decimal("price", ZERO) if kind == "Limit" else ZERO,
        tif="GTX" if tif == "PostOnly" else tif,
        reduce_only=call.flag("reduceOnly"),
        trigger_by="mark" if call.text("triggerBy") == "MarkPrice" else "last",
        stop_loss=_price(call, "stopLoss"),
        take_profit=_price(call, "takeProfit"),
    )
    if not call.text("triggerPrice"):
        return _whole_position(call, plain)
    direction = call.text("triggerDirection")
    if direction not in ("1", "2"):
        raise Refused(Reason.BAD_PARAMETER, "triggerDirection")
    rising = direction == "1"
    losing = rising == (plain.side == "buy")
    return replace(
        plain,
        trigger=call.decimal("triggerPrice"),
        rising=rising,
        purpose="stop_loss" if losing else "take_profit",
        reduce_only=plain.reduce_only or call.flag("closeOnTrigger"),
    )


def _price(call: Call, name: str) -> Decimal | None:
    return call.decimal(name, ZERO) or None


def _whole_position(call: Call, intent: Intent) -> Intent:
    """Quantity zero with reduceOnly and closeOnTrigger closes all there is."""
    if intent.qty or not (intent.reduce_only and call.flag("closeOnTrigger")):
        return intent
    leg = call.book.position(call.account, intent.symbol, intent.position_side)
    if leg is None or leg.amount == ZERO:
        raise Refused(Reason.REDUCE_ONLY)
    return replace(intent, qty=abs(leg.amount))


# -- finding and cancelling


def _asked(call: Call) -> Order:
    order_id, client_id = call.text("orderId"), call.text("orderLinkId")
    if not order_id and not client_id:
        raise Refused(Reason.BAD_PARAMETER, "orderId or orderLinkId")
    order = call.book.order(call.account, order_id, client_id)
    if order.symbol != call.need("symbol"):
        raise Refused(Reason.NOT_FOUND, order_id or client_id)
    return order


def cancel(call: Call) -> Any:
    """order/cancel, by either id."""
    linear(call)
    order = orders.cancel(call.book, call.account, _asked(call))
    return {"orderId": order.id, "orderLinkId": order.client_id}


def cancel_all(call: Call) -> Any:
    """order/cancel-all within a symbol or a settle coin."""
    if not linear(call):
        return {"list": [], "success": "1"}
    symbol, wanted = require_scope(call), call.text("orderFilter")
    ended = []
    for order in sorted(call.account.open_orders.values(), key=lambda o: o.seq):
        inside = order.symbol == symbol if symbol else settles_in(call, order.symbol)
        if inside and (not wanted or (wanted == "StopOrder") == order.conditional):
            ended.append(orders.cancel(call.book, call.account, order))
    return {"list": [{"orderId": o.id, "orderLinkId": o.client_id} for o in ended], "success": "1"}


def _rows(call: Call, found: Iterable[Order], limit: int) -> Any:
    page, cursor = newest_first(found, lambda o: (o.created_ms, o.seq), limit, call.text("cursor"))
    account, book = call.account, call.book
    listed = [
        rows.order_row(o, book.market("bybit", o.symbol), account.positions.get((o.symbol, o.position_side)))
        for o in page
    ]
    return {"nextPageCursor": cursor, "category": call.text("category"), "list": listed}


def _matches(call: Call, order: Order, symbol: str) -> bool:
    if symbol and order.symbol != symbol:
        return False
    base = call.text("baseCoin")
    if base and call.book.market("bybit", order.symbol).base != base:
        return False
    kind = call.text("orderFilter")
    return settles_in(call, order.symbol) and (not kind or (kind == "StopOrder") == order.conditional)


def realtime(call: Call) -> Any:
    """order/realtime: live orders of every kind; by id also those of the last 500 that are done."""
    if not linear(call):
        return {"nextPageCursor": "", "category": call.text("category"), "list": []}
    symbol, limit = require_scope(call), call.whole("limit", 20, 1, 50)
    account = call.account
    order_id, client_id = call.text("orderId"), call.text("orderLinkId")
    if order_id or client_id:
        found = call.book.find_order(account, order_id, client_id)
        return _rows(call, [o for o in (found,) if o is not None and _matches(call, o, symbol)], limit)
    mode = call.text("openOnly", _LIVE_ONLY)
    if mode == _RECENT:
        done = sorted((o for o in account.orders.values() if not o.live), key=lambda o: o.updated_ms)[-500:]
        return _rows(call, [o for o in done if _matches(call, o, symbol)], limit)
    return _rows(call, [o for o in account.open_orders.values() if _matches(call, o, symbol)], limit)


def _span(call: Call) -> tuple[int, int]:
    """Seven days at most: the last ones, or those after the start, or those before the end."""
    now = call.book.venue_now("bybit")
    start, end = call.whole("startTime", 0), call.whole("endTime", 0)
    if start and end and end - start > 7 * DAY:
        raise Refused(Reason.BAD_PARAMETER, "the time range between startTime and endTime exceeds 7 days")
    if start:
        return start, end or start + 7 * DAY
    return (end or now) - 7 * DAY, end or now + 1


def history(call: Call) -> Any:
    """order/history: what is done, newest first."""
    if not linear(call):
        return {"nextPageCursor": "", "category": call.text("category"), "list": []}
    symbol, limit = call.text("symbol"), call.whole("limit", 20, 1, 50)
    order_id, client_id = call.text("orderId"), call.text("orderLinkId")
    if order_id or client_id:
        found = call.book.find_order(call.account, order_id, client_id)
        done = [o for o in (found,) if o is not None and _remembered(call, o) and _matches(call, o, symbol)]
        return _rows(call, done, limit)
    start, end = _span(call)
    ended = [o for o in call.account.orders.values() if _remembered(call, o) and start <= o.created_ms <= end]
    return _rows(call, [o for o in ended if _matches(call, o, symbol)], limit)


def _remembered(call: Call, order: Order) -> bool:
    """Whether it is done and still told of: what never traded is told for a day only."""
    return not order.live and (order.filled > ZERO or call.book.now() - order.created_ms <= DAY)


def executions(call: Call) -> Any:
    """execution/list: newest first, at most a hundred rows a page."""
    if not linear(call):
        return {"nextPageCursor": "", "category": call.text("category"), "list": []}
    symbol, limit = call.text("symbol"), call.whole("limit", 50, 1, 100)
    exec_type = call.text("execType")
    if exec_type not in _EXEC_TYPES:
        return {"nextPageCursor": "", "category": "linear", "list": []}
    kind = _EXEC_TYPES[exec_type]
    order_id, client_id = call.text("orderId"), call.text("orderLinkId")

    def wanted(fill: Fill) -> bool:
        return (
            (not symbol or fill.symbol == symbol)
            and (kind is None or fill.kind == kind)
            and (not order_id or fill.order_id == order_id)
            and (not client_id or fill.client_id == client_id)
            and settles_in(call, fill.symbol)
        )

    start, end = _span(call)
    found = [f for f in window(call.account.fills, lambda f: f.time_ms, start, end) if wanted(f)]
    page, cursor = newest_first(found, lambda f: (f.time_ms, f.seq), limit, call.text("cursor"))
    listed = [rows.fill_row(f, call.book.market("bybit", f.symbol)) for f in page]
    return {"nextPageCursor": cursor, "category": "linear", "list": listed}


# -- stops on the position


def trading_stop(call: Call) -> Any:
    """position/trading-stop: sets, moves or removes (zero) the stops on the position itself."""
    linear(call)
    market = call.book.market("bybit", call.need("symbol"))
    leg = call.book.leg(call.account, market.symbol, side_of(call, call.account))
    stop, profit = _optional(call, "stopLoss"), _optional(call, "takeProfit")
    if leg.amount == ZERO:
        raise Refused(Reason.NO_POSITION, market.symbol)
    if call.text("tpslMode", "Full") == "Partial":
        return _stop_for_a_part(call, leg, stop, profit)
    same_stop = stop is None or stop == (leg.stop_loss or ZERO)
    same_profit = profit is None or profit == (leg.take_profit or ZERO)
    if same_stop and same_profit:
        raise Refused(Reason.NOT_CHANGED, "trading_stop")
    execution.set_position_stops(call.book, call.account, leg, stop, profit)
    return {}


def _stop_for_a_part(call: Call, leg: Position, stop: Decimal | None, profit: Decimal | None) -> Any:
    """Mode Partial: a stop of its own size, which the position's row does not show."""
    for purpose, price, size in (
        ("stop_loss", stop, _optional(call, "slSize")),
        ("take_profit", profit, _optional(call, "tpSize")),
    ):
        if price:
            execution.add_part_stop(
                call.book, call.account, leg, purpose, price=price, size=size or abs(leg.amount)
            )
    return {}


def _optional(call: Call, name: str) -> Decimal | None:
    return call.decimal(name, ZERO) if call.text(name) else None
