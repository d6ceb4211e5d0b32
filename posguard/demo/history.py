"""Eight hours of ordinary trading: what was opened and ended, and what is open and healthy now. Pure.

On each market one trade follows another, never two at once. A healthy open row is younger than two and a half hours, so that it
never counts as aged before the demo bot closes it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from posguard.demo.case import Desk
from posguard.demo.incidents import windows
from posguard.demo.markets import DemoMarket, markets, price_at
from posguard.demo.trade import CLOSED_BEFORE, Trade

HOURS = 8
HEALTHY = 34
OLDEST_HEALTHY = timedelta(minutes=96)
_YOUNGEST_HEALTHY = timedelta(minutes=4)
_QUIET = timedelta(minutes=2)  # nothing ends so shortly before now, but what goes on
# How an attempt ended, by share; the incident's period rolled 9.5 per cent back.
_ENDINGS = (("closed", 0.845), ("rolled_back", 0.095), ("failed", 0.035), ("canceled", 0.025))
_REASONS = (
    ("take_profit", 0.34),
    ("stop_loss", 0.24),
    ("trailing_stop", 0.27),
    ("signal", 0.12),
    ("phantom", 0.03),
)


def healthy_and_ended(desk: Desk, reserved: set[tuple[str, str]]) -> tuple[list[Trade], list[Trade]]:
    """The open and healthy trades, and all that ended, on the markets that are not reserved."""
    free = [market for key, market in markets().items() if key not in reserved]
    dice = random.Random(f"history/{desk.seed}")  # noqa: S311 - a made-up history
    holding = {market for exchange in ("binance", "bybit") for market in _half(free, exchange, dice)}
    healthy: list[Trade] = []
    ended: list[Trade] = []
    for market in free:
        until = desk.now - _QUIET
        if market in holding:
            healthy.append(_healthy(desk, market, dice, number=len(healthy)))
            until = healthy[-1].created_at
        ended += _past(desk, market, until, dice)
    return healthy, ended


def _half(free: list[DemoMarket], exchange: str, dice: random.Random) -> list[DemoMarket]:
    """Half of the healthy ones for each exchange; the coin with two names is held on both."""
    mine = [market for market in free if market.exchange == exchange]
    twins = [market for market in mine if "SHIB" in market.symbol]
    others = [market for market in mine if market not in twins]
    return twins + dice.sample(others, HEALTHY // 2 - len(twins))


def _healthy(desk: Desk, market: DemoMarket, dice: random.Random, *, number: int) -> Trade:
    span = (OLDEST_HEALTHY - _YOUNGEST_HEALTHY).total_seconds()
    at = desk.now - _YOUNGEST_HEALTHY - timedelta(seconds=round(dice.random() * span, 3))
    return replace(
        desk.trade(market.exchange, market.base, dice.choice(("long", "short")), _clear(desk, at)),
        name="",
        trailing=dice.random() < 0.6,
        whole_stop=market.exchange == "bybit" and number % 2 == 0,
    )


def _past(desk: Desk, market: DemoMarket, until: datetime, dice: random.Random) -> Iterator[Trade]:
    at = desk.now - timedelta(hours=HOURS) + timedelta(seconds=round(60 + dice.random() * 2700, 3))
    while True:
        lasts = timedelta(seconds=round(dice.triangular(240, 4800, 1500), 3))
        at = _clear(desk, at)
        if at + lasts >= until:
            return
        trade = _ended(desk, market, at, lasts, dice)
        yield trade
        at = (trade.closed_at or at) + timedelta(seconds=round(dice.triangular(180, 4200, 1200), 3))


def _ended(desk: Desk, market: DemoMarket, at: datetime, lasts: timedelta, dice: random.Random) -> Trade:
    side = dice.choice(("long", "short"))
    status = _pick(_ENDINGS, dice)
    sent = status in {"closed", "rolled_back"}
    trade = replace(
        desk.trade(market.exchange, market.base, side, at, entry_order=sent, stop=status == "closed"),
        name="",
        status=status,
    )
    if status != "closed":
        return _broken_off(desk, trade, dice)
    closed = at + lasts
    reason = _pick(_REASONS, dice)
    price = price_at(market, closed, desk.seed)
    if reason == "stop_loss":
        loss = Decimal(dice.randint(6, 30)) / 1000
        price = market.rounded(trade.entry_price * (1 - loss * trade.sign))
        trade = replace(trade, stop_price=price)
    return replace(
        trade,
        closed_at=closed,
        exit_price=price,
        exit_reason=reason,
        trailing=reason == "trailing_stop",
        close_order=desk.ids.order(market.exchange, closed - CLOSED_BEFORE),
    )


def _broken_off(desk: Desk, trade: Trade, dice: random.Random) -> Trade:
    """An attempt that never became a position for long."""
    after = {"rolled_back": dice.uniform(2.4, 6.5), "failed": 0.4, "canceled": 1.0}[trade.status or ""]
    closed = trade.created_at + timedelta(seconds=round(after, 3))
    if trade.status != "rolled_back":
        reason = "insufficient funds" if trade.status == "failed" else "signal withdrawn"
        return replace(trade, closed_at=closed, exit_reason=reason)
    return replace(
        trade,
        closed_at=closed,
        exit_reason="rollback: no stop-loss",
        exit_price=trade.market.rounded(trade.entry_price * (1 - Decimal("0.0008") * trade.sign)),
        close_order=desk.ids.order(trade.market.exchange, closed - CLOSED_BEFORE),
        error="Atomic position creation failed: no stop-loss",
    )


def _clear(desk: Desk, at: datetime) -> datetime:
    """The time itself, or the end of an incident's window if it lies in one."""
    for start, end in windows(desk.now):
        if start <= at <= end:
            return end + (at - start) / 10 + timedelta(milliseconds=1)
    return at


def _pick(shares: tuple[tuple[str, float], ...], dice: random.Random) -> str:
    return dice.choices([word for word, _ in shares], [share for _, share in shares])[0]
