"""Placing, filling and cancelling: the rules both venues share. Each function changes the book or refuses."""

from dataclasses import dataclass
from decimal import Decimal

from posguard.simulator import ledger
from posguard.simulator.book import Book, opposite
from posguard.simulator.execution import end, fill, touch
from posguard.simulator.records import (
    ZERO,
    Account,
    Intent,
    Market,
    Order,
    Position,
    PositionSide,
    Reason,
    Refused,
    Status,
)

POST_ONLY = "post only would take"


@dataclass(slots=True, frozen=True)
class Twist:
    """How the next order is made to misbehave; a fault sets it for one request."""

    fill_ratio: Decimal | None = None  # fill no more than this share
    pieces: int = 1  # fill in so many executions
    stop_ends: str = ""  # rejected | expired: a conditional order is accepted, then ends so
    defer: bool = False  # accept, but do not fill yet


STRAIGHT = Twist()


def place(book: Book, account: Account, intent: Intent, twist: Twist = STRAIGHT) -> Order:
    """Accept an order and let it trade; Refused leaves no trace."""
    with book.one_instant():
        return _place(book, account, intent, twist)


def _place(book: Book, account: Account, intent: Intent, twist: Twist) -> Order:
    market = book.market(account.venue, intent.symbol)
    _check_mode(account, intent)
    _check_filters(market, intent)
    _check_client_id(book, account, intent.client_id)
    if intent.trigger is not None:
        _check_trigger(account, market, intent)
        return book.keep_order(account, _order_of(book, account, market, intent))
    reducing = _check_reduce_only(book, account, intent)
    _check_funds(book, account, market, intent, reducing)
    order = _order_of(book, account, market, intent)
    # Binance refuses a post-only order that would take; Bybit accepts it and ends it at once.
    if order.tif == "GTX" and account.venue == "binance" and _crosses(order, market):
        raise Refused(Reason.POST_ONLY)
    book.keep_order(account, order)
    if not twist.defer:
        match(book, account, order, twist)
    return order


def _order_of(book: Book, account: Account, market: Market, intent: Intent) -> Order:
    now = book.now()
    kind = "algo" if intent.trigger is not None else "order"
    return Order(
        id=book.next_id(account.venue, kind),
        symbol=intent.symbol,
        side=intent.side,
        kind=intent.kind,
        qty=intent.qty,
        client_id=intent.client_id,
        position_side=intent.position_side,
        price=intent.price,
        tif=intent.tif,
        reduce_only=intent.reduce_only,
        close_position=intent.close_position,
        trigger=intent.trigger,
        rising=intent.rising,
        purpose=intent.purpose,
        trigger_by=intent.trigger_by,
        status=Status.UNTRIGGERED if intent.trigger is not None else Status.NEW,
        created_ms=now,
        updated_ms=now,
        origin=intent.origin,
        last_on_create=market.last,
        stop_loss=intent.stop_loss,
        take_profit=intent.take_profit,
    )


# -- checks, in the order the venues answer


def _check_mode(account: Account, intent: Intent) -> None:
    if account.hedged == (intent.position_side == "both"):
        raise Refused(Reason.MODE_MISMATCH, intent.position_side)


def _check_filters(market: Market, intent: Intent) -> None:
    if not market.trading:
        raise Refused(Reason.BAD_SYMBOL, market.symbol)
    if not intent.close_position:
        if intent.qty < market.min_qty:
            raise Refused(Reason.MIN_QUANTITY, str(intent.qty))
        if intent.qty > market.max_qty:
            raise Refused(Reason.MAX_QUANTITY, str(intent.qty))
        if not ledger.is_multiple(intent.qty, market.step):
            raise Refused(Reason.STEP, str(intent.qty))
    for price in (intent.price, intent.trigger, intent.stop_loss, intent.take_profit):
        if price is not None and (price < ZERO or not ledger.is_multiple(price, market.tick)):
            raise Refused(Reason.TICK, str(price))
    if intent.kind == "limit" and intent.price <= ZERO:
        raise Refused(Reason.BAD_PARAMETER, "price")
    exempt = intent.reduce_only or intent.close_position or intent.origin != "user"
    if not exempt and intent.qty * (intent.price or market.last) < market.min_notional:
        raise Refused(Reason.MIN_NOTIONAL, str(market.min_notional))


def _check_client_id(book: Book, account: Account, client_id: str) -> None:
    ids = account.client_ids.get(client_id) if client_id else None
    if ids and (book.strict_ids[account.venue] or any(account.orders[i].live for i in ids)):
        raise Refused(Reason.DUPLICATE_ID, client_id)


def _check_trigger(account: Account, market: Market, intent: Intent) -> None:
    current = market.mark if intent.trigger_by == "mark" else market.last
    trigger = intent.trigger or ZERO
    if trigger <= ZERO:
        raise Refused(Reason.BAD_PARAMETER, "triggerPrice")
    crossed = trigger <= current if intent.rising else trigger >= current
    if crossed:
        raise Refused(Reason.WOULD_TRIGGER, f"{'rising' if intent.rising else 'falling'} {trigger} {current}")
    # Binance checks a conditional order against the position only when it fires, Bybit at once.
    if account.venue == "bybit" and intent.reduce_only:
        leg = _closing_leg(account, intent.position_side, intent.symbol)
        if not ledger.reducible(leg, intent.side):
            raise Refused(Reason.REDUCE_ONLY, "current position is zero")


def _closing_leg(account: Account, side: PositionSide, symbol: str) -> Position | None:
    return account.positions.get((symbol, side))


def _check_reduce_only(book: Book, account: Account, intent: Intent) -> Decimal:
    """How much of the order takes off a position; refuses what may only reduce and cannot."""
    leg = book.position(account, intent.symbol, intent.position_side)
    room = ledger.reducible(leg, intent.side)
    must = intent.reduce_only or intent.close_position
    closes_leg = intent.position_side != "both" and _closes(intent.position_side, intent.side)
    if (must or closes_leg) and room == ZERO:
        raise Refused(Reason.REDUCE_ONLY, "there is nothing to reduce")
    if closes_leg and intent.qty > room:
        raise Refused(Reason.REDUCE_ONLY, "more than the leg holds")
    return min(room, intent.qty)


def _closes(position_side: PositionSide, side: str) -> bool:
    return (position_side == "long") == (side == "sell")


def _check_funds(book: Book, account: Account, market: Market, intent: Intent, reducing: Decimal) -> None:
    if intent.reduce_only or intent.close_position:
        return
    opening = intent.qty - reducing
    price = intent.price or market.last
    need = opening * price / account.leverage_of(market.symbol)
    if opening and need > book.totals(account, market.settle).available:
        raise Refused(Reason.NO_FUNDS, str(need))


# -- conditional orders


# -- matching


def match(book: Book, account: Account, order: Order, twist: Twist = STRAIGHT) -> None:
    """Fill what can be filled now; what a market, IOC or FOK order leaves over ends."""
    market = book.market(account.venue, order.symbol)
    crosses = order.kind == "market" or _crosses(order, market)
    if crosses and order.tif == "GTX":
        order.why = POST_ONLY
        end(book, account, order, Status.EXPIRED)
        return
    quantity = _fillable(book, account, order, market, twist) if crosses else ZERO
    if order.tif == "FOK" and quantity < order.remaining:
        quantity = ZERO
    if quantity > ZERO:
        if market.liquidity is not None:
            market.liquidity -= quantity
        price = market.last if order.kind == "market" else _better(order, market)
        for part in _parts(quantity, market.step, twist.pieces):
            fill(book, account, order, part, price)
    if order.live and (order.kind == "market" or order.tif in ("IOC", "FOK")):
        order.why = "nothing left to match"
        end(book, account, order, Status.EXPIRED)


def _parts(quantity: Decimal, step: Decimal, pieces: int) -> list[Decimal]:
    """The quantity in so many parts of whole steps, fewer where there are not enough steps."""
    share = max(ledger.floor_to(quantity / pieces, step), step)
    parts: list[Decimal] = []
    while len(parts) < pieces - 1 and quantity > share:
        parts.append(share)
        quantity -= share
    return [*parts, quantity]


def _crosses(order: Order, market: Market) -> bool:
    return market.last <= order.price if order.side == "buy" else market.last >= order.price


def _better(order: Order, market: Market) -> Decimal:
    return min(order.price, market.last) if order.side == "buy" else max(order.price, market.last)


def _fillable(book: Book, account: Account, order: Order, market: Market, twist: Twist) -> Decimal:
    quantity = order.remaining
    if order.reduces:
        leg = book.position(account, order.symbol, order.position_side)
        quantity = min(quantity, ledger.reducible(leg, order.side))
    if twist.fill_ratio is not None:
        quantity = min(quantity, ledger.floor_to(order.qty * twist.fill_ratio, market.step))
    if market.liquidity is not None:
        quantity = min(quantity, ledger.floor_to(market.liquidity, market.step))
    return quantity


# -- cancelling, stops on the position, manual trades


def cancel(book: Book, account: Account, order: Order) -> Order:
    """Cancel a live order; one that is done is not found, as the venues answer."""
    if not order.live:
        raise Refused(Reason.NOT_FOUND, order.id)
    order.why = "user"
    end(book, account, order, Status.CANCELED)
    if order.whole:
        leg = book.leg(account, order.symbol, order.position_side)
        if order.purpose == "take_profit":
            leg.take_profit = None
        else:
            leg.stop_loss = None
    return order


def amend(
    book: Book,
    account: Account,
    order: Order,
    *,
    qty: Decimal | None = None,
    price: Decimal | None = None,
    trigger: Decimal | None = None,
) -> Order:
    """Change a live order in place: what is None stays. Refused leaves it as it was."""
    if not order.live:
        raise Refused(Reason.NOT_FOUND, order.id)
    intent = Intent(
        symbol=order.symbol,
        side=order.side,
        kind=order.kind,
        qty=order.qty if qty is None else qty,
        position_side=order.position_side,
        price=order.price if price is None else price,
        reduce_only=order.reduce_only,
        close_position=order.close_position,
        trigger=order.trigger if trigger is None else trigger,
        rising=order.rising,
        trigger_by=order.trigger_by,
    )
    if (intent.qty, intent.price, intent.trigger) == (order.qty, order.price, order.trigger):
        raise Refused(Reason.NOT_CHANGED, "amend")
    market = book.market(account.venue, order.symbol)
    _check_filters(market, intent)
    if order.trigger is not None:
        _check_trigger(account, market, intent)
    order.qty, order.price, order.trigger = intent.qty, intent.price, intent.trigger
    touch(book, account, order)
    return order


def close_by_market(
    book: Book, account: Account, leg: Position, *, origin: str, kind: str = "trade"
) -> Order:
    """Close a leg whole at the last price: by hand, by liquidation or by auto-deleveraging."""
    if leg.amount == ZERO:
        raise Refused(Reason.NO_POSITION, leg.symbol)
    side = opposite("buy" if leg.amount > ZERO else "sell")
    return _trade(book, account, leg, side, abs(leg.amount), origin=origin, kind=kind)


def trade_by_hand(
    book: Book, account: Account, symbol: str, side: PositionSide, delta: Decimal, *, origin: str = "manual"
) -> Order:
    """A trade past the API, buying where delta is positive; it may open, add, reduce or flip."""
    book.market(account.venue, symbol)
    if delta == ZERO:
        raise Refused(Reason.MIN_QUANTITY, "0")
    leg = book.leg(account, symbol, side)
    return _trade(
        book, account, leg, "buy" if delta > ZERO else "sell", abs(delta), origin=origin, kind="trade"
    )


def _trade(
    book: Book, account: Account, leg: Position, side: str, qty: Decimal, *, origin: str, kind: str
) -> Order:
    market = book.market(account.venue, leg.symbol)
    names = {"liquidation": "autoclose-", "adl": "adl_autoclose-", "manual": "web_"}
    client_id = f"{names.get(origin, '')}{book.next_seq()}" if account.venue == "binance" else ""
    intent = Intent(
        symbol=leg.symbol,
        side="buy" if side == "buy" else "sell",
        kind="market",
        qty=qty,
        client_id=client_id,
        position_side=leg.side,
        tif="IOC",
        origin=origin,
    )
    order = book.keep_order(account, _order_of(book, account, market, intent))
    fill(book, account, order, qty, market.last, kind=kind)
    return order
