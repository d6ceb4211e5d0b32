"""The world of a reproduction: database, simulator, cores. All of it is made up, and all of it is taken back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic import SecretStr

from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_trading_gateway
from posguard.model.venue import VenueId, World
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import mapped_errors
from posguard.race.books import add_markets, race_symbols
from posguard.race.child import Child
from posguard.race.cores import CoreWorld, Whole, build, maker
from posguard.race.database import RaceDatabase, undisturbed
from posguard.race.venue import InProcessVenue
from posguard.settings import VenueSettings, load_settings
from posguard.simulator import Simulator, prices
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from decimal import Decimal

    from posguard.exchange.gateway import TradingGateway
    from posguard.race.plan import Plan
    from posguard.race.signal import Opened, Signal
    from posguard.simulator.book import Book

# What an order of the bot took, in seconds.
ORDER = 0.5
_SIZE = 20


@dataclass
class RaceWorld:
    """A database that bears the mark, a simulator's book, a core and its rival on both."""

    plan: Plan
    database: RaceDatabase
    book: Book
    core: Whole
    rival: Callable[[Signal], Awaitable[Opened]]
    slump: Callable[[str, Decimal], None]
    symbols: tuple[str, ...]


class SlumpingGateway:
    """A gateway over HTTP at which a price falls once, at the first entry; see InProcessVenue.slumps."""

    def __init__(self, gateway: TradingGateway, book: Book) -> None:
        self._gateway = gateway
        self._book = book
        self.slumps: dict[str, Decimal] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def place_entry(self, symbol: str, *rest: Any, **named: Any) -> Any:
        """The gateway's; the price falls once the venue has answered."""
        reply = await self._gateway.place_entry(symbol, *rest, **named)
        if (price := self.slumps.pop(symbol, None)) is not None:
            exchange: Any = self._gateway.venue.exchange
            prices.set_price(self._book, exchange, symbol, price)
        return reply


@asynccontextmanager
async def race_world(plan: Plan, dsn: SecretStr | None) -> AsyncIterator[RaceWorld]:
    """The world of a plan: on a server of its own, or in the database of `dsn`, which has to bear the mark.

    Everything is removed at the end, whatever happens. Raises RefusedError, SchemaError, UsageError, DatabaseUnavailableError.
    """
    tables = maker(plan.core).tables
    symbols = race_symbols(plan.threads)
    async with _database(dsn) as database:
        if dsn is not None:
            await database.check()
        try:
            await database.prepare(tables)
            await database.clear(symbols)
            with mapped_errors(database.dsn):
                async with _acting(plan, database, symbols) as world:
                    yield world
        finally:
            await undisturbed(database.remove(symbols))


@asynccontextmanager
async def own_server(*, durable: bool = True) -> AsyncIterator[SecretStr]:
    """A PostgreSQL server of its own with an empty database that bears the mark; gone at the end.

    Not durable: no fsync, for runs by the ten thousand; locks and visibility are the same.
    """
    folder = Path(mkdtemp(prefix="posguard-race-"))
    options = {} if durable else {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    server: EmbeddedServer | None = None
    try:
        starting = asyncio.create_task(asyncio.to_thread(EmbeddedServer.start, folder, options=options))
        try:
            server = await asyncio.shield(starting)
        except asyncio.CancelledError:
            server = (
                await starting
            )  # a thread cannot be cancelled: what it started has to be known to be ended
            raise
        server.ensure_database("race")
        server.psql("race", "COMMENT ON DATABASE race IS 'posguard: test database'")
        yield SecretStr(server.dsn("race"))
    finally:
        if server is not None:
            server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _database(dsn: SecretStr | None) -> AsyncIterator[RaceDatabase]:
    async with AsyncExitStack() as stack:
        named = dsn if dsn is not None else await stack.enter_async_context(own_server())
        database = await RaceDatabase.open(named, size=_SIZE)
        stack.push_async_callback(database.close)
        yield database


@asynccontextmanager
async def _acting(plan: Plan, database: RaceDatabase, symbols: tuple[str, ...]) -> AsyncIterator[RaceWorld]:
    simulator = Simulator(seed=plan.seed)
    exchange: Any = plan.exchange
    add_markets(simulator.book, exchange, symbols)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(simulator.stop)
        if plan.over_http:
            await simulator.start()
        venue = _venue(plan, simulator)
        stack.push_async_callback(venue.close)
        told = CoreWorld(database.dsn.get_secret_value(), database.pool, venue, plan.pace, plan.seed)
        core = await _core(stack, plan.core, told)
        if plan.processes:
            addresses = _for_child(plan, told.dsn, simulator.base_url)
            core = _Elsewhere(core, await _child(stack, 1, addresses))
            rival = (await _child(stack, 2, addresses)).open
        else:
            rival = (await _core(stack, plan.core, told)).open
        yield RaceWorld(plan, database, simulator.book, core, rival, venue.slumps.__setitem__, symbols)


async def _core(stack: AsyncExitStack, name: str, told: CoreWorld) -> Whole:
    core = await build(name, told)
    stack.push_async_callback(core.close)
    return core


async def _child(stack: AsyncExitStack, hash_seed: int, addresses: Mapping[str, Any]) -> Child:
    child = await Child.start(hash_seed, addresses)
    stack.push_async_callback(child.close)
    return child


def _venue(plan: Plan, simulator: Simulator) -> Any:
    before_send = maker(plan.core).before_send
    if plan.over_http:
        gateway = simulator_gateway(plan.exchange, simulator.base_url, before_send)
        return SlumpingGateway(gateway, simulator.book)
    return InProcessVenue(
        simulator.book,
        VenueId(plan.exchange),
        latency=lambda: asyncio.sleep(ORDER / 2 * plan.pace),
        before_send=before_send,
    )


class _Elsewhere(Whole):
    """A core whose opens happen in another process, and everything else in this one."""

    def __init__(self, core: Whole, child: Child) -> None:
        super().__init__(core)
        self._child = child

    async def open(self, signal: Signal) -> Opened:
        """Opens over there."""
        return await self._child.open(signal)


def _for_child(plan: Plan, dsn: str, url: str) -> dict[str, Any]:
    return {
        "dsn": dsn,
        "url": url,
        "core": plan.core,
        "exchange": plan.exchange,
        "pace": plan.pace,
        "seed": plan.seed,
    }


@asynccontextmanager
async def child_core(told: Mapping[str, Any]) -> AsyncIterator[Whole]:
    """The core of another process, on the addresses it was told."""
    gateway = simulator_gateway(told["exchange"], told["url"], maker(told["core"]).before_send)
    async with asyncpg.create_pool(told["dsn"], min_size=1, max_size=_SIZE) as pool:
        core = await build(
            told["core"], CoreWorld(told["dsn"], pool, gateway, float(told["pace"]), int(told["seed"]))
        )
        try:
            yield core
        finally:
            await core.close()
            await gateway.close()


def simulator_gateway(
    exchange: Any, url: str, before_send: Callable[[], Awaitable[str]] | None = None
) -> TradingGateway:
    """A client of ccxt's against the simulator, without a limit on requests."""
    key, secret = SecretStr(TRADE_KEY), SecretStr(TRADE_SECRET)
    venue = VenueSettings(
        exchange=exchange,
        world=World.SIMULATOR,
        api_key=key,
        api_secret=secret,
        trade_key=key,
        trade_secret=secret,
        base_url=url,
    )
    return open_trading_gateway(venue, load_settings(), before_send=before_send, budget=Budget.unlimited())
