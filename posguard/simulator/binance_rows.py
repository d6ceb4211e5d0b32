"""Rows as Binance USDⓈ-M documents them: names, order of magnitude and types (text or number)."""

from typing import Any

from posguard.simulator import margin
from posguard.simulator.book import Book
from posguard.simulator.records import ZERO, Account, Fill, Market, Order, Position, Status
from posguard.simulator.wire import at, decimals, fixed, num

_STATUS = {
    Status.NEW: "NEW",
    Status.PARTIAL: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELED: "CANCELED",
    Status.EXPIRED: "EXPIRED",
    Status.REJECTED: "REJECTED",
}
_ALGO_STATUS = {
    Status.UNTRIGGERED: "NEW",
    Status.CANCELED: "CANCELED",
    Status.EXPIRED: "EXPIRED",
    Status.REJECTED: "REJECTED",
}
_KINDS = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]
WORKING = {"last": "CONTRACT_PRICE", "mark": "MARK_PRICE"}


def symbol_row(market: Market) -> dict[str, Any]:
    """One entry of exchangeInfo."""
    lots = {
        "stepSize": num(market.step),
        "minQty": num(market.min_qty),
        "maxQty": num(market.max_qty),
    }
    return {
        "symbol": market.symbol,
        "pair": market.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": market.listed_ms,
        "status": "TRADING" if market.trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": market.settle,
        "pricePrecision": decimals(market.tick),
        "quantityPrecision": decimals(market.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": num(market.tick),
                "maxPrice": "1000000",
                "tickSize": num(market.tick),
            },
            {"filterType": "LOT_SIZE", **lots},
            {"filterType": "MARKET_LOT_SIZE", **lots},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": num(market.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": list(_KINDS),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def ticker_row(market: Market, now: int) -> dict[str, Any]:
    """24-hour statistics; a simulated market's day is flat at its last price."""
    price = at(market.last, market.tick)
    return {
        "symbol": market.symbol,
        "priceChange": "0.00",
        "priceChangePercent": "0.000",
        "weightedAvgPrice": price,
        "lastPrice": price,
        "lastQty": num(market.min_qty),
        "openPrice": price,
        "highPrice": price,
        "lowPrice": price,
        "volume": "1000.000",
        "quoteVolume": fixed(market.last * 1000, 2),
        "openTime": now - 86_400_000,
        "closeTime": now,
        "firstId": 1,
        "lastId": 1000,
        "count": 1000,
    }


def bracket_row(market: Market) -> dict[str, Any]:
    """Leverage brackets: one for all sizes."""
    return {
        "symbol": market.symbol,
        "notionalCoef": 1.0,
        "brackets": [
            {
                "bracket": 1,
                "initialLeverage": market.max_leverage,
                "notionalCap": 100_000_000,
                "notionalFloor": 0,
                "maintMarginRatio": float(market.maintenance_rate),
                "cum": 0.0,
            }
        ],
    }


def position_row(
    account: Account, position: Position, market: Market, whole: margin.Totals
) -> dict[str, Any]:
    """One row of v3/positionRisk."""
    initial = margin.position_margin(account, position, market)
    return {
        "symbol": position.symbol,
        "positionSide": position.side.upper(),
        "positionAmt": at(position.amount, market.step),
        "entryPrice": num(position.entry) if position.amount else "0.0",
        "breakEvenPrice": fixed(position.entry * (1 + market.taker_fee)) if position.amount else "0.0",
        "markPrice": fixed(market.mark),
        "unRealizedProfit": fixed(margin.unrealized(position, market)),
        "liquidationPrice": num(margin.liquidation_price(position, market, whole).quantize(market.tick)),
        "isolatedMargin": "0",
        "notional": fixed(position.amount * market.mark),
        "marginAsset": market.settle,
        "isolatedWallet": "0",
        "initialMargin": fixed(initial),
        "maintMargin": fixed(margin.maintenance(position, market)),
        "positionInitialMargin": fixed(initial),
        "openOrderInitialMargin": "0",
        "adl": 2 if position.amount else 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated_ms,
    }


def account_document(book: Book, account: Account, *, can_trade: bool, v2: bool = False) -> dict[str, Any]:
    """v3/account; v2 adds the account's rights and the positions' settings."""
    coins = sorted(account.wallet) or ["USDT"]
    per_coin = {coin: book.totals(account, coin) for coin in coins}
    usdt = per_coin.get("USDT") or next(iter(per_coin.values()))
    document = {
        # ccxt's examples of v3 carry these five as well; the documents list them for v2 only.
        "feeTier": 0,
        "canTrade": account.can_trade and can_trade,
        "canDeposit": True,
        "canWithdraw": False,
        "updateTime": 0,
        "totalInitialMargin": fixed(usdt.initial),
        "totalMaintMargin": fixed(usdt.maintenance),
        "totalWalletBalance": fixed(usdt.wallet),
        "totalUnrealizedProfit": fixed(usdt.unrealized),
        "totalMarginBalance": fixed(usdt.balance),
        "totalPositionInitialMargin": fixed(usdt.position_margin),
        "totalOpenOrderInitialMargin": fixed(usdt.order_margin),
        "totalCrossWalletBalance": fixed(usdt.wallet),
        "totalCrossUnPnl": fixed(usdt.unrealized),
        "availableBalance": fixed(usdt.available),
        "maxWithdrawAmount": fixed(min(usdt.available, max(usdt.wallet, ZERO))),
        "assets": [_asset_row(coin, whole, book.now()) for coin, whole in per_coin.items()],
        "positions": [_account_position(book, account, p, v2=v2) for p in book.open_positions(account)],
    }
    if v2:
        document.update({"multiAssetsMargin": False, "tradeGroupId": -1})
    return document


def _asset_row(coin: str, whole: margin.Totals, now: int) -> dict[str, Any]:
    return {
        "asset": coin,
        "walletBalance": fixed(whole.wallet),
        "unrealizedProfit": fixed(whole.unrealized),
        "marginBalance": fixed(whole.balance),
        "maintMargin": fixed(whole.maintenance),
        "initialMargin": fixed(whole.initial),
        "positionInitialMargin": fixed(whole.position_margin),
        "openOrderInitialMargin": fixed(whole.order_margin),
        "crossWalletBalance": fixed(whole.wallet),
        "crossUnPnl": fixed(whole.unrealized),
        "availableBalance": fixed(whole.available),
        "maxWithdrawAmount": fixed(min(whole.available, max(whole.wallet, ZERO))),
        "updateTime": now,
    }


def _account_position(book: Book, account: Account, position: Position, *, v2: bool) -> dict[str, Any]:
    market = book.market(account.venue, position.symbol)
    row = {
        "symbol": position.symbol,
        "positionSide": position.side.upper(),
        "positionAmt": at(position.amount, market.step),
        "unrealizedProfit": fixed(margin.unrealized(position, market)),
        "isolatedMargin": "0",
        "notional": fixed(position.amount * market.mark),
        "isolatedWallet": "0",
        "initialMargin": fixed(margin.position_margin(account, position, market)),
        "maintMargin": fixed(margin.maintenance(position, market)),
        "updateTime": position.updated_ms,
    }
    if v2:
        row.update(
            {
                "leverage": str(account.leverage_of(position.symbol)),
                "isolated": False,
                "entryPrice": num(position.entry),
                "maxNotional": "100000000",
            }
        )
    return row


def order_row(
    order: Order, market: Market, *, created: bool = False, acknowledged: bool = False
) -> dict[str, Any]:
    """A plain order; `created` is the answer to POST, `acknowledged` that of newOrderRespType=ACK."""
    filled, cost = (ZERO, ZERO) if acknowledged else (order.filled, order.cost)
    row: dict[str, Any] = {
        "orderId": int(order.id),
        "symbol": order.symbol,
        "status": "NEW" if acknowledged else _STATUS[order.status],
        "clientOrderId": order.client_id,
        "price": at(order.price, market.tick),
        "avgPrice": fixed(cost / filled if filled else ZERO, decimals(market.tick) + 1),
        "origQty": at(order.qty, market.step),
        "executedQty": at(filled, market.step),
        "cumQuote": fixed(cost, 5),
        "timeInForce": "GTC" if order.kind == "market" else order.tif,
        "type": order.kind.upper(),
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.upper(),
        "positionSide": order.position_side.upper(),
        "stopPrice": "0",
        "workingType": WORKING[order.trigger_by],
        "priceProtect": False,
        "origType": order.kind.upper(),
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "updateTime": order.updated_ms,
    }
    if created:
        row["cumQty"] = row["executedQty"]
    else:
        row["time"] = order.created_ms
    return row


def algo_kind(order: Order) -> str:
    """Binance's name of a conditional order."""
    name = "TAKE_PROFIT" if order.purpose == "take_profit" else "STOP"
    return name if order.kind == "limit" else f"{name}_MARKET"


def algo_row(order: Order, market: Market, child: Order | None, *, created: bool = False) -> dict[str, Any]:
    """A conditional order."""
    tick = market.tick
    row: dict[str, Any] = {
        "algoId": int(order.id),
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo_kind(order),
        "symbol": order.symbol,
        "side": order.side.upper(),
        "positionSide": order.position_side.upper(),
        "timeInForce": order.tif,
        "quantity": at(order.qty, market.step),
        "algoStatus": _algo_status(order, child),
        "triggerPrice": at(order.trigger or ZERO, tick),
        "price": at(order.price, tick),
        "icebergQuantity": None,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": WORKING[order.trigger_by],
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": False,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
        "triggerTime": order.triggered_ms,
        "goodTillDate": 0,
    }
    if created:
        row.update({"activatePrice": "", "callbackRate": ""})
    else:
        row.update(
            {
                "actualOrderId": order.child_id,
                "actualPrice": at(child.average if child else ZERO, tick),
                "tpTriggerPrice": at(ZERO, tick),
                "tpPrice": at(ZERO, tick),
                "slTriggerPrice": at(ZERO, tick),
                "slPrice": at(ZERO, tick),
                "tpOrderType": "",
            }
        )
    return row


def _algo_status(order: Order, child: Order | None) -> str:
    if child is not None:
        return "TRIGGERED" if child.live else "FINISHED"
    return _ALGO_STATUS.get(order.status, "TRIGGERED")


def fill_row(fill: Fill, market: Market) -> dict[str, Any]:
    """One row of userTrades."""
    return {
        "symbol": fill.symbol,
        "id": int(fill.id),
        "orderId": int(fill.order_id),
        "side": fill.side.upper(),
        "price": at(fill.price, market.tick),
        "qty": at(fill.qty, market.step),
        "realizedPnl": fixed(fill.realized),
        "marginAsset": market.settle,
        "quoteQty": fixed(fill.qty * fill.price),
        "commission": fixed(fill.fee),
        "commissionAsset": market.settle,
        "time": fill.time_ms,
        "positionSide": fill.position_side.upper(),
        "buyer": fill.side == "buy",
        "maker": fill.maker,
    }
