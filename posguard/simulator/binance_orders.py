"""Binance USDⓈ-M: orders, conditional orders, their history, executions, liquidations."""

from dataclasses import replace
from typing import Any

from posguard.simulator import binance_rows as rows
from posguard.simulator import execution, orders
from posguard.simulator.records import ZERO, Fill, Intent, Order, PositionSide, Reason, Refused
from posguard.simulator.wire import Call, Reply

DAY = 86_400_000
_SIDES: dict[str, PositionSide] = {"": "both", "BOTH": "both", "LONG": "long", "SHORT": "short"}
_CONDITIONAL = {
    "STOP_MARKET": ("market", "stop_loss"),
    "STOP": ("limit", "stop_loss"),
    "TAKE_PROFIT_MARKET": ("market", "take_profit"),
    "TAKE_PROFIT": ("limit", "take_profit"),
}


def error(code: int, message: str, status: int = 400) -> Reply:
    """Binance's form of a refusal."""
    return Reply({"code": code, "msg": message}, status)


def _intent(call: Call) -> Intent:
    side = call.need("side")
    if side not in ("BUY", "SELL"):
        raise Refused(Reason.BAD_PARAMETER, "side")
    position_side = _SIDES.get(call.text("positionSide"))
    if position_side is None:
        raise Refused(Reason.BAD_PARAMETER, "positionSide")
    return Intent(
        symbol=call.need("symbol"),
        side="buy" if side == "BUY" else "sell",
        kind="market",
        qty=call.decimal("quantity", ZERO),
        client_id=call.text("newClientOrderId"),
        position_side=position_side,
        price=call.decimal("price", ZERO),
        tif=call.text("timeInForce", "GTC"),
        reduce_only=call.flag("reduceOnly"),
    )


def _check_reduce_flag(call: Call) -> Reply | None:
    if call.account.hedged and call.text("reduceOnly"):
        return error(-1106, "Parameter 'reduceonly' sent when not required.")
    return None


def new_order(call: Call) -> Any:
    """POST order: plain orders only."""
    kind = call.need("type")
    if kind in _CONDITIONAL or kind == "TRAILING_STOP_MARKET":
        return error(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        )
    if kind not in ("MARKET", "LIMIT"):
        return error(-1116, "Invalid orderType.")
    unwanted = _check_reduce_flag(call)
    if unwanted is not None:
        return unwanted
    wanted = _intent(call)
    intent = replace(wanted, kind=kind.lower(), tif=call.need("timeInForce") if kind == "LIMIT" else "GTC")
    order = orders.place(call.book, call.account, intent, call.twist)
    market = call.book.market("binance", order.symbol)
    acknowledged = call.text("newOrderRespType", "ACK") != "RESULT"
    return rows.order_row(order, market, created=True, acknowledged=acknowledged)


def new_algo_order(call: Call) -> Any:
    """POST algoOrder: the conditional ones."""
    kind = call.need("type")
    if call.need("algoType") != "CONDITIONAL":
        raise Refused(Reason.BAD_PARAMETER, "algoType")
    if kind not in _CONDITIONAL:
        return error(-1116, "Invalid orderType.")
    unwanted = _check_reduce_flag(call)
    if unwanted is not None:
        return unwanted
    base, purpose = _CONDITIONAL[kind]
    wanted = _intent(call)
    rising = (wanted.side == "buy") == (purpose == "stop_loss")
    closing = call.flag("closePosition")
    if closing and (base != "market" or wanted.qty or wanted.reduce_only):
        return error(-4136, "Target strategy invalid for orderType and closePosition.")
    intent = replace(
        wanted,
        kind=base,
        qty=ZERO if closing else wanted.qty,
        client_id=call.text("clientAlgoId"),
        close_position=closing,
        trigger=call.decimal("triggerPrice"),
        rising=rising,
        purpose=purpose,
        trigger_by="mark" if call.text("workingType") == "MARK_PRICE" else "last",
    )
    order = orders.place(call.book, call.account, intent, call.twist)
    row = rows.algo_row(order, call.book.market("binance", order.symbol), None, created=True)
    if call.twist.stop_ends:
        execution.end_stop(call.book, call.account, order, call.twist.stop_ends)
    return row


def _asked(call: Call, *, algo: bool) -> Order:
    order_id, client_id = (
        (call.text("algoId"), call.text("clientAlgoId"))
        if algo
        else (call.text("orderId"), call.text("origClientOrderId"))
    )
    if not order_id and not client_id:
        raise Refused(Reason.BAD_PARAMETER, "algoId" if algo else "orderId")
    order = call.book.order(call.account, order_id, client_id, conditional=algo)
    if not _remembered(call, order):
        raise Refused(Reason.NOT_FOUND, order_id or client_id)
    if not algo and order.symbol != call.need("symbol"):
        raise Refused(Reason.NOT_FOUND, order_id or client_id)
    return order


def _remembered(call: Call, order: Order) -> bool:
    """Whether the venue still knows it: three days where it never traded, ninety in any case."""
    age = call.book.now() - order.created_ms
    traded = order.filled > ZERO or order.child_id
    return order.live or age <= (90 if traded else 3) * DAY


def _row(call: Call, order: Order) -> dict[str, Any]:
    market = call.book.market("binance", order.symbol)
    if order.conditional:
        return rows.algo_row(order, market, call.account.orders.get(order.child_id))
    return rows.order_row(order, market)


def get_order(call: Call) -> Any:
    """GET order, by either id."""
    return _row(call, _asked(call, algo=False))


def get_open_order(call: Call) -> Any:
    """GET openOrder: as long as it is live."""
    order = _asked(call, algo=False)
    if not order.live:
        raise Refused(Reason.NOT_FOUND, order.id)
    return _row(call, order)


def get_algo_order(call: Call) -> Any:
    """GET algoOrder, by either id."""
    return _row(call, _asked(call, algo=True))


def cancel_order(call: Call) -> Any:
    """DELETE order."""
    order = orders.cancel(call.book, call.account, _asked(call, algo=False))
    return rows.order_row(order, call.book.market("binance", order.symbol), created=True)


def cancel_algo_order(call: Call) -> Any:
    """DELETE algoOrder."""
    order = orders.cancel(call.book, call.account, _asked(call, algo=True))
    return {"algoId": int(order.id), "clientAlgoId": order.client_id, "code": "200", "msg": "success"}


def cancel_all(call: Call, *, algo: bool) -> Any:
    """DELETE allOpenOrders, algoOpenOrders: of one symbol."""
    symbol = call.book.market("binance", call.need("symbol")).symbol
    for order in list(call.account.open_orders.values()):
        if order.symbol == symbol and order.conditional == algo:
            orders.cancel(call.book, call.account, order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def open_orders(call: Call, *, algo: bool) -> Any:
    """GET openOrders, openAlgoOrders: of one symbol or all."""
    symbol = call.text("symbol")
    if symbol:
        call.book.market("binance", symbol)
    found = [
        o
        for o in call.account.open_orders.values()
        if o.conditional == algo and (not symbol or o.symbol == symbol)
    ]
    return [_row(call, o) for o in sorted(found, key=lambda o: o.seq)]


def _span(call: Call) -> tuple[int, int] | Reply:
    """The asked time span; a week at most, the last week when none is named."""
    now = call.book.venue_now("binance")
    start, end = call.whole("startTime", 0), call.whole("endTime", 0)
    if start and end and end - start > 7 * DAY:
        return error(-4166, "Search window is restricted to recent 90 days and at most 7 days long.")
    if not start:
        start = (end or now) - 7 * DAY
    return start, end or min(start + 7 * DAY, now + 1)


def history(call: Call, *, algo: bool) -> Any:
    """allOrders, allAlgoOrders: oldest first, from an id on or within a span of time."""
    symbol = call.text("symbol") if not algo else call.need("symbol")
    limit = call.whole("limit", 500, 1, 1000)
    span = _span(call)
    if isinstance(span, Reply):
        return span
    first = call.whole("algoId" if algo else "orderId", 0)
    found = [
        o
        for o in call.account.orders.values()
        if o.conditional == algo
        and _remembered(call, o)
        and (not symbol or o.symbol == symbol)
        and (int(o.id) >= first if first else span[0] <= o.created_ms <= span[1])
    ]
    found.sort(key=lambda o: (o.created_ms, o.seq))
    picked = found[:limit] if first or call.text("startTime") else found[-limit:]
    return [_row(call, o) for o in picked]


def user_trades(call: Call) -> Any:
    """userTrades: a symbol must be named; oldest first, at most a week and a thousand rows."""
    market = call.book.market("binance", call.need("symbol"))
    limit = call.whole("limit", 500, 1, 1000)
    span = _span(call)
    if isinstance(span, Reply):
        return span
    first, order_id = call.whole("fromId", 0), call.text("orderId")

    def wanted(fill: Fill) -> bool:
        if fill.symbol != market.symbol or (order_id and fill.order_id != order_id):
            return False
        if order_id and not call.text("startTime"):
            return True
        return int(fill.id) >= first if first else span[0] <= fill.time_ms <= span[1]

    found = [f for f in call.account.fills if wanted(f)]
    picked = found[:limit] if first or call.text("startTime") else found[-limit:]
    return [rows.fill_row(f, market) for f in picked]


def force_orders(call: Call) -> Any:
    """Liquidations and auto-deleveraging of this account."""
    kinds = {"LIQUIDATION": ("liquidation",), "ADL": ("adl",), "": ("liquidation", "adl")}
    wanted = kinds.get(call.text("autoCloseType"))
    if wanted is None:
        raise Refused(Reason.BAD_PARAMETER, "autoCloseType")
    symbol, limit = call.text("symbol"), call.whole("limit", 50 if call.text("autoCloseType") else 20, 1, 100)
    start, end = call.whole("startTime", 0), call.whole("endTime", 0) or call.book.now() + 1
    found = [
        o
        for o in call.account.orders.values()
        if o.origin in wanted and (not symbol or o.symbol == symbol) and start <= o.created_ms <= end
    ]
    found.sort(key=lambda o: (o.created_ms, o.seq), reverse=True)
    forced = [_row(call, o) for o in found[:limit]]
    for row in forced:
        for name in ("priceProtect", "priceMatch", "selfTradePreventionMode", "goodTillDate"):
            del row[name]
        row.update({"type": "LIMIT", "origType": "LIMIT", "timeInForce": "IOC", "price": row["avgPrice"]})
    return forced
