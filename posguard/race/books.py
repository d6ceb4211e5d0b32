"""The venue's side of a race world: markets for its symbols, what the book holds of them, and clearing it away."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from posguard.race.judge import BookFact
from posguard.simulator import ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from posguard.simulator.book import Book
    from posguard.simulator.records import Account, Order, Position, Venue

_WALLET = Decimal(1_000_000)
_ZERO = Decimal(0)


def race_symbols(count: int) -> tuple[str, ...]:
    """TESTUSDT, TEST1USDT, TEST2USDT, …: no exchange lists one of them."""
    return tuple(f"TEST{number or ''}USDT" for number in range(count))


def add_markets(book: Book, exchange: Venue, symbols: Sequence[str]) -> None:
    """Lists the symbols, each as TESTUSDT is: price 1, steps of 0.1 and 0.0001."""
    model = book.market(exchange, "TESTUSDT")
    for symbol in symbols:
        if (exchange, symbol) not in book.markets:
            book.add_market(replace(model, symbol=symbol, base=symbol.removesuffix("USDT")))
    book.account(exchange).wallet["USDT"] = _WALLET


def clear(book: Book, exchange: Venue, symbols: Collection[str]) -> None:
    """Forgets everything of these symbols; prices, wallet and other symbols' state are as at first."""
    account, gone = book.account(exchange), frozenset(symbols)
    account.positions = {key: leg for key, leg in account.positions.items() if leg.symbol not in gone}
    account.orders = {key: order for key, order in account.orders.items() if order.symbol not in gone}
    account.open_orders = {
        key: order for key, order in account.open_orders.items() if order.symbol not in gone
    }
    account.client_ids = {
        name: left
        for name, ids in account.client_ids.items()
        if (left := [one for one in ids if one in account.orders])
    }
    account.fills = [fill for fill in account.fills if fill.symbol not in gone]
    account.wallet["USDT"] = _WALLET
    for symbol in gone:
        market = book.market(exchange, symbol)
        market.last = market.mark = Decimal(1)


def book_facts(book: Book, exchange: Venue, symbols: Collection[str]) -> dict[str, BookFact]:
    """What the book holds of each symbol."""
    account = book.account(exchange)
    orders: dict[str, list[Order]] = {symbol: [] for symbol in symbols}
    for order in account.orders.values():
        if order.symbol in orders:
            orders[order.symbol].append(order)
    return {symbol: _fact(account, symbol, mine) for symbol, mine in orders.items()}


def _fact(account: Account, symbol: str, orders: Sequence[Order]) -> BookFact:
    leg = account.positions.get((symbol, "both"))
    amount = leg.amount if leg is not None else _ZERO
    sent = [o for o in orders if o.filled and not o.conditional and not o.parent_id and o.origin == "user"]
    stops = [o for o in orders if o.waiting and o.reduces and o.purpose != "take_profit"]
    covering = [o for o in stops if ledger.reducible(leg, o.side) and o.rising is (amount < _ZERO)]
    return BookFact(
        amount=amount,
        covered=sum((_covers(order, leg) for order in covering), _ZERO),
        orphan_stops=sum(1 for order in stops if not ledger.reducible(leg, order.side)),
        entries=tuple(order.filled for order in sent if not order.reduces),
        closed=sum((order.filled for order in sent if order.reduces), _ZERO),
    )


def _covers(order: Order, leg: Position | None) -> Decimal:
    whole = order.close_position or order.whole
    return abs(leg.amount) if whole and leg is not None else order.qty
