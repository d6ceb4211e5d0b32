"""Rows as Bybit v5 documents them: nearly all of it text, empty text where there is nothing to say."""

from decimal import Decimal
from typing import Any

from posguard.simulator import margin
from posguard.simulator.book import Book
from posguard.simulator.ledger import floor_to
from posguard.simulator.orders import POST_ONLY
from posguard.simulator.records import ZERO, Account, Fill, Market, Order, Position, PositionSide, Status
from posguard.simulator.wire import at, decimals, fixed, num

_STATUS = {
    Status.NEW: "New",
    Status.PARTIAL: "PartiallyFilled",
    Status.FILLED: "Filled",
    Status.CANCELED: "Cancelled",
    Status.EXPIRED: "Cancelled",
    Status.REJECTED: "Rejected",
    Status.UNTRIGGERED: "Untriggered",
    Status.TRIGGERED: "Triggered",
}
INDEX: dict[PositionSide, int] = {"both": 0, "long": 1, "short": 2}
_CREATED_BY = {
    "position_stop": "CreateByStopLoss",
    "liquidation": "CreateByLiq",
    "adl": "CreateByAdl_PassThrough",
    "manual": "CreateByUser",
    "user": "CreateByUser",
}
_EXEC_TYPE = {"trade": "Trade", "liquidation": "BustTrade", "adl": "AdlTrade"}
TRIGGER_BY = {"last": "LastPrice", "mark": "MarkPrice"}


def instrument_row(market: Market) -> dict[str, Any]:
    """One entry of instruments-info."""
    maximum = num(market.max_qty)
    return {
        "symbol": market.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if market.trading else "Closed",
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "launchTime": str(market.listed_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(decimals(market.tick)),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": fixed(Decimal(market.max_leverage), 2),
            "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": num(market.tick), "maxPrice": "1999999.98", "tickSize": num(market.tick)},
        "lotSizeFilter": {
            "maxOrderQty": maximum,
            "minOrderQty": num(market.min_qty),
            "qtyStep": num(market.step),
            "postOnlyMaxOrderQty": maximum,
            "maxMktOrderQty": maximum,
            "minNotionalValue": num(market.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": market.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "displayName": "",
        "symbolType": "",
    }


def ticker_row(market: Market, now: int) -> dict[str, Any]:
    """One entry of market/tickers."""
    price = at(market.last, market.tick)
    mark = at(market.mark, market.tick)
    return {
        "symbol": market.symbol,
        "lastPrice": price,
        "indexPrice": mark,
        "markPrice": mark,
        "prevPrice24h": price,
        "price24hPcnt": "0",
        "highPrice24h": price,
        "lowPrice24h": price,
        "prevPrice1h": price,
        "openInterest": "1000",
        "openInterestValue": num(market.mark * 1000),
        "turnover24h": num(market.last * 1000),
        "volume24h": "1000",
        "fundingRate": "0.0001",
        "nextFundingTime": str((now // (8 * 3_600_000) + 1) * 8 * 3_600_000),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "ask1Size": "1000",
        "bid1Price": at(market.last - market.tick, market.tick),
        "ask1Price": at(market.last + market.tick, market.tick),
        "bid1Size": "1000",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
        "fundingIntervalHour": "8",
        "fundingCap": "0.005",
        "basisRateYear": "",
    }


def position_row(account: Account, leg: Position, market: Market, whole: margin.Totals) -> dict[str, Any]:
    """One row of position/list; a flat leg has no side and empty prices."""
    held = leg.amount != ZERO
    size = abs(leg.amount)
    value, keep = size * leg.entry, margin.maintenance(leg, market)
    initial = margin.position_margin(account, leg, market)
    liquidation = margin.liquidation_price(leg, market, whole)
    return {
        "positionIdx": INDEX[leg.side],
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": leg.symbol,
        "side": ("Buy" if leg.amount > ZERO else "Sell") if held else "",
        "size": at(size, market.step) if held else "0",
        "avgPrice": num(leg.entry) if held else "0",
        "positionValue": num(value) if held else "",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if held else 0,
        "leverage": str(account.leverage_of(leg.symbol)),
        "positionBalance": fixed(initial) if held else "0",
        "markPrice": at(market.mark, market.tick),
        "liqPrice": at(liquidation, market.tick) if held and liquidation else "",
        "bustPrice": "",
        "breakEvenPrice": num((leg.entry * (1 + market.taker_fee)).quantize(Decimal("1e-8"))) if held else "",
        "positionMM": fixed(keep) if held else "",
        "positionMMByMp": fixed(keep) if held else "",
        "positionIM": fixed(initial) if held else "",
        "positionIMByMp": fixed(initial) if held else "",
        "tpslMode": "Full",
        "takeProfit": at(leg.take_profit, market.tick) if leg.take_profit else "",
        "stopLoss": at(leg.stop_loss, market.tick) if leg.stop_loss else "",
        "trailingStop": "0",
        "sessionAvgPrice": "",
        "unrealisedPnl": num(margin.unrealized(leg, market)) if held else "",
        "curRealisedPnl": num(leg.realized),
        "cumRealisedPnl": num(leg.total_realized),
        "seq": leg.seq or -1,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(leg.opened_ms),
        "updatedTime": str(leg.updated_ms),
    }


def stop_type(origin: str, purpose: str, *, whole: bool) -> str:
    """Bybit's name of a conditional order: its own, or one that belongs to the position."""
    if origin != "position_stop":
        return "Stop"
    name = "TakeProfit" if purpose == "take_profit" else "StopLoss"
    return name if whole else f"Partial{name}"


def _shown_price(order: Order, market: Market) -> Decimal:
    """A market order shows the worst price it may take, a waiting one none."""
    if order.kind == "limit":
        return order.price
    if order.waiting:
        return ZERO
    bound = order.last_on_create * (Decimal("1.05") if order.side == "buy" else Decimal("0.95"))
    return floor_to(bound, market.tick)


def _created_by(order: Order) -> str:
    if order.origin == "position_stop" and not order.whole:
        return "CreateByPartialTakeProfit" if order.purpose == "take_profit" else "CreateByPartialStopLoss"
    if order.origin == "position_stop" and order.purpose == "take_profit":
        return "CreateByTakeProfit"
    return _CREATED_BY[order.origin]


def order_row(order: Order, market: Market, leg: Position | None) -> dict[str, Any]:
    """One row of order/realtime and order/history."""
    ended = not order.live
    quantity = abs(leg.amount) if order.whole and order.waiting and leg is not None else order.qty
    remaining = ZERO if ended else quantity - order.filled
    return {
        "orderId": order.id,
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "symbol": order.symbol,
        "price": at(_shown_price(order, market), market.tick),
        "qty": at(quantity, market.step),
        "side": order.side.capitalize(),
        "isLeverage": "",
        "positionIdx": INDEX[order.position_side],
        "orderStatus": "Deactivated" if order.conditional and _never_fired(order) else _STATUS[order.status],
        "createType": _created_by(order),
        "cancelType": _cancel_type(order),
        "rejectReason": _reject_reason(order),
        "avgPrice": num(order.average) if order.filled else "",
        "leavesQty": at(remaining, market.step),
        "leavesValue": num(remaining * order.price),
        "cumExecQty": at(order.filled, market.step),
        "cumExecValue": num(order.cost),
        "cumExecFee": num(order.fee),
        "timeInForce": "IOC" if order.kind == "market" else ("PostOnly" if order.tif == "GTX" else order.tif),
        "orderType": order.kind.capitalize(),
        "stopOrderType": stop_type(order.origin, order.purpose, whole=order.whole)
        if order.conditional
        else "",
        "orderIv": "",
        "triggerPrice": at(order.trigger, market.tick) if order.trigger is not None else "",
        "takeProfit": at(order.take_profit, market.tick) if order.take_profit else "",
        "stopLoss": at(order.stop_loss, market.tick) if order.stop_loss else "",
        "tpslMode": _mode(order),
        "tpLimitPrice": "0",
        "slLimitPrice": "0",
        "tpTriggerBy": "LastPrice" if order.take_profit else "",
        "slTriggerBy": "LastPrice" if order.stop_loss else "",
        "triggerDirection": _direction(order),
        "triggerBy": TRIGGER_BY[order.trigger_by] if order.conditional else "",
        "lastPriceOnCreated": at(order.last_on_create, market.tick),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.origin == "position_stop",
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "0",
        "cumFeeDetail": {market.settle: num(order.fee)} if order.filled else {},
        "extraFees": "",
    }


def _reject_reason(order: Order) -> str:
    if order.why == POST_ONLY:
        return "EC_PostOnlyWillTakeLiquidity"
    return "EC_NoEnoughQtyToFill" if order.status is Status.REJECTED else "EC_NoError"


def _mode(order: Order) -> str:
    if order.origin == "position_stop" and not order.whole:
        return "Partial"
    return "Full" if order.whole or order.stop_loss or order.take_profit else ""


def _never_fired(order: Order) -> bool:
    return order.status in (Status.CANCELED, Status.EXPIRED) and not order.triggered_ms


def _direction(order: Order) -> int:
    if not order.conditional:
        return 0
    return 1 if order.rising else 2


def _cancel_type(order: Order) -> str:
    if order.status is Status.CANCELED:
        return "CancelByUser" if order.why == "user" else "CancelByTpSlTsClear"
    return "UNKNOWN"


def fill_row(fill: Fill, market: Market) -> dict[str, Any]:
    """One row of execution/list."""
    value = fill.qty * fill.price
    return {
        "symbol": fill.symbol,
        "orderId": fill.order_id,
        "orderLinkId": fill.client_id,
        "side": fill.side.capitalize(),
        "orderPrice": at(fill.price, market.tick),
        "orderQty": at(fill.order_qty or fill.qty, market.step),
        "leavesQty": "0",
        "createType": _CREATED_BY.get(fill.kind, "CreateByUser"),
        "orderType": fill.order_kind.capitalize(),
        "stopOrderType": stop_type(fill.origin, fill.purpose, whole=fill.whole)
        if fill.purpose
        else "UNKNOWN",
        "execFee": num(fill.fee),
        "execId": fill.id,
        "execPrice": at(fill.price, market.tick),
        "execQty": at(fill.qty, market.step),
        "execType": _EXEC_TYPE[fill.kind],
        "execValue": num(value),
        "execTime": str(fill.time_ms),
        "feeCurrency": "",
        "isMaker": fill.maker,
        "feeRate": num(fill.fee / value) if value else "0",
        "tradeIv": "",
        "markIv": "",
        "markPrice": at(market.mark, market.tick),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": at(fill.closed, market.step),
        "seq": fill.seq,
        "extraFees": "",
    }


def wallet_row(book: Book, account: Account) -> dict[str, Any]:
    """The unified account of wallet-balance; USDT and USDC count as one dollar each."""
    coins = {coin: book.totals(account, coin) for coin in sorted(account.wallet) or ["USDT"]}
    balance = sum((t.balance for t in coins.values()), ZERO)
    initial = sum((t.initial for t in coins.values()), ZERO)
    keep = sum((t.maintenance for t in coins.values()), ZERO)
    return {
        "totalEquity": num(balance),
        "accountIMRate": _rate(initial, balance),
        "accountIMRateByMp": _rate(initial, balance),
        "totalMarginBalance": num(balance),
        "totalInitialMargin": num(initial),
        "totalInitialMarginByMp": num(initial),
        "accountType": "UNIFIED",
        "totalAvailableBalance": num(max(balance - initial, ZERO)),
        "accountMMRate": _rate(keep, balance),
        "accountMMRateByMp": _rate(keep, balance),
        "totalPerpUPL": num(sum((t.unrealized for t in coins.values()), ZERO)),
        "totalWalletBalance": num(sum((t.wallet for t in coins.values()), ZERO)),
        "accountLTV": "0",
        "totalMaintenanceMargin": num(keep),
        "totalMaintenanceMarginByMp": num(keep),
        "coin": [_coin_row(account, coin, whole) for coin, whole in coins.items()],
    }


def _rate(part: Decimal, balance: Decimal) -> str:
    return fixed(part / balance if balance else ZERO, 4)


def _coin_row(account: Account, coin: str, whole: margin.Totals) -> dict[str, Any]:
    realized = sum((p.total_realized for p in account.positions.values()), ZERO) if coin == "USDT" else ZERO
    return {
        "availableToBorrow": "",
        "bonus": "0",
        "accruedInterest": "0",
        "availableToWithdraw": "",
        "totalOrderIM": num(whole.order_margin),
        "equity": num(whole.balance),
        "totalPositionMM": num(whole.maintenance),
        "usdValue": num(whole.balance),
        "unrealisedPnl": num(whole.unrealized),
        "collateralSwitch": True,
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "totalPositionIM": num(whole.position_margin),
        "walletBalance": num(whole.wallet),
        "cumRealisedPnl": num(realized),
        "locked": "0",
        "marginCollateral": True,
        "coin": coin,
    }
