"""The same seed and the same requests give the same request log and book; another seed does not."""

from __future__ import annotations

import contextlib

import ccxt.async_support as ccxt
import pytest

from posguard.simulator import Simulator, SimulatorControl
from tests.fixtures.simulator import client_of

BTC = "BTC/USDT:USDT"


async def one_run(seed: int, venue: str) -> tuple[dict[str, str], int]:
    """A little of everything, with chances, a moving price and faults; answers the digests."""
    async with Simulator(seed=seed) as simulator, SimulatorControl(simulator.base_url) as control:
        client = client_of(venue, simulator.base_url)
        try:
            await client.load_markets()
            await control.fault("empty_list", venue=venue, count=None, probability=0.3)
            await control.fault(
                "status", venue=venue, method="POST", count=None, probability=0.3, when="after"
            )
            await control.fault(
                "partial_fill", venue=venue, method="POST", count=None, probability=0.3, ratio="0.4"
            )
            script = [
                {"venue": venue, "symbol": "BTCUSDT", "last": str(60_000 - 300 * n)} for n in range(1, 8)
            ]
            await control.act("script", steps=script)
            for number in range(24):
                with contextlib.suppress(ccxt.BaseError):
                    side = "buy" if number % 3 else "sell"
                    params = {"clientOrderId": f"pg-{number}"}
                    await client.create_order(BTC, "market", side, 0.01, params=params)
                with contextlib.suppress(ccxt.BaseError):
                    params = {"stopLossPrice": 59_000, "reduceOnly": True, "clientOrderId": f"pg-{number}-s"}
                    await client.create_order(BTC, "market", "sell", 0.01, params=params)
                with contextlib.suppress(ccxt.BaseError):
                    await client.fetch_positions()
                await control.act("step" if number % 4 == 0 else "drift")
        finally:
            await client.close()
        return await control.digests(), len(simulator.log)


@pytest.mark.parametrize("venue", ["binance", "bybit"])
async def test_a_run_replays_from_its_seed(venue):
    first, requests = await one_run(11, venue)
    second, again = await one_run(11, venue)
    assert requests == again > 70
    assert first == second
    other, _ = await one_run(12, venue)
    assert other["log"] != first["log"]
    assert other["book"] != first["book"]
