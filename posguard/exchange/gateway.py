"""What the rest of posguard may ask of a venue, and the one place that opens the way to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from posguard.errors import SettingsError
from posguard.exchange.binance import Binance
from posguard.exchange.bybit import Bybit
from posguard.exchange.client import VenueClient
from posguard.exchange.reading import Dialect, ReadingGateway
from posguard.model.venue import World

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from types import TracebackType

    import aiohttp

    from posguard.exchange.budget import Budget
    from posguard.model.venue import FillHistory, KeyPermissions, VenueId, VenueSnapshot
    from posguard.settings import Settings, VenueSettings

# A third exchange is one more file with its dialect and table, and one more line here. docs/exchanges.md shows how.
DIALECTS: Mapping[str, type[Dialect]] = {"binance": Binance, "bybit": Bybit}


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
        """Whether the account is said to be in hedge mode."""
        ...

    async def snapshot(self) -> VenueSnapshot:
        """One look at the venue: positions before and after orders, which must agree.

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


def open_gateway(
    venue: VenueSettings,
    settings: Settings,
    *,
    budget: Budget | None = None,
    session: aiohttp.ClientSession | None = None,
) -> Gateway:
    """A reading gateway to one venue; nothing is sent yet.

    `budget` replaces the one that all gateways of this process to the same address share; `session` carries the requests
    instead of ccxt's own one, and stays the caller's to close. Raises SettingsError.
    """
    dialect = DIALECTS[venue.exchange]()
    _check_world(venue, session)
    client = VenueClient(venue, settings, dialect.table, budget=budget, session=session)
    return ReadingGateway(dialect, client, settings)


def _check_world(venue: VenueSettings, session: aiohttp.ClientSession | None) -> None:
    if venue.world is World.SIMULATOR and not venue.base_url and session is None:
        name = f"POSGUARD_{venue.exchange.upper()}_URL"
        raise SettingsError(
            f"{venue.id} is said to be a simulator, and its address is missing. Nothing was sent.",
            hint=f"Set {name}, for example http://127.0.0.1:8787.",
        )
