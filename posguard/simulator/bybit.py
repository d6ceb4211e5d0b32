"""Bybit v5 on the wire: envelope, signatures, markets, account; orders are in bybit_orders."""

from datetime import UTC, datetime
from typing import Any

from posguard.simulator import bybit_orders as trade
from posguard.simulator import bybit_rows as rows
from posguard.simulator.records import ZERO, Account, Market, Position, Reason, Refused
from posguard.simulator.wire import Call, Handler, Reply, newest_first, same_signature, sign

# reason: code, message; {} takes the detail.
_REFUSALS: dict[Reason, tuple[int, str]] = {
    Reason.BAD_SYMBOL: (10001, "params error: symbol invalid {}"),
    Reason.BAD_PARAMETER: (10001, "params error: {}"),
    Reason.MODE_MISMATCH: (10001, "position idx not match position mode"),
    Reason.STEP: (10001, "Qty invalid"),
    Reason.TICK: (10001, "params error: Price invalid"),
    Reason.MIN_QUANTITY: (10001, "The number of contracts is less than the minimum allowed"),
    Reason.MAX_QUANTITY: (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    Reason.MIN_NOTIONAL: (110094, "Order does not meet minimum order value {}USDT"),
    Reason.DUPLICATE_ID: (110072, "OrderLinkedID is duplicate"),
    Reason.NO_FUNDS: (110007, "ab not enough for new order"),
    Reason.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Reason.WOULD_TRIGGER: (110093, "expect Falling, but trigger_price[{}] >= current[{}]??LastPrice"),
    Reason.NOT_FOUND: (110001, "order not exists or too late to cancel"),
    Reason.NOT_CHANGED: (34040, "not modified"),
    Reason.POST_ONLY: (170213, "Order was cancelled because post only would take"),
    Reason.POSITION_EXISTS: (
        110024,
        "You have an existing position, so the position mode cannot be switched",
    ),
    Reason.ORDERS_EXIST: (110028, "You have an existing order, so the position mode cannot be switched"),
    Reason.NO_POSITION: (10001, "can not set tp/sl/ts for zero position"),
}
_UNCHANGED = {
    "amend": (10001, "The order remains unchanged as the parameters entered match the existing ones."),
    "mode": (110025, "Position mode is not modified"),
    "leverage": (110043, "leverage not modified"),
}


def envelope(call: Call, result: Any, code: int = 0, message: str = "OK") -> Reply:
    """Bybit's form of every answer, refusals included; the HTTP status says 200."""
    return Reply(
        {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": call.book.venue_now("bybit"),
        }
    )


def refusal(call: Call, refused: Refused) -> Reply:
    """The answer to what the book refuses."""
    code, message = _REFUSALS[refused.reason]
    detail = refused.detail
    if refused.reason is Reason.NOT_CHANGED and detail in _UNCHANGED:
        code, message = _UNCHANGED[detail]
    if refused.reason is Reason.WOULD_TRIGGER:
        code, message, detail = _would_trigger(detail)
    return envelope(call, {}, code, message.format(detail))


def _would_trigger(detail: str) -> tuple[int, str, str]:
    words = detail.split()
    if words[0] == "position":
        _, purpose, price, side, base = words
        name = "StopLoss" if purpose == "stop_loss" else "TakeProfit"
        relation = "lower" if (side == "Buy") == (purpose == "stop_loss") else "higher"
        text = (
            f"{name}:{price} set for {side} position should be {relation} than base_price:{base}??LastPrice"
        )
        return 10001, text, ""
    direction, trigger, current = words
    if direction == "rising":
        return 110092, f"expect Rising, but trigger_price[{trigger}] <= current[{current}]??LastPrice", ""
    return 110093, f"expect Falling, but trigger_price[{trigger}] >= current[{current}]??LastPrice", ""


# -- signatures


def authenticate(call: Call) -> Reply | None:
    """Set the call's key, or the refusal the venue gives."""
    api_key = call.headers.get("x-bapi-api-key", "")
    key = call.known_key(api_key)
    if key is None:
        return envelope(call, {}, 10003, "API key is invalid.")
    stamp, recv_window = (
        call.headers.get("x-bapi-timestamp", ""),
        call.headers.get("x-bapi-recv-window", "5000"),
    )
    now = call.book.venue_now("bybit")
    try:
        in_time = now - int(recv_window) <= int(stamp) < now + 1000
    except ValueError:
        return envelope(call, {}, 10001, "params error: timestamp")
    if not in_time:
        text = (
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{recv_window}]"
        )
        return envelope(call, {}, 10002, text)
    payload = stamp + api_key + recv_window + (call.query if call.method == "GET" else call.body)
    if not same_signature(call.headers.get("x-bapi-sign", ""), sign(key.secret, payload)):
        return envelope(call, {}, 10004, "error sign! please check your signature generation algorithm.")
    if call.method != "GET" and not key.trade:
        return envelope(call, {}, 10005, "Permission denied, please check your API key permissions.")
    call.key = key
    return None


# -- markets


def _time(call: Call) -> Any:
    now = call.book.venue_now("bybit")
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def _instruments(call: Call) -> Any:
    listed: list[Market] = []
    cursor = ""
    if trade.linear(call) and call.text("status") in ("", "Trading"):
        symbol = call.text("symbol")
        found = [m for m in call.book.markets_of("bybit") if not symbol or m.symbol == symbol]
        order = {m.symbol: -i for i, m in enumerate(found)}
        listed, cursor = newest_first(
            found, lambda m: (order[m.symbol], 0), call.whole("limit", 500, 1, 1000), call.text("cursor")
        )
    return {
        "category": call.text("category"),
        "list": [rows.instrument_row(m) for m in listed],
        "nextPageCursor": cursor,
    }


def _tickers(call: Call) -> Any:
    symbol = call.text("symbol")
    if not trade.linear(call):
        return {"category": call.text("category"), "list": []}
    markets = [call.book.market("bybit", symbol)] if symbol else call.book.markets_of("bybit")
    now = call.book.now()
    return {"category": "linear", "list": [rows.ticker_row(m, now) for m in markets]}


# -- account


def _query_api(call: Call) -> Any:
    key = call.key
    trading = key is not None and key.trade
    return {
        "id": "13770661",
        "note": "simulated",
        "apiKey": key.key if key else "",
        "readOnly": 0 if trading else 1,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 83,
        "expiredAt": _iso(call.book.now() + 83 * trade.DAY),
        "createdAt": _iso(call.book.now() - 7 * trade.DAY),
        "unified": 0,
        "uta": 1,
        "userID": call.account.uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _account_info(call: Call) -> Any:
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": str(call.book.now()),
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def _wallet(call: Call) -> Any:
    if call.need("accountType") != "UNIFIED":
        raise Refused(Reason.BAD_PARAMETER, "accountType only support UNIFIED.")
    return {"list": [rows.wallet_row(call.book, call.account)]}


def _positions(call: Call) -> Any:
    """position/list: a symbol shows its legs flat or not; a settle coin shows what is held."""
    if not trade.linear(call):
        return {"nextPageCursor": "", "category": call.text("category"), "list": []}
    symbol, account, book = trade.require_scope(call), call.account, call.book
    limit = call.whole("limit", 20, 1, 200)
    legs = _legs_of(call, account, symbol) if symbol else book.open_positions(account)
    found = [leg for leg in legs if trade.settles_in(call, leg.symbol)]
    page, cursor = newest_first(found, lambda p: (p.updated_ms, p.seq), limit, call.text("cursor"))
    whole = {
        coin: book.totals(account, coin) for coin in {book.market("bybit", p.symbol).settle for p in page}
    }
    listed = [
        rows.position_row(account, leg, market, whole[market.settle])
        for leg, market in ((leg, book.market("bybit", leg.symbol)) for leg in page)
    ]
    return {"nextPageCursor": cursor, "category": "linear", "list": listed}


def _legs_of(call: Call, account: Account, symbol: str) -> list[Position]:
    if account.hedged:
        return [call.book.leg(account, symbol, "long"), call.book.leg(account, symbol, "short")]
    return [call.book.leg(account, symbol, "both")]


def _set_leverage(call: Call) -> Any:
    trade.linear(call)
    market = call.book.market("bybit", call.need("symbol"))
    buy, sell = call.decimal("buyLeverage"), call.decimal("sellLeverage")
    if buy != sell or not 1 <= buy <= market.max_leverage:
        return envelope(call, {}, 110013, "cannot set leverage, it is above the risk limit")
    if call.account.leverage_of(market.symbol) == int(buy):
        raise Refused(Reason.NOT_CHANGED, "leverage")
    call.account.leverage[market.symbol] = int(buy)
    return {}


def _switch_mode(call: Call) -> Any:
    """One mode for the account's linear contracts; the venue can hold one per symbol."""
    trade.linear(call)
    hedged = call.whole("mode", -1, 0) == 3
    account = call.account
    if account.hedged == hedged:
        raise Refused(Reason.NOT_CHANGED, "mode")
    if any(p.amount != ZERO for p in account.positions.values()):
        raise Refused(Reason.POSITION_EXISTS)
    if account.open_orders:
        raise Refused(Reason.ORDERS_EXIST)
    account.hedged = hedged
    return {}


PUBLIC: dict[tuple[str, str], Handler] = {
    ("GET", "/v5/market/time"): _time,
    ("GET", "/v5/market/instruments-info"): _instruments,
    ("GET", "/v5/market/tickers"): _tickers,
}
PRIVATE: dict[tuple[str, str], Handler] = {
    ("GET", "/v5/user/query-api"): _query_api,
    ("GET", "/v5/account/info"): _account_info,
    ("GET", "/v5/account/wallet-balance"): _wallet,
    ("GET", "/v5/position/list"): _positions,
    ("POST", "/v5/position/set-leverage"): _set_leverage,
    ("POST", "/v5/position/switch-mode"): _switch_mode,
    ("POST", "/v5/position/trading-stop"): trade.trading_stop,
    ("POST", "/v5/order/create"): trade.create,
    ("POST", "/v5/order/amend"): trade.amend,
    ("POST", "/v5/order/cancel"): trade.cancel,
    ("POST", "/v5/order/cancel-all"): trade.cancel_all,
    ("GET", "/v5/order/realtime"): trade.realtime,
    ("GET", "/v5/order/history"): trade.history,
    ("GET", "/v5/execution/list"): trade.executions,
}


def answer(call: Call) -> Reply:
    """The venue's answer to one request; the book may have changed."""
    route = (call.method, call.path)
    handler = PUBLIC.get(route)
    if handler is None:
        handler = PRIVATE.get(route)
        if handler is None:
            return Reply(None, 404, raw="", content_type="text/plain")
        refused = authenticate(call)
        if refused is not None:
            return refused
    try:
        result = handler(call)
    except Refused as no:
        return refusal(call, no)
    return result if isinstance(result, Reply) else envelope(call, result)
