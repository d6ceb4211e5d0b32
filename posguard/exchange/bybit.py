"""Bybit v5 linear perpetuals: its table, and its rows in posguard's words."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.exchange.answers import AnswerError, Trouble
from posguard.exchange.pages import Sheet, as_answer, by_cursor, for_each, kind_words, object_of, rows_of
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
from posguard.exchange.tables import BYBIT
from posguard.model.order import OrderState, SeenOrder
from posguard.model.position import PositionSide, Side
from posguard.model.venue import Fill, FillKind, KeyPermissions, OrderKind, VenueOrder, VenuePosition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.exchange.client import VenueClient
    from posguard.exchange.symbols import Listed, Markets

LEGS = {"0": PositionSide.BOTH, "1": PositionSide.LONG, "2": PositionSide.SHORT}
_SIDES = {"Buy": Side.LONG, "Sell": Side.SHORT}
BUYS = {"Buy": True, "Sell": False}
_PLAIN = {"Market": OrderKind.MARKET, "Limit": OrderKind.LIMIT}
_KINDS = {
    "StopLoss": OrderKind.STOP,
    "PartialStopLoss": OrderKind.STOP,
    "TakeProfit": OrderKind.TAKE_PROFIT,
    "PartialTakeProfit": OrderKind.TAKE_PROFIT,
    "TrailingStop": OrderKind.TRAILING,
}
_RISES, _FALLS = "1", "2"
# Whether an order in this status still waits on the venue. A status that is not here makes the answer unusable.
_LIVE = {
    "New": True,
    "PartiallyFilled": True,
    "Untriggered": True,
    "Triggered": True,
    "Created": True,
    "Rejected": False,
    "PartiallyFilledCanceled": False,
    "Filled": False,
    "Cancelled": False,
    "Deactivated": False,
    "Active": True,
}
# What an execution was; None for those that change no quantity.
_EXECUTIONS: Mapping[str, FillKind | None] = {
    "Trade": FillKind.TRADE,
    "BustTrade": FillKind.LIQUIDATION,
    "AdlTrade": FillKind.DELEVERAGING,
    "Delivery": FillKind.OTHER,
    "BlockTrade": FillKind.OTHER,
    "MovePosition": FillKind.OTHER,
    "FutureSpread": FillKind.OTHER,
    "Funding": None,
    "Settle": None,
    "SessionSettlePnL": None,
}
_STOPPED = frozenset({"StopLoss", "PartialStopLoss", "TrailingStop", "Stop"})

_STATES = {
    "Created": OrderState.LIVE,
    "New": OrderState.LIVE,
    "Active": OrderState.LIVE,
    "PartiallyFilled": OrderState.LIVE,
    "Untriggered": OrderState.LIVE,
    "Triggered": OrderState.LIVE,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED,
    "Rejected": OrderState.REJECTED,
}


class Bybit:
    """What Bybit is asked, and what its rows mean."""

    table = BYBIT

    async def server_time(self, client: VenueClient) -> int:
        """The venue's clock in ms. Raises AnswerError."""
        result = await result_of(client, "publicGetV5MarketTime", {}, "time")
        with as_answer("time"):
            return int(number(result, "timeNano") // 1_000_000)

    async def positions(self, client: VenueClient) -> Sheet:
        """Every position row, all pages of all settle coins. Raises AnswerError."""
        return await self._all_coins(client, "privateGetV5PositionList", "positions", 200)

    async def orders(self, client: VenueClient, listed: Listed | None = None) -> Sheet:
        """Every live order, plain, conditional and of positions, of one market or of all. Raises AnswerError."""
        method = "privateGetV5OrderRealtime"
        if listed is None:
            return await self._all_coins(client, method, "orders", 50)
        return await list_of(client, method, {"symbol": listed.venue_symbol, "limit": 50}, "orders")

    async def _all_coins(self, client: VenueClient, method: str, what: str, limit: int) -> Sheet:
        async def of_coin(coin: str) -> Sheet:
            return await list_of(client, method, {"settleCoin": coin, "limit": limit}, f"{what} in {coin}")

        sheets = await for_each(client.venue.settle_coins, of_coin)
        return sum(sheets[1:], sheets[0])

    def hints(self, rows: Iterable[Row]) -> set[str]:
        """None: Bybit's list of positions says nothing about orders."""
        del rows
        return set()

    async def margin_held(self, client: VenueClient) -> Decimal | None:
        """The margin held for positions in USDT, the coin that no option or inverse position uses. Raises AnswerError."""
        params = {"accountType": "UNIFIED", "coin": "USDT"}
        what = "account"
        result = await result_of(client, "privateGetV5AccountWalletBalance", params, what)
        with as_answer(what):
            for account in rows_of(result.get("list"), what):
                for coin in rows_of(account.get("coin"), what):
                    if coin.get("coin") == "USDT":
                        return optional_number(coin, "totalPositionIM")
        return None

    def read_position(self, row: Row, markets: Markets) -> VenuePosition | None:
        """A row as position; None for a flat one. Raises RowError, UnlistedError."""
        size = number(row, "size")
        if size == 0:
            return None
        leg, side = chosen(row, "positionIdx", LEGS), chosen(row, "side", _SIDES)
        if size < 0 or (leg is not PositionSide.BOTH and leg.value != side.value):
            raise RowError(
                f"size is {size}, side {side} on positionIdx {row['positionIdx']} ({row.get('symbol')})"
            )
        listed = markets.listed(text(row, "symbol"))
        return VenuePosition(
            symbol=listed.symbol,
            position_side=leg,
            side=side,
            quantity=size * listed.contract_size,
            entry_price=price(row, "avgPrice"),
            mark_price=price(row, "markPrice"),
            stop_loss=price(row, "stopLoss"),
            updated_at=optional_moment(row, "updatedTime"),
        )

    def read_order(self, row: Row, markets: Markets) -> VenueOrder | None:
        """A row as order; None for one that lives no more. Raises RowError, UnlistedError."""
        if not chosen(row, "orderStatus", _LIVE):
            return None
        listed = markets.listed(text(row, "symbol"))
        stop_type = optional_text(row, "stopOrderType") or ""
        buys = chosen(row, "side", BUYS)
        # Full mode closes whatever the position then is; its quantity says nothing.
        whole = stop_type in {"StopLoss", "TakeProfit", "TrailingStop"} and row.get("tpslMode") != "Partial"
        rest = number(row, "qty") - (optional_number(row, "cumExecQty") or 0)
        return VenueOrder(
            order_id=text(row, "orderId"),
            client_order_id=optional_text(row, "orderLinkId"),
            symbol=listed.symbol,
            position_side=chosen(row, "positionIdx", LEGS),
            buys=buys,
            kind=kind_of(row, stop_type, buys=buys),
            quantity=None if whole else rest * listed.contract_size,
            price=price(row, "price"),
            trigger_price=price(row, "triggerPrice"),
            reduce_only=flag(row, "reduceOnly") or flag(row, "closeOnTrigger"),
            close_position=whole,
            created_at=optional_moment(row, "createdTime"),
            position_level=whole and stop_type == "StopLoss",
        )

    async def fills(
        self, client: VenueClient, markets: Sequence[Listed], *, start: int, end: int
    ) -> list[Fill]:
        """Every fill of the markets between two times in ms, liquidations included. Raises AnswerError."""
        span = int(BYBIT.span.total_seconds() * 1000)

        async def of_market(listed: Listed) -> list[Fill]:
            what, fills = f"fills of {listed.symbol}", []
            for left in range(start, end + 1, span):
                params = {
                    "symbol": listed.venue_symbol,
                    "startTime": left,
                    "endTime": min(left + span - 1, end),
                    "limit": 100,
                }
                sheet = await list_of(client, "privateGetV5ExecutionList", params, what)
                with as_answer(what):
                    fills += [fill for row in sheet.rows if (fill := _fill(row, listed, hedge=client.hedge))]
            return fills

        return [fill for found in await for_each(markets, of_market) for fill in found]

    async def orders_since(
        self, client: VenueClient, listed: Listed, *, start: int, end: int
    ) -> list[SeenOrder]:
        """Every order of a market that was made between two times in ms, live or done. Raises AnswerError."""
        what, span = f"orders of {listed.symbol}", int(BYBIT.span.total_seconds() * 1000)
        scope: dict[str, Any] = {"symbol": listed.venue_symbol, "limit": 50}
        # The live ones first: one that ends in between is in the list of those that are done.
        rows = list((await list_of(client, "privateGetV5OrderRealtime", scope, what)).rows)
        for left in range(start, end + 1, span):
            window = {**scope, "startTime": left, "endTime": min(left + span - 1, end)}
            rows += (await list_of(client, "privateGetV5OrderHistory", window, what)).rows
        with as_answer(what):
            return [seen_order(row, listed) for row in rows]

    async def permissions(self, client: VenueClient) -> KeyPermissions:
        """What the key may do. Raises AnswerError."""
        result = await result_of(client, "privateGetV5UserQueryApi", {}, "key")
        with as_answer("key"):
            return _permissions(client, result)


async def result_of(client: VenueClient, method: str, params: Mapping[str, Any], what: str) -> Row:
    """The `result` of an answer whose retCode is 0. Raises AnswerError."""
    body = object_of(await client.get(method, params, what=what), what)
    if body.get("retCode") != 0:
        raise AnswerError(Trouble.SHAPE, f"{what}: HTTP 200 without retCode 0")
    result = body.get("result")
    if not isinstance(result, dict):
        raise AnswerError(Trouble.SHAPE, f"{what}: result is {kind_words(result)}")
    return result


async def list_of(client: VenueClient, method: str, params: Mapping[str, Any], what: str) -> Sheet:
    """All pages of `result.list`. Raises AnswerError."""

    async def ask(cursor: str) -> tuple[list[Row], str]:
        page = {"category": "linear", **params, **({"cursor": cursor} if cursor else {})}
        result = await result_of(client, method, page, what)
        if "list" not in result:
            raise AnswerError(Trouble.SHAPE, f"{what}: result holds no list")
        with as_answer(what):
            following = optional_text(result, "nextPageCursor") or ""
        return rows_of(result["list"], what), following

    return await by_cursor(ask, what)


def kind_of(row: Row, stop_type: str, *, buys: bool) -> OrderKind:
    """The family of an order by its stopOrderType, and by its trigger's direction where that does not say."""
    if stop_type in {"", "UNKNOWN"}:
        return _PLAIN.get(str(row.get("orderType")), OrderKind.OTHER)
    if stop_type == "Stop":
        # A conditional order is a stop when it trades with the move: it sells on a fall or buys on a rise.
        against = str(row.get("triggerDirection")) == (_FALLS if buys else _RISES)
        return OrderKind.TAKE_PROFIT if against else OrderKind.STOP
    return _KINDS.get(stop_type, OrderKind.OTHER)


def seen_order(row: Row, listed: Listed) -> SeenOrder:
    """A row as order, live or done. Raises RowError."""
    stop_type = optional_text(row, "stopOrderType") or ""
    buys = chosen(row, "side", BUYS)
    whole = flag(row, "closeOnTrigger") and number(row, "qty") == 0
    return SeenOrder(
        order_id=text(row, "orderId"),
        client_order_id=optional_text(row, "orderLinkId"),
        symbol=listed.symbol,
        position_side=chosen(row, "positionIdx", LEGS),
        buys=buys,
        kind=kind_of(row, stop_type, buys=buys),
        state=chosen(row, "orderStatus", _STATES),
        quantity=None if whole else number(row, "qty") * listed.contract_size,
        filled=(optional_number(row, "cumExecQty") or Decimal(0)) * listed.contract_size,
        average_price=price(row, "avgPrice"),
        trigger_price=price(row, "triggerPrice"),
        reduce_only=flag(row, "reduceOnly"),
        updated_at=optional_moment(row, "updatedTime"),
        created_at=optional_moment(row, "createdTime"),
    )


def _fill(row: Row, listed: Listed, *, hedge: bool) -> Fill | None:
    kind = chosen(row, "execType", _EXECUTIONS)
    if kind is None:
        return None
    if kind is FillKind.TRADE and row.get("stopOrderType") in _STOPPED:
        kind = FillKind.STOP
    buys = chosen(row, "side", BUYS)
    closes = bool(optional_number(row, "closedSize"))
    leg = PositionSide.BOTH
    if hedge:
        leg = PositionSide.LONG if buys != closes else PositionSide.SHORT
    return Fill(
        trade_id=text(row, "execId"),
        order_id=text(row, "orderId"),
        client_order_id=optional_text(row, "orderLinkId"),
        symbol=listed.symbol,
        position_side=leg,
        buys=buys,
        quantity=number(row, "execQty") * listed.contract_size,
        price=number(row, "execPrice"),
        kind=kind,
        at=moment(row, "execTime"),
    )


def _permissions(client: VenueClient, result: Row) -> KeyPermissions:
    granted = result.get("permissions")
    if not isinstance(granted, dict):
        raise RowError(f"permissions is {kind_words(granted)}")
    read_only = chosen(result, "readOnly", {"0": False, "1": True})
    trades = {str(right) for right in granted.get("ContractTrade") or ()}
    ips = result.get("ips")
    return KeyPermissions(
        venue=client.venue.id,
        can_read=bool(trades) or read_only,
        can_trade=not read_only and {"Order", "Position"} <= trades,
        can_withdraw=not read_only and "Withdraw" in (granted.get("Wallet") or ()),
        ip_restricted=isinstance(ips, list) and bool(ips) and "*" not in ips,
        expires_at=_expiry(result),
    )


def _expiry(result: Row) -> datetime | None:
    """When the key ends: Bybit says it as a text of ISO time; zero or empty for a key bound to IPs, which does not end."""
    raw = optional_text(result, "expiredAt")
    if raw is None or raw.startswith("1970"):
        return None
    try:
        return datetime.fromisoformat(raw)
    except ValueError:
        raise RowError(f"expiredAt is {raw!r}") from None
