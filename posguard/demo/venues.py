"""The demo world's venues: their books as the simulator's control API reads them, and how posguard reaches them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from posguard.demo.markets import EXCHANGES, markets, price_at
from posguard.model.venue import World
from posguard.settings import VenueSettings
from posguard.simulator.defaults import READ_KEY, READ_SECRET, TRADE_KEY, TRADE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from posguard.demo.records import Execution, Holding, Stop, VenueSide
    from posguard.demo.world import DemoWorld

ACCOUNT = "main"
_WALLET = "50000"
_FEE = {"binance": "0.0005", "bybit": "0.00055"}
Row = dict[str, Any]


def demo_venues(base_url: str) -> tuple[VenueSettings, ...]:
    """How posguard reaches both venues of a simulator at an address: with keys that only read."""
    return tuple(
        VenueSettings(
            exchange=exchange,  # type: ignore[arg-type]
            account=ACCOUNT,
            world=World.SIMULATOR,
            api_key=SecretStr(READ_KEY),
            api_secret=SecretStr(READ_SECRET),
            base_url=base_url,
        )
        for exchange in EXCHANGES
    )


def book_document(world: DemoWorld) -> dict[str, list[Row]]:
    """Both books of a world, for `SimulatorControl.load(replace=True, **document)`."""
    return {
        "markets": market_rows(world.now, world.seed),
        "accounts": [
            {"venue": exchange, "name": ACCOUNT, "wallet": {"USDT": _WALLET}} for exchange in EXCHANGES
        ],
        "keys": [_key(exchange, trade=trade) for exchange in EXCHANGES for trade in (True, False)],
        **holdings_document(world.venue),
    }


def holdings_document(side: VenueSide) -> dict[str, list[Row]]:
    """Positions, orders and fills alone."""
    whole = {(stop.exchange, stop.symbol): stop for stop in side.stops if stop.whole}
    fills = sorted(side.executions, key=lambda fill: fill.at)
    return {
        "positions": [
            _position(holding, number, whole.get((holding.exchange, holding.symbol)))
            for number, holding in enumerate(side.holdings, 1)
        ],
        "orders": [*(stop_row(stop) for stop in side.stops), *_fired(fills)],
        "fills": [_fill(fill) for fill in fills],
    }


def market_rows(at: datetime, seed: int) -> list[Row]:
    """Every market with its filters and its price at a time."""
    return [
        {
            "venue": market.exchange,
            "symbol": market.symbol,
            "base": market.base,
            "quote": "USDT",
            "settle": "USDT",
            "tick": str(market.tick),
            "step": str(market.step),
            "min_qty": str(market.step),
            "taker_fee": _FEE[market.exchange],
            "last": str(price_at(market, at, seed)),
        }
        for market in markets().values()
    ]


def price_rows(at: datetime, seed: int) -> list[Row]:
    """Every market's price at a time."""
    return [
        {"venue": market.exchange, "symbol": market.symbol, "last": str(price_at(market, at, seed))}
        for market in markets().values()
    ]


def stop_row(stop: Stop) -> Row:
    """A live stop as the book holds it."""
    row = {
        "venue": stop.exchange,
        "account": ACCOUNT,
        "id": stop.order_id,
        "client_id": "" if stop.whole else f"bot-sl-{stop.order_id[-12:]}",
        "symbol": stop.symbol,
        "side": _word(buys=stop.buys),
        "kind": "market",
        "qty": str(stop.quantity),
        "trigger": str(stop.trigger),
        "rising": stop.rising,
        "purpose": "stop_loss",
        "reduce_only": True,
        "created_ms": _ms(stop.created_at),
    }
    if stop.whole:
        row |= {"whole": True, "origin": "position_stop", "tif": "IOC"}
    return row


def _position(holding: Holding, number: int, stop: Stop | None) -> Row:
    row = {
        "venue": holding.exchange,
        "account": ACCOUNT,
        "symbol": holding.symbol,
        "amount": str(holding.amount),
        "entry": str(holding.entry),
        "opened_ms": _ms(holding.opened_at),
        # given, so that the book takes the stop's order from us and makes none of its own
        "seq": number,
    }
    return row | ({"stop_loss": str(stop.trigger)} if stop else {})


def _fired(fills: Iterable[Execution]) -> list[Row]:
    """The stops that fired, with the order that each became: Binance's stays as a record beside a plain order, Bybit's trades itself."""
    rows = []
    for fill in fills:
        if fill.stop_order_id is None:
            continue
        done = {
            "venue": fill.exchange,
            "account": ACCOUNT,
            "id": fill.stop_order_id,
            "symbol": fill.symbol,
            "side": _word(buys=fill.buys),
            "kind": "market",
            "qty": str(fill.quantity),
            "trigger": str(fill.price),
            "rising": fill.buys,
            "purpose": "stop_loss",
            "reduce_only": True,
            "status": "triggered" if fill.exchange == "binance" else "filled",
            "filled": str(fill.quantity),
            "cost": str(fill.quantity * fill.price),
            "created_ms": _ms(fill.at) - 60_000,
            "updated_ms": _ms(fill.at),
            "triggered_ms": _ms(fill.at),
        }
        if fill.exchange == "binance":
            done["child_id"] = fill.order_id
        rows.append(done)
    return rows


def _fill(fill: Execution) -> Row:
    return {
        "venue": fill.exchange,
        "account": ACCOUNT,
        "id": fill.trade_id,
        "order_id": fill.order_id,
        "symbol": fill.symbol,
        "side": _word(buys=fill.buys),
        "qty": str(fill.quantity),
        "price": str(fill.price),
        "time_ms": _ms(fill.at),
        "fee": str(fill.quantity * fill.price / 2000),
        "closed": str(fill.quantity) if fill.closes else "0",
        "kind": fill.kind,
        "purpose": "stop_loss" if fill.stop_order_id else "",
    }


def _key(exchange: str, *, trade: bool) -> Row:
    key, secret = (TRADE_KEY, TRADE_SECRET) if trade else (READ_KEY, READ_SECRET)
    return {"venue": exchange, "account": ACCOUNT, "key": key, "secret": secret, "trade": trade}


def _word(*, buys: bool) -> str:
    return "buy" if buys else "sell"


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
