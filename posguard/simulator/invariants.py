"""What must hold on the venues' own books, whatever the clients believe."""

import re
from collections import Counter
from decimal import Decimal

from posguard.simulator import ledger
from posguard.simulator.book import Book
from posguard.simulator.records import ZERO, Account, Order, Position


def violations(book: Book, *, intent: str = r"^(?P<intent>.+)$") -> list[str]:
    """One sentence per violation; empty when all holds.

    `intent` is a regular expression whose group names what of a client id stands for the intent.
    """
    pattern = re.compile(intent)
    found: list[str] = []
    for (venue, name), account in sorted(book.accounts.items()):
        where = f"{venue}/{name}"
        found += [f"{where}: {text}" for text in twice_filled(account, pattern)]
        found += [f"{where}: {text}" for text in unprotected(account)]
        found += [f"{where}: {text}" for text in orphaned_stops(account)]
    return found


def twice_filled(account: Account, pattern: re.Pattern[str]) -> list[str]:
    """At most one order that traded per intent."""
    traded: Counter[tuple[str, str]] = Counter()
    for order in account.orders.values():
        if order.filled and order.client_id and not order.conditional and order.origin == "user":
            match = pattern.match(order.client_id)
            traded[order.symbol, match["intent"] if match else order.client_id] += 1
    return [
        f"{times} orders of {symbol} traded for one intent {intent!r}"
        for (symbol, intent), times in sorted(traded.items())
        if times > 1
    ]


def unprotected(account: Account) -> list[str]:
    """No position without a live stop on its losing side that covers it."""
    found = []
    for _, leg in sorted(account.positions.items()):
        if leg.amount == ZERO or leg.stop_loss is not None:
            continue
        covered = sum((_covers(o, leg) for o in account.open_orders.values()), ZERO)
        if covered < abs(leg.amount):
            found.append(f"{leg.symbol} {leg.side} {leg.amount} is protected for {covered} only")
    return found


def _covers(order: Order, leg: Position) -> Decimal:
    if order.symbol != leg.symbol or order.position_side != leg.side or not order.waiting:
        return ZERO
    if not ledger.reducible(leg, order.side) or order.purpose == "take_profit":
        return ZERO
    if order.rising is not (leg.amount < ZERO):
        return ZERO
    return abs(leg.amount) if order.close_position or order.whole else order.qty


def orphaned_stops(account: Account) -> list[str]:
    """No live closing stop whose position is gone."""
    found = []
    for order in sorted(account.open_orders.values(), key=lambda o: o.seq):
        closing = order.reduce_only or order.close_position or order.whole or order.position_side != "both"
        leg = account.positions.get((order.symbol, order.position_side))
        if order.waiting and closing and not ledger.reducible(leg, order.side):
            found.append(f"stop {order.id} of {order.symbol} {order.position_side} has nothing to close")
    return found
