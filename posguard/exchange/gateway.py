"""What the rest of posguard may ask of a venue, and the one place that opens the way to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from posguard.errors import SettingsError
from posguard.exchange.binance import Binance
from posguard.exchange.binance_trading import BinanceTrading
from posguard.exchange.bybit import Bybit
from posguard.exchange.bybit_trading import BybitTrading
from posguard.exchange.client import VenueClient
from posguard.exchange.reading import Dialect, ReadingGateway
from posguard.exchange.trading import Trader, TradingDialect
from posguard.model.position import PositionSide
from posguard.model.venue import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from datetime import datetime
    from decimal import Decimal
    from types import TracebackType

    import aiohttp

    from posguard.exchange.budget import Budget
    from posguard.exchange.ledger import Ledger
    from posguard.model.order import Lookup, MoveReply, OrderHistory, OrderReply
    from posguard.model.position import Side
    from posguard.model.venue import FillHistory, KeyPermissions, MarketRule, VenueId, VenueSnapshot
    from posguard.settings import Settings, VenueSettings

# A third exchange is one more file with its dialect and table, and one more line here. docs/exchanges.md shows how.
DIALECTS: Mapping[str, type[Dialect]] = {"binance": Binance, "bybit": Bybit}
TRADING_DIALECTS: Mapping[str, type[TradingDialect]] = {"binance": BinanceTrading, "bybit": BybitTrading}


class Gateway(Protocol):
    """Reads one venue; has no way to trade. An async context manager that closes itself."""

    @property
    def venue(self) -> VenueId:
        """Exchange and account."""
        ...

    @property
    def world(self) -> World:
        """Which of the venue's worlds."""
        ...

    @property
    def hedge(self) -> bool:
        """Whether the account is said to be in hedge mode, or was seen to be."""
        ...

    async def snapshot(self, symbol: str = "") -> VenueSnapshot:
        """One look at the venue: positions before and after orders, which must agree.

        With a canonical symbol that the venue lists, the live orders are those of that market alone, for a small part of the
        request weight; positions are read whole all the same, and doubted alike.

        Never raises for what the venue does: what was not read whole, in its documented shape and with a measured clock
        gives `complete=False`, no positions and no orders, and `reasons`, sentences that say what to do. Where a position
        shows no stop, its orders are read a second time; where no position shows, the account's margin is asked too.
        """
        ...

    async def fills(self, symbols: Collection[str], since: datetime) -> FillHistory:
        """The fills of canonical symbols since an aware time: trades, stops, liquidations, deleveraging; all pages.

        Never raises for what the venue does: `complete=False` with `reasons` instead.
        """
        ...

    async def orders_since(self, symbol: str, since: datetime) -> OrderHistory:
        """The orders of a canonical symbol made since an aware time, live or done, plain and conditional; all pages.

        Never raises for what the venue does: `complete=False` with `reasons` instead.
        """
        ...

    async def permissions(self) -> KeyPermissions:
        """What the key may do. Raises CredentialsError, VenueUnavailableError."""
        ...

    async def clock_skew_ms(self) -> int:
        """The venue's clock minus this machine's in ms. Raises VenueUnavailableError."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class TradingGateway(Gateway, Protocol):
    """Trades on one venue, with credentials of its own. Each call sends at most one request, once (move_stop: two).

    Symbols are canonical, quantities Decimal in base units and on the market's steps: what is not is rejected before it is
    sent. `side` is the position's. Client order ids have at most 36 letters, digits, - and _. Nothing raises for what the
    venue does: see OrderReply and Outcome.
    """

    async def market(self, symbol: str) -> MarketRule | None:
        """What the venue demands of orders in a market; None where it lists none of this canonical symbol.

        Asks the venue once and remembers. Raises VenueUnavailableError.
        """
        ...

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
        ...

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
        ...

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
        """A new stop, and only where it was accepted the old one's cancelling: no unprotected instant."""
        ...

    async def cancel(
        self, symbol: str, *, conditional: bool, order_id: str = "", client_order_id: str = ""
    ) -> OrderReply:
        """Cancel one live order. Rejected with `not_found` means that it is no longer live, filled perhaps."""
        ...

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
        ...

    async def find(self, symbol: str, client_order_id: str, *, conditional: bool) -> Lookup:
        """The order of a client id, live or done; absent means that no list holds it at this moment, and no more."""
        ...


def open_gateway(
    venue: VenueSettings,
    settings: Settings,
    *,
    budget: Budget | None = None,
    ledger: Ledger | None = None,
    session: aiohttp.ClientSession | None = None,
) -> Gateway:
    """A reading gateway to one venue; nothing is sent yet.

    `ledger` is where all processes share the request budget; without one, those of this process share half of it. `budget`
    replaces both; `session` carries the requests
    instead of ccxt's own one, and stays the caller's to close. Raises SettingsError.
    """
    dialect = DIALECTS[venue.exchange]()
    _check_world(venue, session)
    client = VenueClient(venue, settings, dialect.table, budget=budget, ledger=ledger, session=session)
    return ReadingGateway(dialect, client, settings)


def open_trading_gateway(
    venue: VenueSettings,
    settings: Settings,
    *,
    before_send: Callable[[], Awaitable[str]] | None = None,
    budget: Budget | None = None,
    ledger: Ledger | None = None,
    session: aiohttp.ClientSession | None = None,
) -> TradingGateway:
    """A trading gateway to one venue, with its trade_key and trade_secret; nothing is sent yet.

    `before_send` is awaited immediately before each request is signed; a text it returns holds the request back, which
    is then rejected as never sent (leases, the kill switch). The rest is as for open_gateway. Raises SettingsError.
    """
    if venue.trade_key is None or venue.trade_secret is None:
        name = f"POSGUARD_{venue.exchange.upper()}_TRADE_KEY"
        raise SettingsError(
            f"No key that may trade is set for {venue.id}. Nothing was sent.",
            hint=f"Set {name} and …_SECRET.",
        )
    _check_world(venue, session)
    dialect = TRADING_DIALECTS[venue.exchange]()
    keyed = venue.model_copy(update={"api_key": venue.trade_key, "api_secret": venue.trade_secret})
    client = VenueClient(
        keyed, settings, dialect.table, budget=budget, ledger=ledger, session=session, throttled=False
    )
    return Trader(dialect, client, settings, before_send=before_send)


def _check_world(venue: VenueSettings, session: aiohttp.ClientSession | None) -> None:
    if venue.world is World.SIMULATOR and not venue.base_url and session is None:
        name = f"POSGUARD_{venue.exchange.upper()}_URL"
        raise SettingsError(
            f"{venue.id} is said to be a simulator, and its address is missing. Nothing was sent.",
            hint=f"Set {name}, for example http://127.0.0.1:8787.",
        )
