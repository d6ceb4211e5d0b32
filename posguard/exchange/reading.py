"""Looking at a venue: complete snapshots, fill histories, permissions, clock. Reads only; knows no exchange by name."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import structlog

from posguard.exchange.answers import AnswerError, Trouble
from posguard.exchange.client import now_ms
from posguard.exchange.doubt import PositionsRead, agree, agree_orders, repeated, unprotected
from posguard.exchange.pages import Sheet, as_answer
from posguard.exchange.rows import from_ms, to_ms
from posguard.exchange.symbols import Listed, Markets, UnlistedError, read_markets
from posguard.model.order import OrderHistory
from posguard.model.position import PositionSide
from posguard.model.venue import FillHistory, VenueSnapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from decimal import Decimal
    from types import TracebackType

    from posguard.errors import PosguardError
    from posguard.exchange.client import VenueClient
    from posguard.exchange.rows import Row
    from posguard.exchange.table import VenueTable
    from posguard.model.order import SeenOrder
    from posguard.model.venue import Fill, KeyPermissions, VenueId, VenueOrder, VenuePosition, World
    from posguard.settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

_RELOAD_MARKETS_MS = 60_000
_MOST_BY_SYMBOL = 10  # beyond that many, reading the whole list of orders again is cheaper


class Dialect(Protocol):
    """One exchange: what to ask, and what its rows mean. Questions raise AnswerError; row readers RowError, UnlistedError."""

    @property
    def table(self) -> VenueTable:
        """The exchange's table."""
        ...

    async def server_time(self, client: VenueClient) -> int:
        """The venue's clock in ms."""
        ...

    async def positions(self, client: VenueClient) -> Sheet:
        """Every position row."""
        ...

    async def orders(self, client: VenueClient, listed: Listed | None = None) -> Sheet:
        """Every live order row, plain and conditional, of one market or of all."""
        ...

    def hints(self, rows: Iterable[Row]) -> set[str]:
        """The venue symbols that position rows betray to have live orders."""
        ...

    async def margin_held(self, client: VenueClient) -> Decimal | None:
        """The margin held for positions, from another endpoint; None where the venue does not say."""
        ...

    def read_position(self, row: Row, markets: Markets) -> VenuePosition | None:
        """A row as position; None for a flat one."""
        ...

    def read_order(self, row: Row, markets: Markets) -> VenueOrder | None:
        """A row as order; None for one that lives no more."""
        ...

    async def fills(
        self, client: VenueClient, markets: Sequence[Listed], *, start: int, end: int
    ) -> list[Fill]:
        """Every fill of the markets between two times in ms."""
        ...

    async def orders_since(
        self, client: VenueClient, listed: Listed, *, start: int, end: int
    ) -> list[SeenOrder]:
        """Every order of a market made between two times in ms, live or done."""
        ...

    async def permissions(self, client: VenueClient) -> KeyPermissions:
        """What the key may do."""
        ...


@dataclass(slots=True)
class _Look:
    """What one snapshot has seen so far."""

    reasons: list[str] = field(default_factory=list)
    positions: list[VenuePosition] = field(default_factory=list)
    orders: list[VenueOrder] = field(default_factory=list)
    unresolved: set[str] = field(default_factory=set)
    hinted: set[str] = field(default_factory=set)
    skew: int | None = None


class ReadingGateway:
    """See `posguard.exchange.gateway.Gateway`."""

    def __init__(self, dialect: Dialect, client: VenueClient, settings: Settings) -> None:
        self._dialect = dialect
        self._client = client
        self._max_skew_ms = int(settings.max_clock_skew.total_seconds() * 1000)
        self._markets = Markets()
        self._markets_at = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.venue} {self.world}>"

    @property
    def venue(self) -> VenueId:
        """Exchange and account."""
        return self._client.venue.id

    @property
    def world(self) -> World:
        """Which of the venue's worlds."""
        return self._client.venue.world

    @property
    def hedge(self) -> bool:
        """Whether the account is said to be in hedge mode, or was seen to be."""
        return self._client.hedge

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the connections."""
        await self._client.close()

    async def snapshot(self, symbol: str = "") -> VenueSnapshot:
        """One look at the venue, or at the orders of one market of it. Never raises for what the venue does: see `Gateway.snapshot`."""
        started, asked_before = datetime.now(UTC), self._client.requests
        look = _Look()
        try:
            await self._look(look, symbol)
        except AnswerError as error:
            look.reasons.append(error.sentence)
        except Exception as error:  # noqa: BLE001  one venue's surprise must not take the others' verdicts down
            look.reasons.append(self._bug(error))
        whole = not look.reasons
        return VenueSnapshot(
            venue=self.venue,
            world=self.world,
            started_at=started,
            finished_at=datetime.now(UTC),
            complete=whole,
            reasons=tuple(look.reasons),
            positions=tuple(look.positions) if whole else (),
            orders=tuple(look.orders) if whole else (),
            markets=self._markets.rules,
            unresolved=tuple(sorted(look.unresolved)) if whole else (),
            clock_skew_ms=look.skew,
            requests=self._client.requests - asked_before,
        )

    async def _look(self, look: _Look, symbol: str) -> None:
        look.skew = await self._skew()
        if abs(look.skew) > self._max_skew_ms:
            raise AnswerError(
                Trouble.CLOCK,
                f"time: the venue's clock is {look.skew:+d} ms from this machine's,"
                f" more than {self._max_skew_ms} ms: set this machine's clock by NTP",
            )
        await self._load_markets()
        before = await self._positions(look)
        listed = self._markets.by_symbol.get(symbol)
        orders = self._orders(await self._dialect.orders(self._client, listed), look)
        after = await self._positions(look)
        agree(before, after)
        # In one order whatever the venue's: equal worlds give equal looks.
        look.positions = sorted(after.items, key=lambda one: (one.symbol, one.position_side))
        look.orders = sorted(orders, key=lambda one: (one.symbol, one.order_id))
        legs = {one.position_side for one in look.positions} | {one.position_side for one in look.orders}
        self._client.hedge = self._client.hedge or bool(legs - {PositionSide.BOTH})
        await self._read_doubtful_again(look, symbol if listed else "")
        await self._doubt_empty(look)
        if look.unresolved and now_ms() - self._markets_at > _RELOAD_MARKETS_MS:
            self._markets_at = 0  # the next look loads the markets anew: one may have been listed since

    async def _positions(self, look: _Look) -> PositionsRead:
        sheet = await self._dialect.positions(self._client)
        items, unresolved = self._read(sheet.rows, self._dialect.read_position, "positions")
        twice = repeated((item.symbol, item.position_side) for item in items)
        if twice:
            raise AnswerError(
                Trouble.SHAPE, f"positions: {twice[0][0]} came twice; the list moved while it was paged"
            )
        look.unresolved |= unresolved
        look.hinted |= self._dialect.hints(sheet.rows)
        return PositionsRead(items, sheet.pages)

    def _orders(self, sheet: Sheet, look: _Look) -> list[VenueOrder]:
        items, unresolved = self._read(sheet.rows, self._dialect.read_order, "orders")
        twice = repeated((item.conditional, item.order_id) for item in items)
        if twice:
            raise AnswerError(
                Trouble.SHAPE, f"orders: {twice[0][1]} came twice; the list moved while it was paged"
            )
        look.unresolved |= unresolved
        return items

    def _read(
        self, rows: Iterable[Row], read: Callable[[Row, Markets], T | None], what: str
    ) -> tuple[list[T], set[str]]:
        items, unresolved = [], set()
        with as_answer(what):
            for row in rows:
                try:
                    if (item := read(row, self._markets)) is not None:
                        items.append(item)
                except UnlistedError as unlisted:
                    unresolved.add(str(unlisted))
        return items, unresolved

    async def _read_doubtful_again(self, look: _Look, only: str) -> None:
        """A list of orders that left one out must not pass for the truth where that decides something.

        That is where a position shows no stop, and where the venue's position rows betray an order that the list lacks. `only`
        names the one market whose orders were read; empty: all were.
        """
        ordered = {order.symbol for order in look.orders}
        betrayed = {self._markets.by_venue_symbol.get(symbol) for symbol in look.hinted}
        doubtful = {position.symbol for position in unprotected(look.positions, look.orders)}
        doubtful |= {listed.symbol for listed in betrayed if listed and listed.symbol not in ordered}
        doubtful &= {only} if only else doubtful
        if len(doubtful) > _MOST_BY_SYMBOL:
            again = self._orders(await self._dialect.orders(self._client), look)
            agree_orders(look.orders, again)
            return
        for symbol in sorted(doubtful):
            listed = self._markets.by_symbol[symbol]
            again = self._orders(await self._dialect.orders(self._client, listed), look)
            agree_orders([order for order in look.orders if order.symbol == symbol], again)

    async def _doubt_empty(self, look: _Look) -> None:
        """Two empty lists may come from one broken cache: the account's margin is asked of another endpoint."""
        if look.positions or look.unresolved:
            return
        held = await self._dialect.margin_held(self._client)
        if held:
            raise AnswerError(
                Trouble.SHAPE,
                f"positions: the list is empty while the account holds a margin of {held} for positions",
            )

    async def _load_markets(self) -> None:
        if self._markets_at:
            return
        await self._client.load_markets()
        self._markets = read_markets(self._client.markets_by_id)
        if not self._markets.by_symbol:
            raise AnswerError(Trouble.SHAPE, "markets: none of the venue's is a linear perpetual")
        self._markets_at = now_ms()

    async def _skew(self) -> int:
        """The venue's clock minus ours in ms, by the quickest of up to three answers."""
        best: tuple[int, int] | None = None
        for _ in range(3):
            asked = now_ms()
            theirs = await self._dialect.server_time(self._client)
            answered = now_ms()
            measured = (answered - asked, theirs - (asked + answered) // 2)
            best = measured if best is None else min(best, measured)
            if abs(best[1]) <= self._max_skew_ms:
                break
        assert best is not None
        return best[1]

    def _bug(self, error: Exception) -> str:
        """Name and place are logged, not the traceback: a pretty one shows locals, and a client is among them."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        log.error("gateway_bug", venue=str(self.venue), error=type(error).__name__, where=where)
        return f"posguard cannot read an answer ({type(error).__name__} at {where}); this is a bug, please report it"

    async def fills(self, symbols: Collection[str], since: datetime) -> FillHistory:
        """The fills of some canonical symbols. Never raises for what the venue does: see `Gateway.fills`."""
        reasons: list[str] = []
        fills: list[Fill] = []
        try:
            fills = await self._fills(symbols, since, reasons)
        except AnswerError as error:
            reasons.append(error.sentence)
        except Exception as error:  # noqa: BLE001  as in snapshot
            reasons.append(self._bug(error))
        once = {(fill.symbol, fill.trade_id): fill for fill in fills}
        return FillHistory(
            venue=self.venue,
            since=since,
            symbols=frozenset(symbols),
            fills=tuple(sorted(once.values(), key=lambda fill: (fill.at, fill.symbol, fill.trade_id))),
            complete=not reasons,
            reasons=tuple(reasons),
        )

    async def _fills(self, symbols: Collection[str], since: datetime, reasons: list[str]) -> list[Fill]:
        skew = await self._skew()
        await self._load_markets()
        end = now_ms() + max(skew, 0) + 1
        start = to_ms(since)
        oldest = end - int(self._dialect.table.history.total_seconds() * 1000)
        if start < oldest:
            reasons.append(f"fills: the venue keeps none older than {from_ms(oldest):%Y-%m-%d}")
            start = oldest
        known: list[Listed] = []
        for symbol in sorted(set(symbols)):
            if (listed := self._markets.by_symbol.get(symbol)) is None:
                reasons.append(f"fills: {symbol} is no market of the venue")
            else:
                known.append(listed)
        if not known:
            return []
        return await self._dialect.fills(self._client, known, start=start, end=end)

    async def orders_since(self, symbol: str, since: datetime) -> OrderHistory:
        """The orders of a canonical symbol. Never raises for what the venue does: see `Gateway.orders_since`."""
        reasons: list[str] = []
        orders: list[SeenOrder] = []
        try:
            orders = await self._orders_since(symbol, since, reasons)
        except AnswerError as error:
            reasons.append(error.sentence)
        except Exception as error:  # noqa: BLE001  as in snapshot
            reasons.append(self._bug(error))
        once = {
            (order.trigger_price is None, order.order_id): order for order in orders
        }  # the later look at it stays
        return OrderHistory(
            venue=self.venue,
            symbol=symbol,
            since=since,
            orders=tuple(once.values()),
            complete=not reasons,
            unfilled_since=max(since, datetime.now(UTC) - self._dialect.table.unfilled),
            reasons=tuple(reasons),
        )

    async def _orders_since(self, symbol: str, since: datetime, reasons: list[str]) -> list[SeenOrder]:
        skew = await self._skew()
        await self._load_markets()
        end = now_ms() + max(skew, 0) + 1
        start = to_ms(since)
        oldest = end - int(self._dialect.table.orders.total_seconds() * 1000)
        if start < oldest:
            reasons.append(f"orders: the venue keeps none older than {from_ms(oldest):%Y-%m-%d}")
            start = oldest
        listed = self._markets.by_symbol.get(symbol)
        if listed is None:
            reasons.append(f"orders: {symbol} is no market of the venue")
            return []
        return await self._dialect.orders_since(self._client, listed, start=start, end=end)

    async def permissions(self) -> KeyPermissions:
        """What the key may do. Raises CredentialsError, VenueUnavailableError."""
        return await self._or_error(self._dialect.permissions(self._client))

    async def clock_skew_ms(self) -> int:
        """The venue's clock minus this machine's in ms. Raises VenueUnavailableError."""
        return await self._or_error(self._skew())

    async def _or_error(self, answer: Awaitable[T]) -> T:
        problem: PosguardError
        try:
            return await answer
        except AnswerError as error:
            problem = error.as_error()
        raise problem
