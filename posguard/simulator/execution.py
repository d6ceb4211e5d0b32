"""What an execution does to order, position, wallet and history, and the stops that belong to a position."""

from decimal import Decimal

from posguard.simulator import ledger
from posguard.simulator.book import Book
from posguard.simulator.records import ZERO, Account, Fill, Order, Position, Reason, Refused, Status


def fill(
    book: Book,
    account: Account,
    order: Order,
    quantity: Decimal,
    price: Decimal,
    *,
    maker: bool = False,
    kind: str = "trade",
) -> Fill:
    """One execution: order, position, wallet and history move together."""
    market = book.market(account.venue, order.symbol)
    now = book.now()
    leg = book.leg(account, order.symbol, order.position_side)
    change = ledger.after_fill(leg.amount, leg.entry, ledger.signed(order.side, quantity), price)
    fee = quantity * price * (market.maker_fee if maker else market.taker_fee)
    made = Fill(
        id=book.next_id(account.venue, "fill"),
        order_id=order.id,
        client_id=order.client_id,
        symbol=order.symbol,
        side=order.side,
        qty=quantity,
        price=price,
        time_ms=now,
        position_side=order.position_side,
        fee=fee,
        realized=change.realized,
        closed=change.closed,
        maker=maker,
        kind=kind,
        purpose=order.purpose if order.conditional or order.parent_id else "",
        origin=order.origin,
        whole=order.whole,
        order_qty=order.qty,
        order_kind=order.kind,
        seq=book.next_seq(),
    )
    account.fills.append(made)
    if len(account.fills) > 1 and account.fills[-2].time_ms > now:
        account.fills.sort(key=lambda f: (f.time_ms, f.seq))
    account.wallet[market.settle] = account.wallet.get(market.settle, ZERO) + change.realized - fee
    order.filled += quantity
    order.cost += quantity * price
    order.fee += fee
    order.status = Status.FILLED if order.filled >= order.qty else Status.PARTIAL
    touch(book, account, order)
    _move_leg(book, account, leg, change, now)
    if leg.amount and (order.stop_loss is not None or order.take_profit is not None):
        set_position_stops(book, account, leg, order.stop_loss, order.take_profit)
    return made


def _move_leg(book: Book, account: Account, leg: Position, change: ledger.Change, now: int) -> None:
    was = leg.amount
    leg.amount, leg.entry = change.amount, change.entry
    leg.total_realized += change.realized
    leg.updated_ms, leg.seq = now, book.next_seq()
    flipped = was and change.amount and (was > ZERO) != (change.amount > ZERO)
    if was == ZERO or flipped:
        leg.opened_ms, leg.realized = now, ZERO
    else:
        leg.realized += change.realized
    if was and (change.amount == ZERO or flipped):
        _clear_whole_stops(book, account, leg)


def _clear_whole_stops(book: Book, account: Account, leg: Position) -> None:
    """Stops that belong to the position go with it; reduce-only orders of their own stay, as on the venues."""
    leg.stop_loss = leg.take_profit = None
    for order in list(account.open_orders.values()):
        mine = order.symbol == leg.symbol and order.position_side == leg.side and order.conditional
        belongs = order.origin == "position_stop"
        if mine and (belongs or order.close_position):
            order.why = "the position is closed"
            end(book, account, order, Status.CANCELED if belongs else Status.EXPIRED)


def end(book: Book, account: Account, order: Order, status: Status) -> None:
    """The order is over."""
    order.status = status
    touch(book, account, order)


def touch(book: Book, account: Account, order: Order) -> None:
    """The order has changed now."""
    order.updated_ms = book.now()
    book.refresh(account, order)


def end_stop(book: Book, account: Account, order: Order, how: str) -> None:
    """The venue gives up on a waiting conditional order by itself: rejected or expired."""
    order.status = Status.REJECTED if how == "rejected" else Status.EXPIRED
    order.why = f"{how} by the venue"
    touch(book, account, order)


def set_position_stops(
    book: Book,
    account: Account,
    leg: Position,
    stop_loss: Decimal | None,
    take_profit: Decimal | None,
) -> None:
    """Stops on the position itself (Bybit): None leaves one as it is, zero removes it."""
    if leg.amount == ZERO:
        raise Refused(Reason.NO_POSITION, leg.symbol)
    for purpose, price in (("stop_loss", stop_loss), ("take_profit", take_profit)):
        if price is not None:
            _check_position_stop(book, account, leg, purpose, price)
    for purpose, price in (("stop_loss", stop_loss), ("take_profit", take_profit)):
        if price is not None:
            _replace_position_stop(book, account, leg, purpose, price)


def _rises(leg: Position, purpose: str) -> bool:
    return (leg.amount < ZERO) == (purpose == "stop_loss")


def _check_position_stop(book: Book, account: Account, leg: Position, purpose: str, price: Decimal) -> None:
    market = book.market(account.venue, leg.symbol)
    if price and not ledger.is_multiple(price, market.tick):
        raise Refused(Reason.TICK, str(price))
    through = price <= market.last if _rises(leg, purpose) else price >= market.last
    if price and through:
        side = "Buy" if leg.amount > ZERO else "Sell"
        raise Refused(Reason.WOULD_TRIGGER, f"position {purpose} {price} {side} {market.last}")


def _replace_position_stop(book: Book, account: Account, leg: Position, purpose: str, price: Decimal) -> None:
    for order in list(account.open_orders.values()):
        same = order.symbol == leg.symbol and order.position_side == leg.side
        if same and order.whole and order.purpose == purpose:
            order.why = "replaced"
            end(book, account, order, Status.CANCELED)
    if purpose == "take_profit":
        leg.take_profit = price or None
    else:
        leg.stop_loss = price or None
    if price:
        book.keep_order(account, position_stop(book, account, leg, purpose, price))


def position_stop(book: Book, account: Account, leg: Position, purpose: str, price: Decimal) -> Order:
    """The conditional order that stands for a stop on the position."""
    now = book.now()
    return Order(
        id=book.next_id(account.venue, "algo"),
        symbol=leg.symbol,
        side="sell" if leg.amount > ZERO else "buy",
        kind="market",
        qty=abs(leg.amount),
        position_side=leg.side,
        tif="IOC",
        reduce_only=True,
        whole=True,
        trigger=price,
        rising=_rises(leg, purpose),
        purpose=purpose,
        status=Status.UNTRIGGERED,
        created_ms=now,
        updated_ms=now,
        origin="position_stop",
        last_on_create=book.market(account.venue, leg.symbol).last,
    )


def add_part_stop(
    book: Book, account: Account, leg: Position, purpose: str, *, price: Decimal, size: Decimal
) -> Order:
    """A stop on a part of the position (Bybit): one of several, gone when the position is."""
    _check_position_stop(book, account, leg, purpose, price)
    if size > abs(leg.amount):
        raise Refused(Reason.MAX_QUANTITY, str(size))
    order = position_stop(book, account, leg, purpose, price)
    order.qty, order.whole = size, False
    return book.keep_order(account, order)
