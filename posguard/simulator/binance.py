"""Binance USDⓈ-M on the wire: who may ask, what is asked, how it is answered and refused."""

from typing import Any

from posguard.simulator import binance_orders as trade
from posguard.simulator import binance_rows as rows
from posguard.simulator.binance_orders import error
from posguard.simulator.records import ZERO, Key, Reason, Refused
from posguard.simulator.wire import Call, Handler, Reply, fixed, same_signature, sign

# reason: HTTP status, code, message; {} takes the detail.
_REFUSALS: dict[Reason, tuple[int, int, str]] = {
    Reason.BAD_SYMBOL: (400, -1121, "Invalid symbol."),
    Reason.BAD_PARAMETER: (
        400,
        -1102,
        "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
    ),
    Reason.MODE_MISMATCH: (400, -4061, "Order's position side does not match user's setting."),
    Reason.STEP: (400, -1111, "Precision is over the maximum defined for this asset."),
    Reason.TICK: (400, -4014, "Price not increased by tick size."),
    Reason.MIN_QUANTITY: (400, -4003, "Quantity less than or equal to zero."),
    Reason.MAX_QUANTITY: (400, -4005, "Quantity greater than max quantity."),
    Reason.MIN_NOTIONAL: (
        400,
        -4164,
        "Order's notional must be no smaller than {} (unless you choose reduce only).",
    ),
    Reason.DUPLICATE_ID: (400, -4116, "ClientOrderId is duplicated."),
    Reason.NO_FUNDS: (400, -2019, "Margin is insufficient."),
    Reason.REDUCE_ONLY: (400, -2022, "ReduceOnly Order is rejected."),
    Reason.WOULD_TRIGGER: (400, -2021, "Order would immediately trigger."),
    Reason.NOT_FOUND: (400, -2013, "Order does not exist."),
    Reason.NOT_CHANGED: (400, -4059, "No need to change position side."),
    Reason.POST_ONLY: (
        400,
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    ),
    Reason.POSITION_EXISTS: (400, -4068, "Position side cannot be changed if there exists position."),
    Reason.ORDERS_EXIST: (400, -4067, "Position side cannot be changed if there exists open orders."),
    Reason.NO_POSITION: (400, -2022, "ReduceOnly Order is rejected."),
}


def refusal(refused: Refused, method: str) -> Reply:
    """The answer to what the book refuses."""
    status, code, message = _REFUSALS[refused.reason]
    if refused.reason is Reason.NOT_FOUND and method == "DELETE":
        code, message = -2011, "Unknown order sent."
    return error(code, message.format(refused.detail), status)


# -- signatures


def authenticate(call: Call) -> Reply | None:
    """Set the call's key, or the refusal the venue gives."""
    api_key = call.headers.get("x-mbx-apikey", "")
    if not api_key:
        return error(-2014, "API-key format invalid.", 401)
    key = call.known_key(api_key)
    if key is None:
        return error(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    refused = _check_signature(call, key) or _check_time(call)
    if refused is None and call.method != "GET" and not key.trade:
        return error(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    if refused is None:
        call.key = key
    return refused


def _check_signature(call: Call, key: Key) -> Reply | None:
    payload, given = _split_signature(call.query, call.body)
    if not given:
        return refusal(Refused(Reason.BAD_PARAMETER, "signature"), call.method)
    if not same_signature(given, sign(key.secret, payload)):
        return error(-1022, "Signature for this request is not valid.")
    return None


def _split_signature(query: str, body: str) -> tuple[str, str]:
    given = ""
    kept: list[str] = []
    for part in (query, body):
        pieces = []
        for piece in part.split("&"):
            if piece.startswith("signature="):
                given = piece.removeprefix("signature=")
            else:
                pieces.append(piece)
        kept.append("&".join(pieces))
    return "".join(kept), given


def _check_time(call: Call) -> Reply | None:
    try:
        stamp = int(call.params.get("timestamp", ""))
        recv_window = min(int(call.params.get("recvWindow") or 5000), 60_000)
    except ValueError:
        return refusal(Refused(Reason.BAD_PARAMETER, "timestamp"), call.method)
    now = call.book.venue_now("binance")
    if stamp >= now + 1000:
        return error(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - stamp > recv_window:
        return error(-1021, "Timestamp for this request is outside of the recvWindow.")
    return None


# -- public


def _ping(_call: Call) -> Any:
    return {}


def _time(call: Call) -> Any:
    return {"serverTime": call.book.venue_now("binance")}


def _exchange_info(call: Call) -> Any:
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]
    markets = call.book.markets_of("binance")
    coins = sorted({m.settle for m in markets} | {"USDT"})
    return {
        "timezone": "UTC",
        "serverTime": call.book.venue_now("binance"),
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": [{"asset": c, "marginAvailable": True, "autoAssetExchange": "-10000"} for c in coins],
        "symbols": [rows.symbol_row(m) for m in markets],
    }


def _ticker(call: Call) -> Any:
    symbol = call.text("symbol")
    if symbol:
        return rows.ticker_row(call.book.market("binance", symbol), call.book.now())
    return [rows.ticker_row(m, call.book.now()) for m in call.book.markets_of("binance")]


def _premium_index(call: Call) -> Any:
    symbol = call.text("symbol")
    markets = [call.book.market("binance", symbol)] if symbol else call.book.markets_of("binance")
    found = [
        {
            "symbol": m.symbol,
            "markPrice": fixed(m.mark),
            "indexPrice": fixed(m.mark),
            "estimatedSettlePrice": fixed(m.mark),
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": (call.book.now() // (8 * 3_600_000) + 1) * 8 * 3_600_000,
            "time": call.book.now(),
        }
        for m in markets
    ]
    return found[0] if symbol else found


# -- account


def _account_v3(call: Call) -> Any:
    return rows.account_document(call.book, call.account, can_trade=_may_trade(call))


def _account_v2(call: Call) -> Any:
    return rows.account_document(call.book, call.account, can_trade=_may_trade(call), v2=True)


def _may_trade(call: Call) -> bool:
    return call.key is not None and call.key.trade


def _account_config(call: Call) -> Any:
    return {
        "feeTier": 0,
        "canTrade": call.account.can_trade and _may_trade(call),
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": call.account.hedged,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def _api_restrictions(call: Call) -> Any:
    return {
        "ipRestrict": False,
        "createTime": 1_600_000_000_000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": _may_trade(call),
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }


def _brackets(call: Call) -> Any:
    symbol = call.text("symbol")
    if symbol:
        return [rows.bracket_row(call.book.market("binance", symbol))]
    return [rows.bracket_row(m) for m in call.book.markets_of("binance")]


def _position_risk(call: Call) -> Any:
    """Legs that hold something or have orders: what v3 sends."""
    book, account, symbol = call.book, call.account, call.text("symbol")
    if symbol:
        book.market("binance", symbol)
    with_orders = {(o.symbol, o.position_side) for o in account.open_orders.values() if not o.conditional}
    keys = {(p.symbol, p.side) for p in account.positions.values() if p.amount != ZERO} | with_orders
    whole = {coin: book.totals(account, coin) for coin in ({"USDT"} | set(account.wallet))}
    found = []
    for key in sorted(keys):
        if symbol and key[0] != symbol:
            continue
        leg = book.leg(account, *key)
        market = book.market("binance", leg.symbol)
        totals = whole.get(market.settle) or book.totals(account, market.settle)
        found.append(rows.position_row(account, leg, market, totals))
    return found


def _get_mode(call: Call) -> Any:
    return {"dualSidePosition": call.account.hedged}


def _set_mode(call: Call) -> Any:
    account, hedged = call.account, call.need("dualSidePosition").lower() == "true"
    if account.hedged == hedged:
        raise Refused(Reason.NOT_CHANGED)
    if account.open_orders:
        raise Refused(Reason.ORDERS_EXIST)
    if call.book.open_positions(account):
        raise Refused(Reason.POSITION_EXISTS)
    account.hedged = hedged
    return {"code": 200, "msg": "success"}


def _set_leverage(call: Call) -> Any:
    market = call.book.market("binance", call.need("symbol"))
    leverage = call.whole("leverage", 0, 1)
    if leverage > market.max_leverage:
        return error(-4028, f"Leverage {leverage} is not valid")
    call.account.leverage[market.symbol] = leverage
    return {"symbol": market.symbol, "leverage": leverage, "maxNotionalValue": "100000000"}


PUBLIC: dict[tuple[str, str], Handler] = {
    ("GET", "/fapi/v1/ping"): _ping,
    ("GET", "/fapi/v1/time"): _time,
    ("GET", "/fapi/v1/exchangeInfo"): _exchange_info,
    ("GET", "/fapi/v1/ticker/24hr"): _ticker,
    ("GET", "/fapi/v1/premiumIndex"): _premium_index,
}
PRIVATE: dict[tuple[str, str], Handler] = {
    ("GET", "/fapi/v3/account"): _account_v3,
    ("GET", "/fapi/v2/account"): _account_v2,
    ("GET", "/fapi/v1/accountConfig"): _account_config,
    ("GET", "/sapi/v1/account/apiRestrictions"): _api_restrictions,
    ("GET", "/fapi/v1/leverageBracket"): _brackets,
    ("GET", "/fapi/v3/positionRisk"): _position_risk,
    ("GET", "/fapi/v1/positionSide/dual"): _get_mode,
    ("POST", "/fapi/v1/positionSide/dual"): _set_mode,
    ("POST", "/fapi/v1/leverage"): _set_leverage,
    ("POST", "/fapi/v1/order"): trade.new_order,
    ("GET", "/fapi/v1/order"): trade.get_order,
    ("GET", "/fapi/v1/openOrder"): trade.get_open_order,
    ("DELETE", "/fapi/v1/order"): trade.cancel_order,
    ("DELETE", "/fapi/v1/allOpenOrders"): lambda call: trade.cancel_all(call, algo=False),
    ("GET", "/fapi/v1/openOrders"): lambda call: trade.open_orders(call, algo=False),
    ("GET", "/fapi/v1/allOrders"): lambda call: trade.history(call, algo=False),
    ("POST", "/fapi/v1/algoOrder"): trade.new_algo_order,
    ("GET", "/fapi/v1/algoOrder"): trade.get_algo_order,
    ("DELETE", "/fapi/v1/algoOrder"): trade.cancel_algo_order,
    ("DELETE", "/fapi/v1/algoOpenOrders"): lambda call: trade.cancel_all(call, algo=True),
    ("GET", "/fapi/v1/openAlgoOrders"): lambda call: trade.open_orders(call, algo=True),
    ("GET", "/fapi/v1/allAlgoOrders"): lambda call: trade.history(call, algo=True),
    ("GET", "/fapi/v1/userTrades"): trade.user_trades,
    ("GET", "/fapi/v1/forceOrders"): trade.force_orders,
}


def answer(call: Call) -> Reply:
    """The venue's answer to one request; the book may have changed."""
    route = (call.method, call.path)
    handler = PUBLIC.get(route)
    if handler is None:
        handler = PRIVATE.get(route)
        if handler is None:
            return error(-5000, f"Path {call.path}, Method {call.method} is invalid", 404)
        refused = authenticate(call)
        if refused is not None:
            return refused
    try:
        result = handler(call)
    except Refused as no:
        return refusal(no, call.method)
    return result if isinstance(result, Reply) else Reply(result)
