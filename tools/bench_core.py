"""What the trading core costs beside the same SQL issued bare, in the same run: `make bench-core` prints it.

A venue inside this process answers at once, so that database and core are all that is measured. Bare SQL is the core's own
statements in the same transactions (one for the insert under its lock, four changes by compare and set, trigger and record
included), sent by hand through the same kind of pool. Rounds alternate; figures are medians of five. Durable: fsync is on.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from posguard.model.managed import client_id
from posguard.model.order import Lookup, OrderReply, OrderState, Outcome, SeenOrder, Sight
from posguard.model.position import PositionSide, Side, Status
from posguard.model.transitions import Origin
from posguard.model.venue import MarketRule, OrderKind, VenueId
from posguard.postgres import botupgrade, managed, migrate
from posguard.postgres.embedded import EmbeddedServer
from posguard.postgres.pool import Database
from posguard.postgres.queries import script
from posguard.trading import CoreSettings, OpenRequest, Result, TradingCore
from posguard.trading.asking import birth_of, key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

POOL = 20
LEAST_SHARE, MOST_P99 = 0.80, 1.5
SETTINGS = CoreSettings()
OWNER = "bench"


class InstantVenue:
    """A venue that fills and accepts everything at once, in as little Python as possible."""

    venue = VenueId("binance")

    def __init__(self) -> None:
        self._stops: dict[str, SeenOrder] = {}

    async def market(self, symbol: str) -> MarketRule:
        """Every symbol is listed."""
        return MarketRule(symbol, symbol, Decimal("0.1"), Decimal("0.001"), Decimal("0.1"), Decimal(5))

    async def place_entry(self, symbol: str, side: Side, quantity: Decimal, **named: Any) -> OrderReply:
        """Filled."""
        name = named["client_order_id"]
        seen = _order(name, symbol, side, quantity, OrderState.FILLED, filled=quantity)
        return OrderReply(Outcome.ACCEPTED, name, name, seen)

    async def place_stop(
        self, symbol: str, side: Side, quantity: Decimal, trigger: Decimal, **named: Any
    ) -> OrderReply:
        """Live."""
        name = named["client_order_id"]
        self._stops[name] = _order(name, symbol, side, quantity, OrderState.LIVE, trigger=trigger)
        return OrderReply(Outcome.ACCEPTED, name, name, self._stops[name])

    async def find(self, _symbol: str, name: str, *, conditional: bool) -> Lookup:
        """The stop."""
        assert conditional
        return Lookup(Sight.FOUND, self._stops.pop(name))


def _order(
    name: str,
    symbol: str,
    side: Side,
    quantity: Decimal,
    state: OrderState,
    *,
    filled: Decimal = Decimal(0),
    trigger: Decimal | None = None,
) -> SeenOrder:
    kind = OrderKind.MARKET if trigger is None else OrderKind.STOP
    buys = (side is Side.LONG) is (trigger is None)
    leg = PositionSide.BOTH
    price = None if trigger is not None else Decimal(100)
    return SeenOrder(
        name,
        name,
        symbol,
        leg,
        buys,
        kind,
        state,
        quantity,
        filled,
        price,
        trigger,
        trigger is not None,
        None,
    )


def request(number: int, run: str) -> OpenRequest:
    """A request of a key of its own."""
    return OpenRequest(
        f"{run}-{number}",
        "binance",
        f"S{number}USDT",
        Side.LONG,
        Decimal(1),
        Decimal(100),
        stop_percent=Decimal(5),
    )


Times = defaultdict[str, list[float]]


@asynccontextmanager
async def timed(times: Times, name: str) -> AsyncIterator[None]:
    """Adds the milliseconds that the block takes."""
    began = time.perf_counter()
    yield
    times[name].append((time.perf_counter() - began) * 1000)


class Watched:
    """The store's two statements of layer 1 and 2, timed: the same for both sides."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.real = {name: getattr(managed, name) for name in ("take_lock", "give_birth")}

    def __enter__(self) -> None:
        for name, word in (("take_lock", "lock"), ("give_birth", "insert")):
            setattr(managed, name, self._timing(self.real[name], word))

    def __exit__(self, *error: object) -> None:
        for name, function in self.real.items():
            setattr(managed, name, function)

    def _timing(self, work: Callable[..., Awaitable[Any]], word: str) -> Callable[..., Awaitable[Any]]:
        async def run(*args: Any, **values: Any) -> Any:
            async with timed(self.times, word):
                return await work(*args, **values)

        return run


async def bare_create(database: Database, asked: OpenRequest, rule: MarketRule) -> managed.ManagedRow:
    """The insert under its lock, by hand."""
    birth = birth_of(asked, key_of(asked), rule, SETTINGS)
    async with database.transaction() as connection:
        await managed.take_lock(connection, birth.key)
        there = await managed.standing(connection, birth.key, birth.request_key)
        assert there.held is None
        row: managed.ManagedRow | None = await managed.give_birth(
            connection, birth, actor=OWNER, lease=SETTINGS.lease, lease_owner=OWNER
        )
    assert row is not None
    return row


async def bare_open(database: Database, asked: OpenRequest, rule: MarketRule, times: Times) -> None:
    """Five commits, by hand: no decision, no look-up, no lease is looked at."""
    async with timed(times, "open"):
        async with timed(times, "create"):
            row = await bare_create(database, asked, rule)
        stop = client_id(row.request_key, "s", 2)
        steps = (
            {"status": Status.SUBMITTING},
            {"status": Status.ENTRY_PLACED, "exchange_order_id": "1", "stop_loss_price": Decimal(95)},
            {"status": Status.PENDING_SL, "attempt": 2, "stop_client_id": stop},
            {"status": Status.ACTIVE, "stop_loss_order_id": "2"},
        )
        for changes in steps:
            active = changes["status"] is Status.ACTIVE
            change = managed.activate if active else managed.advance
            async with database.connection() as connection:
                moved = await change(
                    connection,
                    row,
                    row.but(**changes),
                    reason="bench",
                    actor=OWNER,
                    origin=Origin.SIGNAL,
                    lease=SETTINGS.lease,
                    keeps=not active,
                    unprotected=changes["status"] in {Status.ENTRY_PLACED, Status.PENDING_SL},
                )
            assert moved is not None
            row = moved.row


async def core_open(core: TradingCore, asked: OpenRequest, times: Times) -> None:
    """One open through the library."""
    async with timed(times, "open"):
        opened = await core.open(asked)
    assert opened.result is Result.ACTIVE, opened


async def spread(work: Callable[[int], Awaitable[None]], count: int) -> float:
    """Runs work(0) to work(count - 1), POOL at a time; how many were done in a second."""
    left = iter(range(count))

    async def one() -> None:
        for number in left:
            await work(number)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(POOL)))
    return count / (time.perf_counter() - began)


class Bench:
    """Rounds of core and bare SQL in turn, on one database."""

    def __init__(self, database: Database, count: int) -> None:
        self.database, self.count = database, count
        self.rule = MarketRule("X", "X", Decimal("0.1"), Decimal("0.001"), Decimal("0.1"), Decimal(5))
        self.figures: defaultdict[str, list[float]] = defaultdict(list)
        self.times: dict[str, Times] = {"core": defaultdict(list), "bare": defaultdict(list)}

    async def _clear(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute(
                "TRUNCATE monitoring.positions; TRUNCATE posguard.transitions; TRUNCATE posguard.protection_gaps;"
                "TRUNCATE posguard.alert_outbox, posguard.alert_message_items"
            )
            await connection.execute("CHECKPOINT")

    def _core(self, times: Times) -> TradingCore:
        began: dict[asyncio.Task[Any] | None, float] = {}

        async def checkpoint(name: str) -> None:
            if name == "before insert":
                began[asyncio.current_task()] = time.perf_counter()
            elif name == "after insert":
                times["create"].append((time.perf_counter() - began.pop(asyncio.current_task())) * 1000)

        return TradingCore(self.database, [InstantVenue()], SETTINGS, owner=OWNER, checkpoint=checkpoint)  # type: ignore[list-item]  # it has what an open needs

    async def round(self, number: int, *, warm: bool = False) -> None:
        """One round of everything."""
        sides = ("core", "bare") if number % 2 else ("bare", "core")
        for side in sides:
            await self._clear()
            times: Times = defaultdict(list) if warm else self.times[side]
            core, run = self._core(times), f"{side}-{number}"

            async def opening(
                each: int, side: str = side, core: TradingCore = core, run: str = run, times: Times = times
            ) -> None:
                asked = request(each, run)
                if side == "core":
                    await core_open(core, asked, times)
                else:
                    await bare_open(self.database, asked, self.rule, times)

            with Watched(times):
                opens = await spread(opening, self.count)
            await self._clear()

            async def creating(each: int, side: str = side, core: TradingCore = core, run: str = run) -> None:
                asked = request(each, f"create-{run}")
                if side == "core":
                    await core._give_birth(birth_of(asked, key_of(asked), self.rule, SETTINGS), OWNER)  # noqa: SLF001
                else:
                    await bare_create(self.database, asked, self.rule)

            creates = await spread(creating, self.count)
            if not warm:
                self.figures[f"{side} opens/s"].append(opens)
                self.figures[f"{side} creates/s"].append(creates)
                for word in ("lock", "insert", "create", "open"):
                    values = sorted(times[word][-self.count :])
                    for share in (50, 95, 99):
                        at = values[min(len(values) - 1, round(len(values) * share / 100))]
                        self.figures[f"{side} {word} p{share} ms"].append(at)


async def measure(dsn: SecretStr, count: int, rounds: int, *, cache: int) -> bool:
    """Prints the figures; whether the bars are met."""
    async with await Database.open(dsn, application="bench", size=POOL, statement_cache=cache) as database:
        bench = Bench(database, count)
        await bench.round(0, warm=True)
        for number in range(1, rounds + 1):
            await bench.round(number)
    middle = {name: statistics.median(values) for name, values in bench.figures.items()}
    print(
        f"medians of {rounds} rounds of {count}; pool {POOL}; statement cache {cache}; venue latency 0; fsync on"
    )
    for what in ("creates/s", "opens/s"):
        core, bare = middle[f"core {what}"], middle[f"bare {what}"]
        print(f"{what:16} core {core:8.0f}   bare {bare:8.0f}   share {core / bare:5.2f}")
    for word in ("lock", "insert", "create", "open"):
        for side in ("core", "bare"):
            shown = "  ".join(
                f"p{share} {middle[f'{side} {word} p{share} ms']:7.2f}" for share in (50, 95, 99)
            )
            print(f"{word:8} {side:6} ms  {shown}")
    share = middle["core opens/s"] / middle["bare opens/s"]
    worse = middle["core create p99 ms"] / middle["bare create p99 ms"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    met = share >= LEAST_SHARE and worse <= MOST_P99
    print(
        f"opens: {share:.2f} of bare (at least {LEAST_SHARE}); create p99: {worse:.2f} of bare (at most {MOST_P99})"
    )
    print(f"peak memory of this process {peak:.0f} MB; bars {'met' if met else 'NOT met'}")
    return met


def main() -> int:
    """Starts a server of its own, measures, removes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="opens of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=int, default=100, help="0: as behind pgbouncer in transaction mode")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posguard-bench-") as folder:
        server = EmbeddedServer.start(Path(folder))
        try:
            dsn = SecretStr(server.dsn("postgres"))
            import psycopg  # noqa: PLC0415 - only to make the bot's tables

            with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
                connection.execute(script("bot_schema"))
            migrate.upgrade(dsn)
            asyncio.run(botupgrade.upgrade(dsn))
            return 0 if asyncio.run(measure(dsn, chosen.count, chosen.rounds, cache=chosen.cache)) else 1
        finally:
            server.remove()


if __name__ == "__main__":
    sys.exit(main())
