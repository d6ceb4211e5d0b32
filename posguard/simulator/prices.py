"""Prices move: stops fire, resting orders trade, accounts are liquidated, in that order."""

from dataclasses import replace
from decimal import Decimal

from posguard.simulator import ledger, margin
from posguard.simulator.book import Book
from posguard.simulator.execution import end, fill
from posguard.simulator.orders import close_by_market, match
from posguard.simulator.records import ZERO, Account, Market, Order, Position, Reason, Refused, Status, Venue


def set_price(
    book: Book, venue: Venue, symbol: str, last: Decimal, mark: Decimal | None = None
) -> list[Order]:
    """Move a market and return the stops that fired; the mark follows the last price unless it is given."""
    if last <= ZERO or (mark is not None and mark <= ZERO):
        raise Refused(Reason.BAD_PARAMETER, "a price is above zero")
    market = book.market(venue, symbol)
    market.last, market.mark = last, last if mark is None else mark
    return settle(book, market)


def settle(book: Book, market: Market) -> list[Order]:
    """Let every account of the venue feel the market's present price."""
    with book.one_instant():
        return _settle(book, market)


def _settle(book: Book, market: Market) -> list[Order]:
    fired: list[Order] = []
    for account in list(book.accounts.values()):
        if account.venue != market.venue:
            continue
        waiting = sorted(account.open_orders.values(), key=lambda o: o.seq)
        for order in waiting:
            if order.symbol != market.symbol or not order.live:
                continue
            if order.waiting:
                if reached(order, market):
                    fire(book, account, order)
                    fired.append(order)
            else:
                _rest(book, account, order, market)
        liquidate_if_due(book, account, market)
    return fired


def reached(order: Order, market: Market) -> bool:
    """Whether the price has come to the order's trigger."""
    price = market.mark if order.trigger_by == "mark" else market.last
    trigger = order.trigger or ZERO
    return price >= trigger if order.rising else price <= trigger


def _rest(book: Book, account: Account, order: Order, market: Market) -> None:
    crossed = market.last <= order.price if order.side == "buy" else market.last >= order.price
    if not crossed:
        return
    room = ledger.reducible(_leg(account, order), order.side)
    quantity = min(order.remaining, room) if order.reduces else order.remaining
    if quantity:
        fill(book, account, order, quantity, order.price, maker=True)
    if order.live:
        order.why = "nothing left to reduce"
        end(book, account, order, Status.EXPIRED)


def _leg(account: Account, order: Order) -> Position | None:
    return account.positions.get((order.symbol, order.position_side))


def fire(book: Book, account: Account, order: Order) -> None:
    """A conditional order's trigger is reached: it trades, or is rejected where nothing can be reduced."""
    order.triggered_ms = order.updated_ms = book.now()
    order.status = Status.TRIGGERED
    book.refresh(account, order)
    room = ledger.reducible(_leg(account, order), order.side)
    quantity = order.qty
    if order.whole or order.close_position:
        quantity = room
    elif order.reduces:
        quantity = min(order.qty, room)
    if quantity == ZERO:
        order.status, order.why = Status.REJECTED, "nothing left to reduce"
        return
    if account.venue == "binance":
        _fire_child(book, account, order, quantity)
        return
    # Bybit: the order that waited is the order that trades.
    order.qty = quantity if order.whole else order.qty
    order.status = Status.NEW
    book.refresh(account, order)
    match(book, account, order)


def _fire_child(book: Book, account: Account, order: Order, quantity: Decimal) -> None:
    """Binance: the conditional order stays as a record, a plain order trades under an id of its own."""
    child = replace(
        order,
        id=book.next_id(account.venue, "order"),
        qty=quantity,
        trigger=None,
        rising=None,
        status=Status.NEW,
        parent_id=order.id,
        created_ms=book.now(),
        seq=0,
        close_position=False,
        reduce_only=order.reduce_only or order.close_position,
    )
    book.keep_order(account, child)
    order.child_id = child.id
    match(book, account, child)
    order.filled, order.cost, order.fee = child.filled, child.cost, child.fee
    order.updated_ms = book.now()


def liquidate_if_due(book: Book, account: Account, market: Market) -> list[Order]:
    """Close the account's worst positions until its balance covers the maintenance margin again."""
    closed: list[Order] = []
    while True:
        whole = book.totals(account, market.settle)
        if whole.maintenance == ZERO or whole.balance >= whole.maintenance:
            return closed
        worst = min(
            (p for p in book.open_positions(account) if _settles(book, account, p, market.settle)),
            key=lambda p: margin.unrealized(p, book.market(account.venue, p.symbol)),
        )
        closed.append(close_by_market(book, account, worst, origin="liquidation", kind="liquidation"))


def _settles(book: Book, account: Account, position: Position, coin: str) -> bool:
    return book.market(account.venue, position.symbol).settle == coin


def drift(book: Book, *, per_mille: int = 2) -> None:
    """One step of the seeded random walk for every market, at most so many thousandths either way."""
    for key in sorted(book.markets):
        market = book.markets[key]
        move = Decimal(book.random.randint(-per_mille * 100, per_mille * 100)) / 100_000
        price = ledger.floor_to(market.last * (1 + move), market.tick)
        if price > ZERO:
            set_price(book, market.venue, market.symbol, price)
