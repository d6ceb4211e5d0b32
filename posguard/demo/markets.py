"""The markets of the demo world: real names, realistic steps and prices; a price is a pure function of seed, market and time."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# base coin, price in USDT, tick in USDT, lot step in coins; both venues list it as <base>USDT unless a list below says otherwise
_TABLE = """
BTC 67412.5 0.1 0.001
ETH 2618.40 0.01 0.01
SOL 154.32 0.01 0.1
BNB 588.10 0.01 0.01
XRP 0.5412 0.0001 1
DOGE 0.12871 0.00001 10
ADA 0.3543 0.0001 10
AVAX 27.86 0.001 1
LINK 11.482 0.001 0.1
DOT 4.231 0.001 1
LTC 70.13 0.01 0.1
BCH 352.40 0.01 0.01
TRX 0.15721 0.00001 10
ATOM 4.482 0.001 0.1
NEAR 4.716 0.001 1
APT 3.2410 0.0001 0.1
ARB 0.5412 0.0001 1
OP 1.6423 0.0001 1
SUI 1.9876 0.0001 1
INJ 20.14 0.001 0.1
SEI 0.4213 0.0001 10
TIA 5.512 0.001 1
FIL 3.711 0.001 1
ETC 18.92 0.001 0.1
UNI 7.561 0.001 1
AAVE 148.20 0.01 0.1
MKR 1221.0 0.1 0.001
RUNE 5.131 0.001 1
LDO 1.1021 0.0001 1
GRT 0.16213 0.00001 10
STX 1.7514 0.0001 1
IMX 1.4312 0.0001 1
FET 1.3821 0.0001 1
RENDER 5.231 0.001 0.1
WLD 2.1134 0.0001 1
JUP 0.9421 0.0001 1
PYTH 0.3612 0.0001 10
ORDI 36.41 0.001 0.1
KAS 0.13021 0.00001 10
AKE 0.002134 0.000001 100
BID 0.08123 0.00001 10
DYDX 1.0221 0.0001 1
GMX 24.51 0.01 0.1
CRV 0.2812 0.0001 10
SAND 0.2631 0.0001 10
MANA 0.2981 0.0001 10
GALA 0.02141 0.00001 100
AXS 4.812 0.001 1
CHZ 0.06412 0.00001 10
ENS 16.92 0.001 0.1
EGLD 25.41 0.01 0.1
FLOW 0.5421 0.0001 1
ALGO 0.1221 0.0001 10
HBAR 0.05214 0.00001 10
VET 0.02211 0.00001 100
ICP 7.812 0.001 0.1
TON 5.211 0.001 0.1
ENA 0.3612 0.0001 10
WIF 2.5112 0.0001 1
ZRO 4.021 0.001 0.1
"""
# The same coin under another id on each venue, a trap for whoever matches by name.
_OWN = {
    "binance": "1000SHIB 0.017821 0.000001 100\n1000PEPE 0.010412 0.0000001 100",
    "bybit": "SHIB1000 0.01782 0.00001 10\n1000PEPE 0.0104120 0.0000001 100",
}
NOTIONAL = Decimal(200)  # USDT that the bot puts into a position
EXCHANGES = ("binance", "bybit")


@dataclass(frozen=True, slots=True, order=True)
class DemoMarket:
    """A linear perpetual: price and tick in USDT, step in coins (base units)."""

    exchange: str
    symbol: str
    price: Decimal
    tick: Decimal
    step: Decimal

    @property
    def base(self) -> str:
        """The coin's name on this venue."""
        return self.symbol.removesuffix("USDT")

    def rounded(self, price: Decimal) -> Decimal:
        """The nearest price on the tick."""
        return (price / self.tick).to_integral_value(ROUND_HALF_EVEN) * self.tick

    def quantity(self, notional: Decimal = NOTIONAL) -> Decimal:
        """How many coins the notional buys, in whole steps and at least one."""
        steps = (notional / self.price / self.step).to_integral_value(ROUND_DOWN)
        return max(steps, Decimal(1)) * self.step


@cache
def markets() -> dict[tuple[str, str], DemoMarket]:
    """Every market by exchange and symbol, in a stable order."""
    found = {}
    for exchange in EXCHANGES:
        for line in f"{_TABLE}\n{_OWN[exchange]}".split("\n"):
            if not line.strip():
                continue
            base, price, tick, step = line.split()
            market = DemoMarket(exchange, f"{base}USDT", Decimal(price), Decimal(tick), Decimal(step))
            found[exchange, market.symbol] = market
    return found


def price_at(market: DemoMarket, at: datetime, seed: int) -> Decimal:
    """The market's price at an aware time, on its tick, never more than 1.3 % from its middle.

    So no stop of the demo world, four to six per cent away, ever fires by itself.
    """
    phases = _phases(market.exchange, market.symbol, seed)
    minutes = at.timestamp() / 60
    swing = sum(size * math.sin(minutes * 2 * math.pi / period + phase) for size, period, phase in phases)
    # whole parts per million: the float stays out of the price
    return market.rounded(market.price * (1_000_000 + round(swing * 1_000_000)) / 1_000_000)


@cache
def _phases(exchange: str, symbol: str, seed: int) -> tuple[tuple[float, float, float], ...]:
    dice = random.Random(f"{seed}/{exchange}/{symbol}")  # noqa: S311 - a made-up market
    return tuple(
        (size, period * dice.uniform(0.8, 1.25), dice.uniform(0, 2 * math.pi))
        for size, period in ((0.007, 190.0), (0.004, 41.0), (0.002, 7.0))
    )
