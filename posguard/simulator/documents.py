"""The book as a JSON document and back: what the control API loads and shows and what a state file holds.

Numbers are text, times are milliseconds; what is left out takes its default, so a test names what it means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from dataclasses import replace as replace_record
from decimal import Decimal
from typing import Any, get_type_hints

from posguard.simulator import execution
from posguard.simulator.book import DEFAULT_ACCOUNT, Book
from posguard.simulator.records import (
    VENUES,
    ZERO,
    Account,
    Fill,
    Key,
    Market,
    Order,
    Reason,
    Refused,
    Status,
    Venue,
)

Document = dict[str, Any]
_QUOTES = ("USDT", "USDC", "PERP")
_OWNED = ("venue", "account")


def load(book: Book, document: Mapping[str, Any], *, replace: bool = False) -> Document:
    """Put all that the document names into the book and say how much that was.

    With `replace`, the accounts it names are emptied first. A row that cannot be read refuses the whole
    document by name and number, before anything is changed by that kind of row.
    """
    if replace:
        for owner in _owners(document):
            _empty(book, owner)
    counts = {
        "markets": _each(document, "markets", lambda row: _load_market(book, row)),
        "accounts": _each(document, "accounts", lambda row: _load_account(book, row)),
        "keys": _each(document, "keys", lambda row: _load_key(book, row)),
        "positions": _each(document, "positions", lambda row: _load_position(book, row)),
        "orders": _each(document, "orders", lambda row: _load_order(book, row)),
        "fills": _load_fills(book, document.get("fills", ())),
    }
    for row in document.get("prices", ()):
        market = book.market(venue_of(row), _text(row, "symbol"))
        market.last = _decimal(row, "last")
        market.mark = _decimal(row, "mark", market.last)
    return counts


def dump(book: Book) -> Document:
    """The whole book; loading it into an empty one gives the same book."""
    return {
        "markets": [_plain(m) for _, m in sorted(book.markets.items())],
        "accounts": [_account_row(a) for _, a in sorted(book.accounts.items())],
        "keys": [_plain(k) for _, k in sorted(book.keys.items())],
        "positions": [
            {**_owned_by(a), **_plain(p)}
            for _, a in sorted(book.accounts.items())
            for p in a.positions.values()
        ],
        "orders": [
            {**_owned_by(a), **_plain(o)} for _, a in sorted(book.accounts.items()) for o in a.orders.values()
        ],
        "fills": [{**_owned_by(a), **_plain(f)} for _, a in sorted(book.accounts.items()) for f in a.fills],
    }


def venue_of(row: Mapping[str, Any]) -> Venue:
    """The row's venue; any other word is refused."""
    for venue in VENUES:
        if row.get("venue") == venue:
            return venue
    raise Refused(Reason.BAD_PARAMETER, f"venue is one of {', '.join(VENUES)}, not {row.get('venue')!r}")


def account_of(book: Book, row: Mapping[str, Any]) -> Account:
    """The row's account, made when it is new."""
    return book.account(venue_of(row), str(row.get("account") or DEFAULT_ACCOUNT))


# -- loading


def _owners(document: Mapping[str, Any]) -> set[tuple[Venue, str]]:
    named = {(venue_of(r), str(r.get("name") or DEFAULT_ACCOUNT)) for r in document.get("accounts", ())}
    for kind in ("positions", "orders", "fills"):
        named |= {(venue_of(r), str(r.get("account") or DEFAULT_ACCOUNT)) for r in document.get(kind, ())}
    return named


def _empty(book: Book, owner: tuple[Venue, str]) -> None:
    account = book.account(*owner)
    for held in (account.positions, account.orders, account.open_orders, account.client_ids):
        held.clear()
    account.fills.clear()


def _each(document: Mapping[str, Any], kind: str, take: Any) -> int:
    count = 0
    for number, row in enumerate(document.get(kind, ()), 1):
        try:
            take(row)
        except (Refused, ValueError, TypeError, ArithmeticError) as bad:
            raise Refused(Reason.BAD_PARAMETER, f"{kind} row {number}: {bad}") from bad
        count += 1
    return count


def _load_market(book: Book, row: Mapping[str, Any]) -> None:
    venue, symbol = venue_of(row), _text(row, "symbol")
    known = book.markets.get((venue, symbol))
    values = {**(_values(known) if known else _guess(symbol)), **_read(Market, row)}
    if "mark" not in row and "last" in row:
        values["mark"] = values["last"]
    book.add_market(Market(**values))


def _guess(symbol: str) -> dict[str, Any]:
    """Base and quote coin by the symbol's ending."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            settle = "USDC" if quote == "PERP" else quote
            return {"base": symbol.removesuffix(quote), "quote": settle, "settle": settle}
    return {"base": symbol}


def _load_account(book: Book, row: Mapping[str, Any]) -> None:
    account = book.account(venue_of(row), str(row.get("name") or DEFAULT_ACCOUNT))
    account.hedged = bool(row.get("hedged", account.hedged))
    account.can_trade = bool(row.get("can_trade", account.can_trade))
    account.uid = int(row.get("uid", account.uid))
    account.wallet.update({coin: Decimal(str(amount)) for coin, amount in row.get("wallet", {}).items()})
    account.leverage.update({symbol: int(value) for symbol, value in row.get("leverage", {}).items()})


def _load_key(book: Book, row: Mapping[str, Any]) -> None:
    values = _read(Key, row)
    values.setdefault("account", DEFAULT_ACCOUNT)
    book.add_key(Key(**values))


def _load_position(book: Book, row: Mapping[str, Any]) -> None:
    account, symbol = account_of(book, row), _text(row, "symbol")
    amount, entry = _decimal(row, "amount"), _decimal(row, "entry", ZERO)
    _ensure_market(book, account.venue, symbol, entry)
    side = row.get("side", "both")
    if side not in ("both", "long", "short") or account.hedged == (side == "both"):
        raise Refused(Reason.MODE_MISMATCH, f"side {side!r} in an account with hedged={account.hedged}")
    if (side == "long" and amount < ZERO) or (side == "short" and amount > ZERO):
        raise Refused(Reason.BAD_PARAMETER, f"a {side} leg of {amount}")
    leg = book.set_position(
        account,
        symbol,
        amount,
        entry,
        side=side,
        opened_ms=row.get("opened_ms"),
        updated_ms=row.get("updated_ms"),
    )
    leg.realized, leg.total_realized = _decimal(row, "realized", ZERO), _decimal(row, "total_realized", ZERO)
    for purpose in ("stop_loss", "take_profit"):
        price = row.get(purpose)
        if price is not None and leg.amount:
            setattr(leg, purpose, Decimal(str(price)))
            if "seq" not in row:  # a dumped book brings these orders itself
                book.keep_order(
                    account, execution.position_stop(book, account, leg, purpose, Decimal(str(price)))
                )
    leg.seq = int(row.get("seq", leg.seq))
    book.seq = max(book.seq, leg.seq)


def _load_order(book: Book, row: Mapping[str, Any]) -> None:
    account = account_of(book, row)
    values = _read(Order, row)
    trigger = values.get("trigger")
    _ensure_market(book, account.venue, _text(row, "symbol"), values.get("price") or trigger or ZERO)
    now = book.now()
    values.setdefault("kind", "market")
    values.setdefault("qty", ZERO)
    values.setdefault("id", book.next_id(account.venue, "algo" if trigger is not None else "order"))
    values.setdefault("status", Status.UNTRIGGERED if trigger is not None else Status.NEW)
    values.setdefault("created_ms", now)
    values.setdefault("updated_ms", values["created_ms"])
    if trigger is not None and "rising" not in values:
        profit = values.get("purpose") == "take_profit"
        values["rising"] = (values["side"] == "buy") is not profit
    if trigger is not None:
        values.setdefault("purpose", "stop_loss")
    order = Order(**values)
    if account.venue == "binance" and not order.id.isdigit():
        raise Refused(Reason.BAD_PARAMETER, f"a Binance order id is a whole number, not {order.id!r}")
    book.keep_order(account, order)
    book.seq = max(book.seq, order.seq)


def _load_fills(book: Book, rows: Iterable[Mapping[str, Any]]) -> int:
    """Executions of the past, by account; each gets the done order it belongs to where that is missing."""
    by_account: dict[tuple[Venue, str], list[Fill]] = {}

    def take(row: Mapping[str, Any]) -> None:
        account = account_of(book, row)
        values = _read(Fill, row)
        values.setdefault("id", book.next_id(account.venue, "fill"))
        values.setdefault("order_id", book.next_id(account.venue, "order"))
        values.setdefault("client_id", "")
        values.setdefault("time_ms", book.now())
        made = Fill(**values)
        if account.venue == "binance" and not (made.id.isdigit() and made.order_id.isdigit()):
            raise Refused(
                Reason.BAD_PARAMETER, f"Binance ids are whole numbers, not {made.id!r}, {made.order_id!r}"
            )
        made.order_qty = made.order_qty or made.qty
        _ensure_market(book, account.venue, made.symbol, made.price)
        by_account.setdefault((account.venue, account.name), []).append(made)

    count = _each({"fills": rows}, "fills", take)
    for owner, fills in by_account.items():
        account = book.account(*owner)
        book.keep_fills(account, fills)
        for made in fills:
            book.seq = max(book.seq, made.seq)
            _order_behind(book, account, made)
    return count


def _order_behind(book: Book, account: Account, made: Fill) -> None:
    if made.order_id in account.orders:
        return
    origin = made.kind if made.kind in ("liquidation", "adl") else "user"
    order = Order(
        id=made.order_id,
        symbol=made.symbol,
        side=made.side,
        kind=made.order_kind,
        qty=made.order_qty,
        client_id=made.client_id,
        position_side=made.position_side,
        status=Status.FILLED,
        filled=made.qty,
        cost=made.qty * made.price,
        fee=made.fee,
        created_ms=made.time_ms,
        updated_ms=made.time_ms,
        origin=origin,
    )
    book.keep_order(account, order)
    if made.purpose and account.venue == "binance":
        _stop_behind(book, account, made, order)


def _stop_behind(book: Book, account: Account, made: Fill, child: Order) -> None:
    """Binance keeps the conditional order apart from the plain one that it became; one that the document names is taken."""
    child.purpose = made.purpose
    named = next((order for order in account.orders.values() if order.child_id == child.id), None)
    if named is not None:
        child.parent_id = named.id
        return
    parent = replace_record(
        child,
        id=book.next_id("binance", "algo"),
        trigger=made.price,
        rising=(made.side == "buy") == (made.purpose == "stop_loss"),
        status=Status.TRIGGERED,
        reduce_only=True,
        triggered_ms=made.time_ms,
        child_id=child.id,
        seq=0,
    )
    child.parent_id = parent.id
    book.keep_order(account, parent)


def _ensure_market(book: Book, venue: Venue, symbol: str, price: Decimal) -> None:
    """A symbol nobody listed gets a market whose filters let its price through."""
    if (venue, symbol) in book.markets:
        return
    last = price if price > ZERO else Decimal(100)
    exponent = last.normalize().as_tuple().exponent
    tick = Decimal(1).scaleb(min(exponent, -2)) if isinstance(exponent, int) else Decimal("0.01")
    book.add_market(
        Market(
            venue=venue,
            symbol=symbol,
            last=last,
            mark=last,
            tick=max(tick, Decimal("1e-8")),
            **_guess(symbol),
        )
    )


# -- reading and writing records by their fields


def _read(record: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's values for a record's fields; a name it does not have is a slip and is refused."""
    hints = get_type_hints(record)
    names = {f.name: f for f in fields(record)}
    unknown = set(row) - set(names) - set(_OWNED)
    if unknown:
        msg = f"unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(names))}"
        raise ValueError(msg)
    values = {}
    for name in names:
        if name in row:
            values[name] = _as(hints[name], row[name])
    missing = [
        n
        for n, f in names.items()
        if n not in values and f.default is MISSING and f.default_factory is MISSING
    ]
    if record is Fill or record is Order:
        missing = [n for n in missing if n in ("symbol", "side")]
    if record is Market:
        missing = [n for n in missing if n == "symbol"]
    if record is Key:
        missing = [n for n in missing if n != "account"]
    if missing:
        msg = f"{', '.join(missing)} must be given"
        raise ValueError(msg)
    return values


def _as(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if hint in (Decimal, Decimal | None):
        return Decimal(str(value))
    if hint is Status:
        return Status(value)
    if hint is int:
        return int(value)
    return value


def _values(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _plain(record: Any) -> Document:
    found = {}
    for name, value in _values(record).items():
        found[name] = str(value) if isinstance(value, Decimal) else value
    return found


def _account_row(account: Account) -> Document:
    return {
        "venue": account.venue,
        "name": account.name,
        "uid": account.uid,
        "hedged": account.hedged,
        "can_trade": account.can_trade,
        "wallet": {coin: str(amount) for coin, amount in sorted(account.wallet.items())},
        "leverage": dict(sorted(account.leverage.items())),
    }


def _owned_by(account: Account) -> Document:
    return {"venue": account.venue, "account": account.name}


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not value:
        msg = f"{name} must be given"
        raise ValueError(msg)
    return str(value)


def _decimal(row: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    value = row.get(name)
    if value is None:
        if default is None:
            msg = f"{name} must be given"
            raise ValueError(msg)
        return default
    return Decimal(str(value))


def digest_rows(book: Book) -> list[str]:
    """The book in lines without times: two runs of one seed and one script have the same."""
    lines = []
    for (venue, name), account in sorted(book.accounts.items()):
        lines += [
            f"{venue} {name} position {p.symbol} {p.side} {p.amount.normalize()} {p.entry.normalize()}"
            for _, p in sorted(account.positions.items())
        ]
        lines += [
            f"{venue} {name} order {o.id} {o.client_id} {o.symbol} {o.side} {o.qty} {o.status} {o.filled} {o.cost}"
            for o in sorted(account.orders.values(), key=lambda o: o.seq)
        ]
        lines += [
            f"{venue} {name} fill {f.id} {f.order_id} {f.side} {f.qty} {f.price} {f.realized}"
            for f in sorted(account.fills, key=lambda f: f.seq)
        ]
        lines.append(
            f"{venue} {name} wallet {sorted((c, str(a.normalize())) for c, a in account.wallet.items())}"
        )
    return lines
