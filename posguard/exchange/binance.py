"""Binance USDⓈ-M futures: its table, and its rows in posguard's words."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.exchange.answers import AnswerError, Trouble
from posguard.exchange.pages import Sheet, as_answer, by_time, for_each, kind_words, object_of, rows_of
from posguard.exchange.rows import (
    Row,
    RowError,
    chosen,
    flag,
    moment,
    number,
    optional_moment,
    optional_number,
    optional_text,
    price,
    text,
)
from posguard.exchange.tables import BINANCE
from posguard.model.order import OrderState, SeenOrder
from posguard.model.position import PositionSide, Side
from posguard.model.venue import (
    Fill,
    FillKind,
    KeyPermissions,
    OrderKind,
    VenueOrder,
    VenuePosition,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.exchange.client import VenueClient
    from posguard.exchange.symbols import Listed, Markets

_DAY_MS = 86_400_000
# The most rows one answer holds.
_MOST_ROWS = {
    "fapiPrivateGetUserTrades": 1000,
    "fapiPrivateGetAllOrders": 1000,
    "fapiPrivateGetAllAlgoOrders": 1000,
    "fapiPrivateGetForceOrders": 100,
}

LEGS = {"BOTH": PositionSide.BOTH, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}
BUYS = {"BUY": True, "SELL": False}
KINDS = {
    "MARKET": OrderKind.MARKET,
    "LIMIT": OrderKind.LIMIT,
    "STOP": OrderKind.STOP,
    "STOP_MARKET": OrderKind.STOP,
    "TAKE_PROFIT": OrderKind.TAKE_PROFIT,
    "TAKE_PROFIT_MARKET": OrderKind.TAKE_PROFIT,
    "TRAILING_STOP_MARKET": OrderKind.TRAILING,
}
# Whether an order in this status still waits on the venue. A status that is not here makes the answer unusable.
_LIVE = {
    "NEW": True,
    "PARTIALLY_FILLED": True,
    "NEW_INSURANCE": True,
    "NEW_ADL": True,
    "CANCELED": False,
    "FILLED": False,
    "REJECTED": False,
    "EXPIRED": False,
    "EXPIRED_IN_MATCH": False,
}
_ALGO_LIVE = {
    "NEW": True,
    "TRIGGERING": True,
    "TRIGGERED": False,  # from here on the order it became stands among the plain ones
    "FINISHED": False,
    "CANCELED": False,
    "REJECTED": False,
    "EXPIRED": False,
}

_STATES = {
    "NEW": OrderState.LIVE,
    "PARTIALLY_FILLED": OrderState.LIVE,
    "NEW_INSURANCE": OrderState.LIVE,
    "NEW_ADL": OrderState.LIVE,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
_ALGO_STATES = {
    "NEW": OrderState.LIVE,
    "TRIGGERING": OrderState.LIVE,
    "TRIGGERED": OrderState.TRIGGERED,
    "FINISHED": OrderState.TRIGGERED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}


class Binance:
    """What Binance is asked, and what its rows mean."""

    table = BINANCE

    async def server_time(self, client: VenueClient) -> int:
        """The venue's clock in ms. Raises AnswerError."""
        body = await client.get("fapiPublicGetTime", {}, what="time")
        with as_answer("time"):
            return int(number(object_of(body, "time"), "serverTime"))

    async def positions(self, client: VenueClient) -> Sheet:
        """Every position row, of all settle coins. Raises AnswerError."""
        body = await client.get("fapiPrivateV3GetPositionRisk", {}, what="positions")
        return Sheet(tuple(rows_of(body, "positions")), 1)

    async def orders(self, client: VenueClient, listed: Listed | None = None) -> Sheet:
        """Every live order, plain and conditional, of one market or of all. Raises AnswerError."""
        params = {"symbol": listed.venue_symbol} if listed else {}
        plain = await client.get("fapiPrivateGetOpenOrders", params, what="orders")
        algo = await client.get("fapiPrivateGetOpenAlgoOrders", params, what="conditional orders")
        rows = rows_of(plain, "orders") + rows_of(algo, "conditional orders")
        return Sheet(tuple(rows), 2)

    def hints(self, rows: Iterable[Row]) -> set[str]:
        """Flat rows: Binance sends a row for a symbol that has a position or an open order, and for no other."""
        return {str(row.get("symbol")) for row in rows if not optional_number(row, "positionAmt")}

    async def margin_held(self, client: VenueClient) -> Decimal | None:
        """The margin that the account holds for positions, read from another endpoint than they are. Raises AnswerError."""
        body = await client.get("fapiPrivateV3GetAccount", {}, what="account")
        with as_answer("account"):
            return optional_number(object_of(body, "account"), "totalPositionInitialMargin")

    def read_position(self, row: Row, markets: Markets) -> VenuePosition | None:
        """A row as position; None for a flat one. Raises RowError, UnlistedError."""
        amount = number(row, "positionAmt")
        if amount == 0:
            return None
        leg = chosen(row, "positionSide", LEGS)
        side = Side.LONG if amount > 0 else Side.SHORT
        if leg is not PositionSide.BOTH and leg.value != side.value:
            raise RowError(f"positionAmt is {amount} on the {leg} leg ({row.get('symbol')})")
        listed = markets.listed(text(row, "symbol"))
        return VenuePosition(
            symbol=listed.symbol,
            position_side=leg,
            side=side,
            quantity=abs(amount) * listed.contract_size,
            entry_price=price(row, "entryPrice"),
            mark_price=price(row, "markPrice"),
            updated_at=optional_moment(row, "updateTime"),
        )

    def read_order(self, row: Row, markets: Markets) -> VenueOrder | None:
        """A row of either list as order; None for one that lives no more. Raises RowError, UnlistedError."""
        algo = "algoId" in row
        if not chosen(row, *(("algoStatus", _ALGO_LIVE) if algo else ("status", _LIVE))):
            return None
        listed = markets.listed(text(row, "symbol"))
        whole = flag(row, "closePosition")
        rest = number(row, "quantity") if algo else number(row, "origQty") - number(row, "executedQty")
        return VenueOrder(
            order_id=text(row, "algoId" if algo else "orderId"),
            client_order_id=optional_text(row, "clientAlgoId" if algo else "clientOrderId"),
            symbol=listed.symbol,
            position_side=chosen(row, "positionSide", LEGS),
            buys=chosen(row, "side", BUYS),
            kind=KINDS.get(text(row, "orderType" if algo else "type"), OrderKind.OTHER),
            quantity=None if whole else rest * listed.contract_size,
            price=price(row, "price"),
            trigger_price=price(row, "triggerPrice" if algo else "stopPrice"),
            reduce_only=flag(row, "reduceOnly"),
            close_position=whole,
            created_at=optional_moment(row, "createTime" if algo else "time"),
        )

    async def fills(
        self, client: VenueClient, markets: Sequence[Listed], *, start: int, end: int
    ) -> list[Fill]:
        """Every fill of the markets between two times in ms, liquidations included. Raises AnswerError."""
        forced = await self._forced(client, markets, start, end)

        async def of_market(listed: Listed) -> list[Fill]:
            return await self._fills(client, listed, forced.get(listed.venue_symbol, {}), start, end)

        return [fill for found in await for_each(markets, of_market) for fill in found]

    async def _fills(
        self, client: VenueClient, listed: Listed, forced: Mapping[str, Row], start: int, end: int
    ) -> list[Fill]:
        trades = await self._history(client, "fapiPrivateGetUserTrades", listed, start, end)
        triggered: dict[str, Row] = {}
        named: dict[str, str] = {}
        if trades:
            # A conditional order may have been placed long before it fired: only its own life time tells, so that the
            # stops of the last days before `start` are read as well.
            before = max(start - 7 * _DAY_MS, 0)
            algo, plain = await asyncio.gather(
                self._history(client, "fapiPrivateGetAllAlgoOrders", listed, before, end),
                self._history(client, "fapiPrivateGetAllOrders", listed, start, end),
            )
            triggered = {str(row["actualOrderId"]): row for row in algo if row.get("actualOrderId")}
            if not _ids(trades) <= {*_ids(plain), *triggered, *forced}:
                # an order that had rested for a while before it traded
                plain += await self._history(client, "fapiPrivateGetAllOrders", listed, before, start)
            named = {str(row.get("orderId")): str(row.get("clientOrderId") or "") for row in plain}
        with as_answer(f"fills of {listed.symbol}"):
            fills = [_fill(row, listed, triggered, forced, named) for row in trades]
            told = {fill.order_id for fill in fills}
            fills += [_forced_fill(row, listed) for order, row in forced.items() if order not in told]
        return [fill for fill in fills if fill.quantity]

    async def _forced(
        self, client: VenueClient, markets: Sequence[Listed], start: int, end: int
    ) -> dict[str, dict[str, Row]]:
        """Liquidations and deleveraging, by venue symbol and order id."""
        method, what = "fapiPrivateGetForceOrders", "liquidations"
        one_by_one, together = BINANCE.weights[method]
        asked = [listed.venue_symbol for listed in markets]
        scopes: list[dict[str, Any]] = [{"symbol": symbol} for symbol in asked]
        if len(asked) * one_by_one >= together:
            scopes = [{}]

        async def of_scope(scope: dict[str, Any]) -> list[Row]:
            return await _windows(client, method, scope, what, start=start, end=end)

        found: dict[str, dict[str, Row]] = {}
        for rows in await for_each(scopes, of_scope):
            for row in rows:
                found.setdefault(str(row.get("symbol")), {})[str(row.get("orderId"))] = row
        return found

    async def _history(
        self, client: VenueClient, method: str, listed: Listed, start: int, end: int
    ) -> list[Row]:
        scope = {"symbol": listed.venue_symbol}
        return await _windows(client, method, scope, f"fills of {listed.symbol}", start=start, end=end)

    async def orders_since(
        self, client: VenueClient, listed: Listed, *, start: int, end: int
    ) -> list[SeenOrder]:
        """Every order of a market that was made between two times in ms, plain and conditional, live or done. Raises AnswerError."""
        what = f"orders of {listed.symbol}"
        methods = ("fapiPrivateGetAllOrders", "fapiPrivateGetAllAlgoOrders")
        scope = {"symbol": listed.venue_symbol}
        found = [await _windows(client, method, scope, what, start=start, end=end) for method in methods]
        with as_answer(what):
            return [seen_order(row, listed) for rows in found for row in rows]

    async def permissions(self, client: VenueClient) -> KeyPermissions:
        """What the key may do: its own restrictions where the world tells them, else only what the account may. Raises AnswerError."""
        if client.venue.world in {World.PRODUCTION, World.SIMULATOR}:
            try:
                body = await client.get("sapiGetAccountApiRestrictions", {}, what="key")
                return _restrictions(client, body)
            except AnswerError as error:
                told = error.trouble not in {Trouble.SHAPE, Trouble.REFUSED}
                if told or client.venue.world is World.PRODUCTION:
                    raise
        body = await client.get("fapiPrivateGetAccountConfig", {}, what="account")
        with as_answer("account"):
            allowed = flag(object_of(body, "account"), "canTrade")
        return KeyPermissions(
            venue=client.venue.id,
            can_read=True,
            can_trade=None if allowed else False,
            can_withdraw=None,
            ip_restricted=None,
            notes=("this world tells what the account may do, not what the key may",),
        )


def _ids(rows: Sequence[Row]) -> set[str]:
    return {str(row.get("orderId")) for row in rows}


async def _windows(
    client: VenueClient, method: str, scope: Mapping[str, Any], what: str, *, start: int, end: int
) -> list[Row]:
    limit = _MOST_ROWS[method]

    async def ask(left: int, right: int) -> list[Row]:
        params = {**scope, "startTime": left, "endTime": right, "limit": limit}
        return rows_of(await client.get(method, params, what=what), what)

    span = int(BINANCE.span.total_seconds() * 1000)
    return await by_time(ask, what, start=start, end=end, span=span, limit=limit)


def _fill(
    row: Row,
    listed: Listed,
    triggered: Mapping[str, Row],
    forced: Mapping[str, Row],
    named: Mapping[str, str],
) -> Fill:
    order_id = text(row, "orderId")
    kind, client_id = FillKind.TRADE, named.get(order_id) or None
    if order_id in forced:
        kind = _forced_kind(forced[order_id])
    elif order_id in triggered:
        parent = triggered[order_id]
        client_id = optional_text(parent, "clientAlgoId")
        if KINDS.get(str(parent.get("orderType"))) in {OrderKind.STOP, OrderKind.TRAILING}:
            kind = FillKind.STOP
    return Fill(
        trade_id=text(row, "id"),
        order_id=order_id,
        client_order_id=client_id,
        symbol=listed.symbol,
        position_side=chosen(row, "positionSide", LEGS),
        buys=chosen(row, "side", BUYS),
        quantity=number(row, "qty") * listed.contract_size,
        price=number(row, "price"),
        kind=kind,
        at=moment(row, "time"),
    )


def _forced_fill(row: Row, listed: Listed) -> Fill:
    """A liquidation that the list of trades does not tell: one fill from its order."""
    order_id = text(row, "orderId")
    return Fill(
        trade_id=f"forced-{order_id}",
        order_id=order_id,
        client_order_id=optional_text(row, "clientOrderId"),
        symbol=listed.symbol,
        position_side=chosen(row, "positionSide", LEGS),
        buys=chosen(row, "side", BUYS),
        quantity=number(row, "executedQty") * listed.contract_size,
        price=number(row, "avgPrice"),
        kind=_forced_kind(row),
        at=moment(row, "updateTime"),
    )


def _forced_kind(row: Row) -> FillKind:
    """Binance names the orders of its own closings: adl_autoclose…, autoclose-…."""
    adl = str(row.get("clientOrderId")).startswith("adl")
    return FillKind.DELEVERAGING if adl else FillKind.LIQUIDATION


def seen_order(row: Row, listed: Listed) -> SeenOrder:
    """A row of either list as order, live or done. Raises RowError."""
    algo = "algoId" in row
    whole = flag(row, "closePosition")
    quantity = number(row, "quantity" if algo else "origQty") * listed.contract_size
    # A conditional order fills as the order it becomes.
    filled = (optional_number(row, "actualQty") or Decimal(0)) if algo else number(row, "executedQty")
    return SeenOrder(
        order_id=text(row, "algoId" if algo else "orderId"),
        client_order_id=optional_text(row, "clientAlgoId" if algo else "clientOrderId"),
        symbol=listed.symbol,
        position_side=chosen(row, "positionSide", LEGS),
        buys=chosen(row, "side", BUYS),
        kind=KINDS.get(text(row, "orderType" if algo else "type"), OrderKind.OTHER),
        state=chosen(row, *(("algoStatus", _ALGO_STATES) if algo else ("status", _STATES))),
        quantity=None if whole else quantity,
        filled=filled * listed.contract_size,
        average_price=price(row, "actualPrice" if algo else "avgPrice"),
        trigger_price=price(row, "triggerPrice" if algo else "stopPrice"),
        reduce_only=flag(row, "reduceOnly"),
        updated_at=optional_moment(row, "updateTime"),
        became=optional_text(row, "actualOrderId") if algo else None,
        created_at=optional_moment(row, "createTime" if algo else "time"),
    )


def _restrictions(client: VenueClient, body: Any) -> KeyPermissions:
    if not isinstance(body, dict) or "enableReading" not in body:
        raise AnswerError(Trouble.SHAPE, f"key: {kind_words(body)} instead of the key's restrictions")
    with as_answer("key"):
        return KeyPermissions(
            venue=client.venue.id,
            can_read=flag(body, "enableReading"),
            can_trade=flag(body, "enableFutures"),
            can_withdraw=flag(body, "enableWithdrawals"),
            ip_restricted=flag(body, "ipRestrict"),
            expires_at=optional_moment(body, "tradingAuthorityExpirationTime"),
        )
