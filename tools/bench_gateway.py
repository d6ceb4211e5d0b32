"""What a complete snapshot of 5 000 positions costs, beside bare ccxt in the same run: `make bench-exchange` prints it.

The simulator runs as a program of its own. Bare ccxt asks the same questions through its unified methods (positions twice,
orders once, all pages) and checks nothing; its raw endpoints, which parse nothing either, are shown for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import ccxt.async_support as ccxt  # noqa: TID253  it is what is measured
from pydantic import SecretStr

from posguard.exchange.budget import Budget
from posguard.exchange.gateway import open_gateway
from posguard.exchange.tables import BINANCE, BYBIT
from posguard.model.venue import World
from posguard.settings import Settings, VenueSettings
from posguard.simulator import SimulatorControl
from posguard.simulator.__main__ import READY
from posguard.simulator.defaults import READ_KEY, READ_SECRET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POSITIONS = 5_000
MOST_OVERHEAD = 0.10
TABLES = {"binance": BINANCE, "bybit": BYBIT}


def bare(exchange: str, base: str) -> Any:
    """A ccxt client as its manual shows it, at the simulator's address, without its throttler."""
    table = TABLES[exchange]
    client = getattr(ccxt, table.ccxt_class)({
        "apiKey": READ_KEY,
        "secret": READ_SECRET,
        "enableRateLimit": False,
        "timeout": 60_000,
        "options": {
            **table.options,
            "defaultType": "swap",
            "fetchPositions": "positionRisk",
            "fetchOpenOrders": {"warnWithoutSymbol": False},
        },
    })  # fmt: skip
    client.has["fetchCurrencies"] = False
    client.urls["api"] = {
        name: base + "/" + client.implode_hostname(url).split("://", 1)[1].partition("/")[2]
        for name, url in client.urls["api"].items()
    }
    client.urls["api"] = {name: url.rstrip("/") for name, url in client.urls["api"].items()}
    return client


async def unified_binance(client: Any) -> int:
    """The questions of a snapshot by ccxt's unified methods; the positions seen."""
    await client.fetch_time()
    await client.fetch_positions()
    await client.fetch_open_orders()
    await client.fetch_open_orders(params={"trigger": True})
    return len(await client.fetch_positions())


async def unified_bybit(client: Any) -> int:
    """The same for Bybit, both settle coins, every page by its cursor."""

    async def pages(ask: Callable[[dict[str, Any]], Awaitable[list[Any]]], coin: str) -> int:
        seen, cursor = 0, ""
        while True:
            rows = await ask({"settleCoin": coin, **({"cursor": cursor} if cursor else {})})
            seen += len(rows)
            cursor = client.last_json_response["result"]["nextPageCursor"]
            if not cursor:
                return seen

    async def positions(coin: str) -> int:
        return await pages(lambda params: client.fetch_positions(None, {**params, "limit": 200}), coin)

    client.enableLastJsonResponse = True
    await client.fetch_time()
    seen = 0
    for coin in ("USDT", "USDC"):
        await positions(coin)
        await pages(lambda params: client.fetch_open_orders(None, None, 50, params), coin)
        seen += await positions(coin)
    return seen


async def raw_binance(client: Any) -> int:
    """The same requests by raw endpoints: nothing parsed, nothing checked."""
    await client.fapiPublicGetTime()
    await client.fapiPrivateV3GetPositionRisk()
    await client.fapiPrivateGetOpenOrders()
    await client.fapiPrivateGetOpenAlgoOrders()
    return len(await client.fapiPrivateV3GetPositionRisk())


async def raw_bybit(client: Any) -> int:
    """The same for Bybit."""

    async def pages(ask: Callable[[dict[str, Any]], Awaitable[Any]], coin: str, limit: int) -> int:
        seen, cursor = 0, ""
        while True:
            params = {"category": "linear", "settleCoin": coin, "limit": limit}
            result = (await ask({**params, **({"cursor": cursor} if cursor else {})}))["result"]
            seen += len(result["list"])
            cursor = result["nextPageCursor"]
            if not cursor:
                return seen

    await client.publicGetV5MarketTime()
    seen = 0
    for coin in ("USDT", "USDC"):
        await pages(client.privateGetV5PositionList, coin, 200)
        await pages(client.privateGetV5OrderRealtime, coin, 50)
        seen += await pages(client.privateGetV5PositionList, coin, 200)
    return seen


UNIFIED = {"binance": unified_binance, "bybit": unified_bybit}
RAW = {"binance": raw_binance, "bybit": raw_bybit}


async def plant(control: SimulatorControl) -> None:
    """The same 5 000 positions on both venues, each with its stop."""
    for venue in TABLES:
        await control.load(
            positions=[
                {"venue": venue, "symbol": f"C{n}USDT", "amount": "3", "entry": "10"}
                for n in range(POSITIONS)
            ],
            orders=[
                {
                    "venue": venue,
                    "symbol": f"C{n}USDT",
                    "side": "sell",
                    "qty": "3",
                    "trigger": "9",
                    "reduce_only": True,
                }
                for n in range(POSITIONS)
            ],
        )


async def timed(work: Callable[[], Awaitable[int]]) -> float:
    """Seconds of one run that saw every position."""
    gc.collect()
    began = time.perf_counter()
    seen = await work()
    if seen != POSITIONS:
        raise SystemExit(f"bench: {seen} of {POSITIONS} positions were seen")
    return time.perf_counter() - began


async def peak_of(work: Callable[[], Awaitable[int]]) -> float:
    """The most memory that Python held during one run beyond what it held before, in MB."""
    gc.collect()
    tracemalloc.start()
    await work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1_000_000


async def measure(exchange: str, base: str, rounds: int) -> float:
    """Print one venue's figures; the overhead over bare ccxt as a share."""
    venue = VenueSettings(
        exchange=exchange,
        world=World.SIMULATOR,
        api_key=SecretStr(READ_KEY),
        api_secret=SecretStr(READ_SECRET),
        base_url=base,
    )
    client = bare(exchange, base)
    gateway = open_gateway(venue, Settings(_env_file=None, venue_timeout="60s"), budget=Budget.unlimited())
    pages = requests = 0

    async def ours() -> int:
        nonlocal requests
        look = await gateway.snapshot()
        if not look.complete:
            raise SystemExit(f"bench: {look.reasons}")
        requests = look.requests
        return len(look.positions)

    runs = {
        "gateway, complete snapshot": ours,
        "bare ccxt, unified methods": lambda: UNIFIED[exchange](client),
        "bare ccxt, raw endpoints": lambda: RAW[exchange](client),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    try:
        await client.load_markets()
        for work in runs.values():
            await work()  # markets loaded, connections open
        for _ in range(rounds):  # in turns, so that a busy moment of the machine falls on all
            for name, work in runs.items():
                taken[name].append(await timed(work))
        pages = -(-POSITIONS // 200) if exchange == "bybit" else 1
        print(
            f"{TABLES[exchange].title}: {POSITIONS} positions on {pages} page(s), {POSITIONS} stops; {requests} requests"
        )
        for name, values in taken.items():
            print(f"  {name:<30}{statistics.median(values):8.2f} s   (best {min(values):.2f})")
        print(f"  memory of one such snapshot   {await peak_of(ours):8.1f} MB at its peak")
    finally:
        await gateway.close()
        await client.close()
    first, second, _ = (statistics.median(values) for values in taken.values())
    print(f"  overhead over bare ccxt       {first / second - 1:+8.0%}      (bar {MOST_OVERHEAD:+.0%})")
    return first / second - 1


async def run(base: str, rounds: int) -> bool:
    """Both venues; whether each is within the bar."""
    async with SimulatorControl(base) as control:
        await plant(control)
    return all([await measure(exchange, base, rounds) <= MOST_OVERHEAD for exchange in TABLES])


def main() -> None:
    """Start the program, measure, stop it; exit code 1 where the overhead is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of which the median counts")
    rounds = parser.parse_args().rounds
    process = subprocess.Popen(
        [sys.executable, "-m", "posguard.simulator"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline().strip() if process.stdout else ""
        fine = asyncio.run(run(line.removeprefix(READY), rounds))
    finally:
        process.terminate()
        process.wait(10)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
