"""Placing, filling and cancelling: the rules both venues share. Each function changes the book or refuses."""

from dataclasses import dataclass
from decimal import Decimal

from posguard.simulator import ledger
from posguard.simulator.book import Book, opposite
from posguard.simulator.records import (
    ZERO,
    Account,
    Fill,
    Intent,
    Market,
    Order,
    Position,
    PositionSide,
    Reason,
    Refused,
    Status,
)


@dataclass(slots=True, frozen=True)
class Twist:
    """How the next order is made to misbehave; a fault sets it for one request."""

    fill_ratio: Decimal | None = None  # fill no more than this share
    stop_ends: str = ""  # rejected | expired: a conditional order is accepted, then ends so
    defer: bool = False  # accept, but do not fill yet


STRAIGHT = Twist()


def place(book: Book, account: Account, intent: Intent, twist: Twist = STRAIGHT) -> Order:
    """Accept an order and let it trade; Refused leaves no trace."""
    market = book.market(account.venue, intent.symbol)
    _check_mode(account, intent)
    _check_filters(market, intent)
    _check_client_id(book, account, intent.client_id)
    if intent.trigger is not None:
        _check_trigger(account, market, intent)
        return _wait_for_trigger(book, account, market, intent, twist)
    reducing = _check_reduce_only(book, account, intent)
    _check_funds(book, account, market, intent, reducing)
    order = book.keep_order(account, _order_of(book, account, market, intent))
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


def _wait_for_trigger(book: Book, account: Account, market: Market, intent: Intent, twist: Twist) -> Order:
    order = book.keep_order(account, _order_of(book, account, market, intent))
    if twist.stop_ends:
        end_stop(book, account, order, twist.stop_ends)
    return order


def end_stop(book: Book, account: Account, order: Order, how: str) -> None:
    """The venue gives up on a waiting conditional order by itself: rejected or expired."""
    order.status = Status.REJECTED if how == "rejected" else Status.EXPIRED
    order.why = f"{how} by the venue"
    _touch(book, account, order)


# -- matching


def match(book: Book, account: Account, order: Order, twist: Twist = STRAIGHT) -> None:
    """Fill what can be filled now; what a market, IOC or FOK order leaves over ends."""
    market = book.market(account.venue, order.symbol)
    crosses = order.kind == "market" or _crosses(order, market)
    if crosses and order.tif == "GTX":
        order.why = "post only would take"
        _end(book, account, order, Status.EXPIRED)
        return
    quantity = _fillable(book, account, order, market, twist) if crosses else ZERO
    if order.tif == "FOK" and quantity < order.remaining:
        quantity = ZERO
    if quantity > ZERO:
        price = market.last if order.kind == "market" else _better(order, market)
        fill(book, account, order, quantity, price)
    if order.live and (order.kind == "market" or order.tif in ("IOC", "FOK")):
        order.why = "nothing left to match"
        _end(book, account, order, Status.EXPIRED)


def _crosses(order: Order, market: Market) -> bool:
    return market.last <= order.price if order.side == "buy" else market.last >= order.price


def _better(order: Order, market: Market) -> Decimal:
    return min(order.price, market.last) if order.side == "buy" else max(order.price, market.last)


def _fillable(book: Book, account: Account, order: Order, market: Market, twist: Twist) -> Decimal:
    quantity = order.remaining
    if order.reduce_only or order.close_position or order.position_side != "both":
        leg = book.position(account, order.symbol, order.position_side)
        if order.reduce_only or order.close_position or _closes(order.position_side, order.side):
            quantity = min(quantity, ledger.reducible(leg, order.side))
    if twist.fill_ratio is not None:
        quantity = min(quantity, ledger.floor_to(order.qty * twist.fill_ratio, market.step))
    if market.liquidity is not None:
        quantity = min(quantity, ledger.floor_to(market.liquidity, market.step))
        market.liquidity -= quantity
    return quantity


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
    _touch(book, account, order)
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
        if mine and (order.whole or order.close_position):
            order.why = "the position is closed"
            _end(book, account, order, Status.CANCELED if order.whole else Status.EXPIRED)


def _end(book: Book, account: Account, order: Order, status: Status) -> None:
    order.status = status
    _touch(book, account, order)


def _touch(book: Book, account: Account, order: Order) -> None:
    order.updated_ms = book.now()
    book.refresh(account, order)


# -- cancelling, stops on the position, manual trades


def cancel(book: Book, account: Account, order: Order) -> Order:
    """Cancel a live order; one that is done is not found, as the venues answer."""
    if not order.live:
        raise Refused(Reason.NOT_FOUND, order.id)
    order.why = "user"
    _end(book, account, order, Status.CANCELED)
    if order.whole:
        leg = book.leg(account, order.symbol, order.position_side)
        if order.purpose == "take_profit":
            leg.take_profit = None
        else:
            leg.stop_loss = None
    return order


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
            _end(book, account, order, Status.CANCELED)
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
