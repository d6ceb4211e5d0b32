"""How fast the exchange simulator answers: `make bench-exchange` prints it.

The simulator runs as the program it is, in a process of its own; the requests are signed as ccxt signs them.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
from yarl import URL

from posguard.simulator import SimulatorControl
from posguard.simulator.__main__ import READY
from posguard.simulator.defaults import TRADE_KEY, TRADE_SECRET
from posguard.simulator.wire import sign

POSITIONS = 5_000
Request = Callable[[aiohttp.ClientSession, str, int], Awaitable[object]]


async def bybit(
    session: aiohttp.ClientSession, base: str, method: str, path: str, text: str
) -> dict[str, object]:
    """One signed Bybit request; `text` is the query or the body."""
    stamp = str(time.time_ns() // 1_000_000)
    headers = {
        "X-BAPI-API-KEY": TRADE_KEY,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": sign(TRADE_SECRET, f"{stamp}{TRADE_KEY}5000{text}"),
        "Content-Type": "application/json",
    }
    url = f"{base}{path}?{text}" if method == "GET" else f"{base}{path}"
    # Encoded already, cursor and all: what is sent is what was signed.
    address = URL(url, encoded=True)
    async with session.request(
        method, address, headers=headers, data=None if method == "GET" else text
    ) as answer:
        found: dict[str, object] = await answer.json()
    if found["retCode"] != 0:
        raise SystemExit(f"bench: {path} was refused: {found['retMsg']}")
    return found


async def binance(session: aiohttp.ClientSession, base: str, method: str, path: str, text: str) -> object:
    """One signed Binance request."""
    query = f"{text}&timestamp={time.time_ns() // 1_000_000}&recvWindow=5000"
    signed = f"{query}&signature={sign(TRADE_SECRET, query)}"
    url = f"{base}{path}?{signed}" if method == "GET" else f"{base}{path}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = {"X-MBX-APIKEY": TRADE_KEY, **(form if method == "POST" else {})}
    async with session.request(
        method, url, headers=headers, data=signed if method == "POST" else None
    ) as answer:
        if answer.status != 200:
            raise SystemExit(f"bench: {path} was refused: {await answer.text()}")
        return await answer.json()


async def a_time(session: aiohttp.ClientSession, base: str, _number: int) -> object:
    """The cheapest request there is."""
    async with session.get(f"{base}/v5/market/time") as answer:
        return await answer.json()


async def a_bybit_order(session: aiohttp.ClientSession, base: str, number: int) -> object:
    """A market order that fills."""
    side = "Buy" if number % 2 else "Sell"
    body = {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": "Market", "qty": "0.001"}
    return await bybit(
        session, base, "POST", "/v5/order/create", json.dumps({**body, "orderLinkId": f"bench-{number}"})
    )


async def a_binance_order(session: aiohttp.ClientSession, base: str, number: int) -> object:
    """A market order that fills."""
    side = "BUY" if number % 2 else "SELL"
    text = f"symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.001&newClientOrderId=bench-{number}&newOrderRespType=RESULT"
    return await binance(session, base, "POST", "/fapi/v1/order", text)


async def a_page(session: aiohttp.ClientSession, base: str, _number: int) -> object:
    """The first 200 of many positions."""
    return await bybit(session, base, "GET", "/v5/position/list", "category=linear&settleCoin=USDT&limit=200")


async def all_at_once(session: aiohttp.ClientSession, base: str, _number: int) -> object:
    """All positions in one answer."""
    return await binance(session, base, "GET", "/fapi/v3/positionRisk", "a=1")


async def all_pages(session: aiohttp.ClientSession, base: str) -> int:
    """Every page, one after the other; how many positions came."""
    cursor, seen = "", 0
    while True:
        text = "category=linear&settleCoin=USDT&limit=200" + (f"&cursor={cursor}" if cursor else "")
        result = (await bybit(session, base, "GET", "/v5/position/list", text))["result"]
        seen += len(result["list"])
        cursor = result["nextPageCursor"]
        if not cursor:
            return seen


async def rate(session: aiohttp.ClientSession, base: str, request: Request, count: int, at_once: int) -> str:
    """Requests a second and latencies with so many at once."""
    numbers, taken = iter(range(count)), []

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            await request(session, base, number)
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    spent = time.perf_counter() - began
    taken.sort()
    middle, high = taken[len(taken) // 2] * 1000, taken[int(len(taken) * 0.99) - 1] * 1000
    return f"{count / spent:9.0f} /s   p50 {middle:7.1f} ms   p99 {high:7.1f} ms"


async def measure(base: str, scale: float) -> None:
    """The whole report."""
    connector = aiohttp.TCPConnector(limit=32)
    async with aiohttp.ClientSession(connector=connector) as session, SimulatorControl(base) as control:
        for name, request, count in (
            ("market/time, no signature", a_time, 3000),
            ("Binance market order, filled", a_binance_order, 2000),
            ("Bybit market order, filled", a_bybit_order, 2000),
        ):
            print(f"  {name:<36}{await rate(session, base, request, int(count * scale), 16)}")
        venues = ("binance", "bybit")
        rows = [
            {"venue": v, "symbol": f"C{n}USDT", "amount": "3", "entry": "10"}
            for v in venues
            for n in range(POSITIONS)
        ]
        began = time.perf_counter()
        await control.load(positions=rows)
        print(f"  load of {len(rows)} positions{'':<15}{time.perf_counter() - began:9.2f} s")
        for name, request, count in (
            (f"Bybit page of 200 out of {POSITIONS}", a_page, 100),
            (f"Binance positionRisk of {POSITIONS}", all_at_once, 10),
        ):
            print(f"  {name:<36}{await rate(session, base, request, max(3, int(count * scale)), 4)}")
        began = time.perf_counter()
        seen = await all_pages(session, base)
        spent = time.perf_counter() - began
        if seen < POSITIONS:
            raise SystemExit(f"bench: {seen} of {POSITIONS} positions came over all pages")
        print(f"  Bybit, all {seen} over {-(-seen // 200)} pages{'':<9}{spent:9.2f} s")


def main() -> None:
    """Start the program, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the requests to send")
    scale = parser.parse_args().scale
    process = subprocess.Popen(
        [sys.executable, "-m", "posguard.simulator"], stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline().strip() if process.stdout else ""
        print("exchange simulator")
        asyncio.run(measure(line.removeprefix(READY), scale))
    finally:
        process.terminate()
        process.wait(10)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"  {'peak memory of the simulator':<36}{peak:9.0f} MB")


if __name__ == "__main__":
    main()
