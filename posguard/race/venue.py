"""A venue inside this process: the simulator's own book behind the protocol of a trading gateway, without HTTP.

For runs by the ten thousand. What decides (fills, refusals, stops, prices) is the book's, as it is over HTTP; what is left
out is the wire: signatures, rate limits, lost answers. Markets without a multiplier only (no 1000SHIB).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from posguard.exchange.intents import OrderIntent, slip
from posguard.model.order import (
    Lookup,
    MoveReply,
    OrderHistory,
    OrderReply,
    OrderState,
    Outcome,
    SeenOrder,
    Sight,
    Why,
)
from posguard.model.position import PositionSide, Side
from posguard.model.symbol import canonical_symbol
from posguard.model.venue import (
    Fill,
    FillHistory,
    FillKind,
    KeyPermissions,
    MarketRule,
    OrderKind,
    VenueId,
    VenueOrder,
    VenuePosition,
    VenueSnapshot,
    World,
)
from posguard.simulator import orders, prices
from posguard.simulator.records import Intent, Order, Reason, Refused, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from types import TracebackType

    from posguard.simulator.book import Book
    from posguard.simulator.records import Account, Position

_WHY: dict[Reason, Why] = {
    Reason.NO_FUNDS: Why.FUNDS,
    Reason.REDUCE_ONLY: Why.REDUCE_ONLY,
    Reason.NO_POSITION: Why.REDUCE_ONLY,
    Reason.WOULD_TRIGGER: Why.WOULD_TRIGGER,
    Reason.NOT_FOUND: Why.NOT_FOUND,
}
_STATE: dict[Status, OrderState] = {
    Status.NEW: OrderState.LIVE,
    Status.PARTIAL: OrderState.LIVE,
    Status.UNTRIGGERED: OrderState.LIVE,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.REJECTED: OrderState.REJECTED,
    Status.TRIGGERED: OrderState.TRIGGERED,
}
_FILL_KIND = {"liquidation": FillKind.LIQUIDATION, "adl": FillKind.DELEVERAGING}


class InProcessVenue:
    """See `posguard.exchange.gateway.TradingGateway`: every request comes to the book at once, after `latency`.

    `latency` is awaited before and after each request, `before_send` immediately before a request that trades, as the
    gateway's. `slumps` lets the price of a symbol fall once, at the first entry in it: the stop of that entry is through.
    """

    def __init__(
        self,
        book: Book,
        venue: VenueId | None = None,
        *,
        latency: Callable[[], Awaitable[None]] | None = None,
        before_send: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._book = book
        self._id = venue or VenueId("binance")
        self._latency = latency
        self._before_send = before_send
        self.slumps: dict[str, Decimal] = {}
        self.requests = 0

    @property
    def venue(self) -> VenueId:
        """Exchange and account."""
        return self._id

    @property
    def world(self) -> World:
        """The simulator's."""
        return World.SIMULATOR

    @property
    def hedge(self) -> bool:
        """Whether the account is in hedge mode."""
        return self._account.hedged

    @property
    def _account(self) -> Account:
        return self._book.account(_venue(self._id), self._id.account)

    async def snapshot(self, symbol: str = "") -> VenueSnapshot:  # noqa: ARG002 - the whole book costs no more
        """One look, always complete: the book is read at one instant, whatever symbol is asked for."""
        began = datetime.now(UTC)
        await self._travel()
        account, markets = self._account, self._markets()
        snapshot = VenueSnapshot(
            venue=self._id,
            world=self.world,
            started_at=began,
            finished_at=datetime.now(UTC),
            complete=True,
            positions=tuple(self._position(leg) for leg in self._book.open_positions(account)),
            orders=tuple(_order(order) for order in account.open_orders.values()),
            markets=markets,
            clock_skew_ms=0,
            requests=1,
        )
        await self._travel()
        return snapshot

    async def fills(self, symbols: Collection[str], since: datetime) -> FillHistory:
        """All fills of the symbols since then."""
        await self._travel()
        wanted, start = frozenset(symbols), since.timestamp() * 1000
        found = tuple(_fill(f) for f in self._account.fills if f.symbol in wanted and f.time_ms >= start)
        await self._travel()
        return FillHistory(self._id, since, wanted, found, complete=True)

    async def orders_since(self, symbol: str, since: datetime) -> OrderHistory:
        """All orders of a symbol since then."""
        await self._travel()
        start, account = since.timestamp() * 1000, self._account
        found = tuple(
            _seen(o, account.orders.get(o.child_id))
            for o in account.orders.values()
            if o.symbol == symbol and o.created_ms >= start
        )
        await self._travel()
        return OrderHistory(self._id, symbol, since, found, complete=True, unfilled_since=since)

    async def market(self, symbol: str) -> MarketRule | None:
        """The market of a canonical symbol; None where there is none."""
        return self._rule(symbol)

    async def permissions(self) -> KeyPermissions:
        """Everything but withdrawing."""
        return KeyPermissions(self._id, can_read=True, can_trade=True, can_withdraw=False, ip_restricted=None)

    async def clock_skew_ms(self) -> int:
        """The book's clock is this machine's."""
        return 0

    async def close(self) -> None:
        """Nothing is held."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def place_entry(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A market order that opens or adds."""
        return await self._place(
            symbol, OrderIntent(side is Side.LONG, quantity, client_order_id, position_side), slump=True
        )

    async def close_reduce_only(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A market order that can only reduce a position of `side`."""
        intent = OrderIntent(side is Side.SHORT, quantity, client_order_id, position_side, reduce_only=True)
        return await self._place(symbol, intent)

    async def place_stop(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        trigger: Decimal,
        *,
        client_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> OrderReply:
        """A reduce-only stop-market order behind a position of `side`."""
        buys = side is Side.SHORT
        intent = OrderIntent(
            buys, quantity, client_order_id, position_side, reduce_only=True, trigger=trigger
        )
        return await self._place(symbol, intent)

    async def move_stop(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        trigger: Decimal,
        *,
        client_order_id: str,
        old_order_id: str,
        position_side: PositionSide = PositionSide.BOTH,
    ) -> MoveReply:
        """A new stop, and only where it was accepted the old one's cancelling."""
        placed = await self.place_stop(
            symbol, side, quantity, trigger, client_order_id=client_order_id, position_side=position_side
        )
        if placed.outcome is not Outcome.ACCEPTED:
            return MoveReply(placed, None)
        return MoveReply(placed, await self.cancel(symbol, order_id=old_order_id, conditional=True))

    async def cancel(
        self,
        symbol: str,  # noqa: ARG002 - an id is enough for the book
        *,
        conditional: bool,
        order_id: str = "",
        client_order_id: str = "",
    ) -> OrderReply:
        """Cancel one live order."""

        def work() -> Order:
            account = self._account
            order = self._book.order(account, order_id, client_order_id, conditional=conditional)
            return orders.cancel(self._book, account, order)

        return await self._send(work, client_order_id)

    async def find(self, symbol: str, client_order_id: str, *, conditional: bool) -> Lookup:  # noqa: ARG002
        """The order of a client id, live or done."""
        await self._travel()
        account = self._account
        found = self._book.find_order(account, client_id=client_order_id, conditional=conditional)
        child = account.orders.get(found.child_id) if found is not None else None
        lookup = Lookup(Sight.ABSENT) if found is None else Lookup(Sight.FOUND, _seen(found, child))
        await self._travel()
        return lookup

    async def _place(self, symbol: str, intent: OrderIntent, *, slump: bool = False) -> OrderReply:
        rule = self._rule(symbol)
        wrong = f"{symbol} is no market of the venue" if rule is None else slip(rule, intent)
        if wrong:
            return OrderReply(Outcome.REJECTED, intent.client_order_id, why=Why.MALFORMED, reason=wrong)

        def work() -> Order:
            order = orders.place(self._book, self._account, _intent(symbol, intent, self._account))
            if slump and (price := self.slumps.pop(symbol, None)) is not None:
                prices.set_price(self._book, _venue(self._id), symbol, price)
            return order

        return await self._send(work, intent.client_order_id)

    async def _send(self, work: Callable[[], Order], client_order_id: str) -> OrderReply:
        await self._travel()
        if self._before_send is not None and (held := await self._before_send()):
            return OrderReply(
                Outcome.REJECTED, client_order_id, why=Why.NEVER_SENT, reason=f"not sent: {held}"
            )
        try:
            order = work()
            reply = OrderReply(Outcome.ACCEPTED, client_order_id, order.id, _seen(order, None))
        except Refused as refused:
            reply = _refusal(refused, client_order_id)
        await self._travel()
        return reply

    async def _travel(self) -> None:
        self.requests += 1
        if self._latency is not None:
            await self._latency()

    def _position(self, leg: Position) -> VenuePosition:
        mark = self._book.market(_venue(self._id), leg.symbol).mark
        return VenuePosition(
            symbol=leg.symbol,
            position_side=PositionSide(leg.side),
            side=Side.LONG if leg.amount > 0 else Side.SHORT,
            quantity=abs(leg.amount),
            entry_price=leg.entry,
            mark_price=mark,
            stop_loss=leg.stop_loss,
            updated_at=_at(leg.updated_ms),
        )

    def _rule(self, symbol: str) -> MarketRule | None:
        market = self._book.markets.get((_venue(self._id), symbol))
        if market is None or canonical_symbol(symbol) != symbol or market.settle != "USDT":
            return None
        return MarketRule(
            symbol=symbol,
            venue_symbol=symbol,
            lot_step=market.step,
            tick_size=market.tick,
            min_quantity=market.min_qty,
            min_notional=market.min_notional,
        )

    def _markets(self) -> dict[str, MarketRule]:
        listed = (market.symbol for market in self._book.markets_of(_venue(self._id)))
        return {symbol: rule for symbol in listed if (rule := self._rule(symbol)) is not None}


def _venue(venue: VenueId) -> Any:
    """The simulator's name of the exchange, which is the same word."""
    return venue.exchange


def _intent(symbol: str, intent: OrderIntent, account: Account) -> Intent:
    rising = None if intent.trigger is None else intent.buys
    hedged = account.hedged and intent.position_side is not PositionSide.BOTH
    return Intent(
        symbol=symbol,
        side="buy" if intent.buys else "sell",
        kind="market",
        qty=intent.quantity,
        client_id=intent.client_order_id,
        position_side=intent.position_side.value,
        tif="IOC",
        reduce_only=intent.reduce_only and not hedged,
        trigger=intent.trigger,
        rising=rising,
        purpose="stop_loss" if intent.trigger is not None else "",
    )


def _refusal(refused: Refused, client_order_id: str) -> OrderReply:
    outcome, why = Outcome.REJECTED, _WHY.get(refused.reason, Why.MALFORMED)
    if refused.reason is Reason.DUPLICATE_ID:
        outcome, why = Outcome.EXISTS, Why.DUPLICATE
    return OrderReply(outcome, client_order_id, why=why, code=str(refused.reason), reason=str(refused))


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _kind(order: Order) -> OrderKind:
    if not order.conditional:
        return OrderKind.MARKET if order.kind == "market" else OrderKind.LIMIT
    return OrderKind.TAKE_PROFIT if order.purpose == "take_profit" else OrderKind.STOP


def _order(order: Order) -> VenueOrder:
    closing = order.close_position
    return VenueOrder(
        order_id=order.id,
        client_order_id=order.client_id or None,
        symbol=order.symbol,
        position_side=PositionSide(order.position_side),
        buys=order.side == "buy",
        kind=_kind(order),
        quantity=None if closing else order.remaining,
        price=order.price or None,
        trigger_price=order.trigger,
        reduce_only=order.reduce_only,
        close_position=closing,
        created_at=_at(order.created_ms),
        position_level=order.whole,
    )


def _seen(order: Order, child: Order | None) -> SeenOrder:
    traded = child or order
    return SeenOrder(
        order_id=order.id,
        client_order_id=order.client_id or None,
        symbol=order.symbol,
        position_side=PositionSide(order.position_side),
        buys=order.side == "buy",
        kind=_kind(order),
        state=_STATE[order.status],
        quantity=None if order.close_position else order.qty,
        filled=traded.filled,
        average_price=traded.average or None,
        trigger_price=order.trigger,
        reduce_only=order.reduce_only,
        updated_at=_at(order.updated_ms),
        became=order.child_id or None,
        created_at=_at(order.created_ms),
    )


def _fill(fill: Any) -> Fill:
    kind = FillKind.STOP if fill.purpose == "stop_loss" else _FILL_KIND.get(fill.kind, FillKind.TRADE)
    return Fill(
        trade_id=fill.id,
        order_id=fill.order_id,
        client_order_id=fill.client_id or None,
        symbol=fill.symbol,
        position_side=PositionSide(fill.position_side),
        buys=fill.side == "buy",
        quantity=fill.qty,
        price=fill.price,
        kind=kind,
        at=_at(fill.time_ms),
    )
