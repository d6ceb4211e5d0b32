"""A venue inside this process: the simulator's own book behind the protocol of a trading gateway, without HTTP.

For runs by the ten thousand. What decides (fills, refusals, stops, prices) is the book's, as it is over HTTP; what is left
out is the wire: signatures, rate limits, lost answers. Markets without a multiplier only (no 1000SHIB).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from posguard.exchange.intents import OrderIntent, slip
from posguard.exchange.placing import Placing
from posguard.model.order import (
    Lookup,
    OrderHistory,
    OrderReply,
    Outcome,
    Sight,
    Why,
)
from posguard.model.position import PositionSide, Side
from posguard.model.symbol import canonical_symbol
from posguard.model.venue import (
    FillHistory,
    KeyPermissions,
    MarketRule,
    VenueId,
    VenuePosition,
    VenueSnapshot,
    World,
)
from posguard.race.venue_rows import fill_of, intent_of, order_of, refusal, seen_of, time_of, venue_name
from posguard.simulator import orders, prices
from posguard.simulator.records import Order, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from types import TracebackType

    from posguard.simulator.book import Book
    from posguard.simulator.records import Account, Position


class InProcessVenue(Placing):
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
        return self._book.account(venue_name(self._id), self._id.account)

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
            orders=tuple(order_of(order) for order in account.open_orders.values()),
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
        found = tuple(fill_of(f) for f in self._account.fills if f.symbol in wanted and f.time_ms >= start)
        await self._travel()
        return FillHistory(self._id, since, wanted, found, complete=True)

    async def orders_since(self, symbol: str, since: datetime) -> OrderHistory:
        """All orders of a symbol since then."""
        await self._travel()
        start, account = since.timestamp() * 1000, self._account
        found = tuple(
            seen_of(o, account.orders.get(o.child_id))
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
        lookup = Lookup(Sight.ABSENT) if found is None else Lookup(Sight.FOUND, seen_of(found, child))
        await self._travel()
        return lookup

    async def _place(self, symbol: str, intent: OrderIntent) -> OrderReply:
        rule = self._rule(symbol)
        wrong = f"{symbol} is no market of the venue" if rule is None else slip(rule, intent)
        if wrong:
            return OrderReply(Outcome.REJECTED, intent.client_order_id, why=Why.MALFORMED, reason=wrong)

        def work() -> Order:
            order = orders.place(self._book, self._account, intent_of(symbol, intent, self._account))
            if intent.opens and (price := self.slumps.pop(symbol, None)) is not None:
                prices.set_price(self._book, venue_name(self._id), symbol, price)
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
            reply = OrderReply(Outcome.ACCEPTED, client_order_id, order.id, seen_of(order, None))
        except Refused as refused:
            reply = refusal(refused, client_order_id)
        await self._travel()
        return reply

    async def _travel(self) -> None:
        self.requests += 1
        if self._latency is not None:
            await self._latency()

    def _position(self, leg: Position) -> VenuePosition:
        mark = self._book.market(venue_name(self._id), leg.symbol).mark
        return VenuePosition(
            symbol=leg.symbol,
            position_side=PositionSide(leg.side),
            side=Side.LONG if leg.amount > 0 else Side.SHORT,
            quantity=abs(leg.amount),
            entry_price=leg.entry,
            mark_price=mark,
            stop_loss=leg.stop_loss,
            updated_at=time_of(leg.updated_ms),
        )

    def _rule(self, symbol: str) -> MarketRule | None:
        market = self._book.markets.get((venue_name(self._id), symbol))
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
        listed = (market.symbol for market in self._book.markets_of(venue_name(self._id)))
        return {symbol: rule for symbol in listed if (rule := self._rule(symbol)) is not None}
