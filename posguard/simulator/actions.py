"""What the world does to the book past the API: prices, trades by hand, stops that fire, liquidations.

One table serves the control API and the faults that act in the middle of a request.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from posguard.simulator import execution, orders, prices
from posguard.simulator.book import Book
from posguard.simulator.documents import account_of, venue_of
from posguard.simulator.records import ZERO, Account, ManualClock, Order, Position, Reason, Refused

Row = Mapping[str, Any]


def _leg(book: Book, row: Row) -> tuple[Account, Position]:
    account = account_of(book, row)
    symbol = str(row.get("symbol", ""))
    book.market(account.venue, symbol)
    side = row.get("side", "both")
    return account, book.leg(account, symbol, side)


def _order(book: Book, row: Row) -> tuple[Account, Order]:
    """By id, by client id, or the oldest waiting stop of a symbol."""
    account = account_of(book, row)
    if row.get("order_id") or row.get("client_id"):
        return account, book.order(account, str(row.get("order_id", "")), str(row.get("client_id", "")))
    waiting = [o for o in account.open_orders.values() if o.symbol == row.get("symbol") and o.conditional]
    if not waiting:
        raise Refused(Reason.NOT_FOUND, f"no waiting stop of {row.get('symbol')}")
    return account, min(waiting, key=lambda o: o.seq)


def _price(book: Book, row: Row) -> Any:
    mark = row.get("mark")
    fired = prices.set_price(
        book,
        venue_of(row),
        str(row.get("symbol", "")),
        Decimal(str(row["last"])),
        None if mark is None else Decimal(str(mark)),
    )
    return {"fired": [o.id for o in fired]}


def _trade(book: Book, row: Row) -> Any:
    account, leg = _leg(book, row)
    order = orders.trade_by_hand(book, account, leg.symbol, leg.side, Decimal(str(row["delta"])))
    return {"order_id": order.id}


def _close(book: Book, row: Row) -> Any:
    """Close a leg; with cancel_stops its conditional orders go in the same instant."""
    account, leg = _leg(book, row)
    order_id = orders.close_by_market(book, account, leg, origin="manual").id
    if row.get("cancel_stops"):
        for order in list(account.open_orders.values()):
            if order.conditional and (order.symbol, order.position_side) == (leg.symbol, leg.side):
                orders.cancel(book, account, order)
    return {"order_id": order_id}


def _protect(book: Book, row: Row) -> Any:
    """Put a stop-loss on the position itself."""
    account, leg = _leg(book, row)
    execution.set_position_stops(book, account, leg, Decimal(str(row["stop_loss"])), None)
    return {}


def _flip(book: Book, row: Row) -> Any:
    account, leg = _leg(book, row)
    if leg.amount == ZERO:
        raise Refused(Reason.NO_POSITION, leg.symbol)
    return {"order_id": orders.trade_by_hand(book, account, leg.symbol, leg.side, -2 * leg.amount).id}


def _forced(kind: str) -> Callable[[Book, Row], Any]:
    def act(book: Book, row: Row) -> Any:
        account, leg = _leg(book, row)
        return {"order_id": orders.close_by_market(book, account, leg, origin=kind, kind=kind).id}

    return act


def _fire_stop(book: Book, row: Row) -> Any:
    """The price comes to the stop's trigger; others that it passes fire too."""
    account, order = _order(book, row)
    if not order.waiting or order.trigger is None:
        raise Refused(Reason.NOT_FOUND, order.id)
    fired = prices.set_price(book, account.venue, order.symbol, order.trigger)
    return {"fired": [o.id for o in fired]}


def _end_stop(book: Book, row: Row) -> Any:
    account, order = _order(book, row)
    if not order.waiting:
        raise Refused(Reason.NOT_FOUND, order.id)
    execution.end_stop(book, account, order, str(row.get("how", "expired")))
    return {"order_id": order.id}


def _fill(book: Book, row: Row) -> Any:
    """A resting order trades: whole, or the quantity given."""
    account, order = _order(book, row)
    if not order.live or order.waiting:
        raise Refused(Reason.NOT_FOUND, order.id)
    quantity = Decimal(str(row.get("qty", order.remaining)))
    if not ZERO < quantity <= order.remaining:
        raise Refused(Reason.BAD_PARAMETER, f"qty is at most {order.remaining}")
    market = book.market(account.venue, order.symbol)
    made = execution.fill(book, account, order, quantity, order.price or market.last, maker=True)
    return {"fill_id": made.id}


def _cancel(book: Book, row: Row) -> Any:
    account, order = _order(book, row)
    return {"order_id": orders.cancel(book, account, order).id}


def _drift(book: Book, row: Row) -> Any:
    for _ in range(int(row.get("steps", 1))):
        prices.drift(book, per_mille=int(row.get("per_mille", 2)))
    return {}


def _script(book: Book, row: Row) -> Any:
    """Prices to come: rows as of `price`, added to those that wait."""
    steps = list(row["steps"])
    for step in steps:
        book.market(venue_of(step), str(step.get("symbol", "")))
        Decimal(str(step["last"]))
    book.script.extend(steps)
    return {"waiting": len(book.script)}


def _step(book: Book, row: Row) -> Any:
    """The next prices of the script."""
    fired: list[str] = []
    for _ in range(min(int(row.get("steps", 1)), len(book.script))):
        fired += _price(book, book.script.popleft())["fired"]
    return {"fired": fired, "waiting": len(book.script)}


def _skew(book: Book, row: Row) -> Any:
    book.skew_ms[venue_of(row)] = int(row["ms"])
    return {}


def _advance(book: Book, row: Row) -> Any:
    if not isinstance(book.clock, ManualClock):
        raise Refused(Reason.BAD_PARAMETER, "only a manual clock can be moved on")
    book.clock.advance(int(row["ms"]))
    return {"now_ms": book.now()}


def _strict_ids(book: Book, row: Row) -> Any:
    book.strict_ids[venue_of(row)] = bool(row.get("strict", True))
    return {}


def _limit(book: Book, row: Row) -> Any:
    weight = row.get("weight")
    book.weight_limits[venue_of(row)] = None if weight is None else int(weight)
    return {}


def _liquidity(book: Book, row: Row) -> Any:
    quantity = row.get("qty")
    market = book.market(venue_of(row), str(row.get("symbol", "")))
    market.liquidity = None if quantity is None else Decimal(str(quantity))
    return {}


ACTIONS: dict[str, Callable[[Book, Row], Any]] = {
    "price": _price,
    "trade": _trade,
    "close": _close,
    "protect": _protect,
    "flip": _flip,
    "liquidate": _forced("liquidation"),
    "adl": _forced("adl"),
    "fire_stop": _fire_stop,
    "end_stop": _end_stop,
    "fill": _fill,
    "cancel": _cancel,
    "drift": _drift,
    "script": _script,
    "step": _step,
    "skew": _skew,
    "advance": _advance,
    "strict_ids": _strict_ids,
    "limit": _limit,
    "liquidity": _liquidity,
}


def act(book: Book, row: Row) -> Any:
    """Do what the row's `do` names; refuses a name that is not in the table and a parameter that is missing."""
    action = ACTIONS.get(str(row.get("do")))
    if action is None:
        raise Refused(
            Reason.BAD_PARAMETER, f"do is one of {', '.join(sorted(ACTIONS))}, not {row.get('do')!r}"
        )
    try:
        return action(book, row)
    except KeyError as missing:
        raise Refused(Reason.BAD_PARAMETER, f"{missing.args[0]} must be given") from missing
    except (ValueError, ArithmeticError) as bad:
        raise Refused(Reason.BAD_PARAMETER, str(bad)) from bad
