"""The book: markets, accounts, keys, positions, orders and fills of both venues. No I/O, no waiting.

Every change goes through it, so what the wires answer and what the control API shows are one state.
"""

import random
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from posguard.simulator import margin
from posguard.simulator.records import (
    LIVE,
    ZERO,
    Account,
    Clock,
    Fill,
    Key,
    Market,
    Order,
    Position,
    PositionSide,
    Reason,
    Refused,
    Side,
    SystemClock,
    Venue,
)

_FIRST_NUMBER = {"order": 4_000_000_000, "algo": 2_000_000_000, "fill": 800_000_000}
DEFAULT_ACCOUNT = "main"


class Book:
    """All that the simulated venues know; the same seed and the same requests give the same book."""

    def __init__(self, *, seed: int = 0, clock: Clock | None = None) -> None:
        self.seed = seed
        self.clock: Clock = clock or SystemClock()
        self.random = random.Random(seed)  # noqa: S311 - ids and prices of a simulation
        self.skew_ms: dict[Venue, int] = {"binance": 0, "bybit": 0}
        # Binance: unique among open orders. Bybit: never used twice.
        self.strict_ids: dict[Venue, bool] = {"binance": False, "bybit": True}
        # Request weight a minute beyond which a venue refuses; None counts only.
        self.weight_limits: dict[Venue, int | None] = {"binance": None, "bybit": None}
        self.markets: dict[tuple[Venue, str], Market] = {}
        self.accounts: dict[tuple[Venue, str], Account] = {}
        self.keys: dict[tuple[Venue, str], Key] = {}
        self.seq = 0
        # Prices to come, one step after the other: what a scenario wants to happen.
        self.script: deque[Mapping[str, Any]] = deque()
        self._numbers = dict(_FIRST_NUMBER)
        self._instant: int | None = None

    # -- time and ids

    def now(self) -> int:
        """The book's own time; fills and orders carry it."""
        return self.clock.now_ms() if self._instant is None else self._instant

    @contextmanager
    def one_instant(self) -> Iterator[None]:
        """What happens inside happens at one time, as a venue's engine stamps an order and the fills it makes."""
        outer, self._instant = self._instant, self.now()
        try:
            yield
        finally:
            self._instant = outer

    def venue_now(self, venue: Venue) -> int:
        """The time a venue shows and checks signatures by: the clock and the skew set for it."""
        return self.clock.now_ms() + self.skew_ms[venue]

    def next_seq(self) -> int:
        """A number that only grows; it orders what happens within one millisecond."""
        self.seq += 1
        return self.seq

    def next_id(self, venue: Venue, kind: str) -> str:
        """A fresh id in the venue's form: whole numbers at Binance, UUIDs at Bybit."""
        if venue == "bybit":
            return str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self._numbers[kind] += 1
        return str(self._numbers[kind])

    # -- registry

    def add_market(self, market: Market) -> Market:
        """Add a market or replace the one of that symbol."""
        self.markets[market.venue, market.symbol] = market
        return market

    def market(self, venue: Venue, symbol: str) -> Market:
        """The market of a symbol; refuses one that is not listed."""
        found = self.markets.get((venue, symbol))
        if found is None:
            raise Refused(Reason.BAD_SYMBOL, symbol)
        return found

    def markets_of(self, venue: Venue) -> list[Market]:
        """A venue's markets by symbol."""
        return [self.markets[key] for key in sorted(self.markets) if key[0] == venue]

    def add_account(self, venue: Venue, name: str = DEFAULT_ACCOUNT, **settings: object) -> Account:
        """Add an account, with 100 000 USDT unless a wallet is given; an existing one is replaced."""
        account = Account(venue=venue, name=name, uid=24_600_000 + len(self.accounts))
        account.wallet = {"USDT": Decimal(100_000)}
        for field, value in settings.items():
            setattr(account, field, value)
        self.accounts[venue, name] = account
        return account

    def account(self, venue: Venue, name: str = DEFAULT_ACCOUNT) -> Account:
        """The account of that name; made empty when it is asked for the first time."""
        found = self.accounts.get((venue, name))
        return found if found is not None else self.add_account(venue, name)

    def add_key(self, key: Key) -> Key:
        """Let an API key into an account."""
        self.account(key.venue, key.account)
        self.keys[key.venue, key.key] = key
        return key

    # -- looking up

    def position(self, account: Account, symbol: str, side: PositionSide = "both") -> Position | None:
        """The leg as it stands, flat ones included; None where there never was one."""
        return account.positions.get((symbol, side))

    def leg(self, account: Account, symbol: str, side: PositionSide) -> Position:
        """The leg, made flat when it is asked for the first time."""
        found = account.positions.get((symbol, side))
        if found is None:
            found = account.positions[symbol, side] = Position(symbol, side)
        return found

    def open_positions(self, account: Account) -> list[Position]:
        """Legs that are not flat, newest first."""
        held = [p for p in account.positions.values() if p.amount != ZERO]
        return sorted(held, key=lambda p: p.seq, reverse=True)

    def find_order(
        self, account: Account, order_id: str = "", client_id: str = "", *, conditional: bool | None = None
    ) -> Order | None:
        """By id, else the newest one with that client id, a live one first; None where there is none."""
        ids = [order_id] if order_id else account.client_ids.get(client_id, [])
        same = [account.orders[i] for i in ids if i in account.orders]
        same = [o for o in same if conditional in (None, o.conditional)]
        return next((o for o in reversed(same) if o.live), same[-1] if same else None)

    def order(
        self, account: Account, order_id: str = "", client_id: str = "", *, conditional: bool | None = None
    ) -> Order:
        """As find_order; refuses what is not there, or is not of the kind asked for."""
        found = self.find_order(account, order_id, client_id, conditional=conditional)
        if found is None:
            raise Refused(Reason.NOT_FOUND, order_id or client_id)
        return found

    def totals(self, account: Account, coin: str = "USDT") -> margin.Totals:
        """The account's margin totals in a settle coin."""
        return margin.totals(account, lambda symbol: self.market(account.venue, symbol), coin)

    # -- recording (used by orders, by the control API and by a state file)

    def keep_order(self, account: Account, order: Order) -> Order:
        """Put an order into the account, index it by client id, and list it as open while it is live."""
        order.seq = order.seq or self.next_seq()
        account.orders[order.id] = order
        if order.client_id:
            ids = account.client_ids.setdefault(order.client_id, [])
            if order.id not in ids:
                ids.append(order.id)
        self.refresh(account, order)
        return order

    def refresh(self, account: Account, order: Order) -> None:
        """Keep the list of open orders true after an order's status changed."""
        if order.status in LIVE:
            account.open_orders[order.id] = order
        else:
            account.open_orders.pop(order.id, None)

    def keep_fills(self, account: Account, fills: Iterable[Fill]) -> int:
        """Record executions in order of time; many at once cost one sort."""
        before = len(account.fills)
        for fill in fills:
            fill.seq = fill.seq or self.next_seq()
            account.fills.append(fill)
        account.fills.sort(key=lambda f: (f.time_ms, f.seq))
        return len(account.fills) - before

    def set_position(
        self,
        account: Account,
        symbol: str,
        amount: Decimal,
        entry: Decimal,
        *,
        side: PositionSide = "both",
        opened_ms: int | None = None,
        updated_ms: int | None = None,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
    ) -> Position:
        """Write a leg as given, past any order or fill: what the control API and the tests do."""
        self.market(account.venue, symbol)
        leg = self.leg(account, symbol, side)
        leg.amount, leg.entry = amount, entry if amount else ZERO
        leg.opened_ms = opened_ms if opened_ms is not None else self.now()
        leg.updated_ms = updated_ms if updated_ms is not None else leg.opened_ms
        leg.stop_loss, leg.take_profit = stop_loss, take_profit
        leg.seq = self.next_seq()
        return leg

    def net(self, account: Account, symbol: str) -> Decimal:
        """The symbol's net amount over all legs."""
        return sum((p.amount for p in account.positions.values() if p.symbol == symbol), ZERO)

    def traded(self, account: Account, symbol: str) -> Decimal:
        """The net of all recorded fills; equals the net position where all of it was traded here."""
        return sum((f.qty if f.side == "buy" else -f.qty for f in account.fills if f.symbol == symbol), ZERO)


def opposite(side: Side) -> Side:
    """The other side."""
    return "sell" if side == "buy" else "buy"
