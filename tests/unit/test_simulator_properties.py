"""Any sequence of orders, fills, cancels, stops, prices and trades by hand leaves the simulator's book consistent."""

from __future__ import annotations

import os
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from posguard.simulator import documents, execution, ledger, orders, prices
from posguard.simulator.book import Book
from posguard.simulator.orders import Twist
from posguard.simulator.records import ZERO, Intent, ManualClock, Market, Refused, Status

D = Decimal
SYMBOLS = ["AAAUSDT", "BBBUSDT"]
symbols = st.sampled_from(SYMBOLS)
sides = st.sampled_from(["buy", "sell"])
legs = st.sampled_from(["long", "short"])
quantities = st.integers(1, 400).map(lambda n: D(n) / 10)
levels = st.integers(500, 1500).map(lambda n: D(n) / 10)


class BookMachine(RuleBasedStateMachine):
    """Drives one account of one venue in one mode."""

    venue = "binance"

    @initialize(hedged=st.booleans(), wallet=st.sampled_from([200, 2000, 100_000]))
    def open(self, hedged, wallet):
        self.book = Book(seed=1, clock=ManualClock(1_760_000_000_000))
        for symbol in SYMBOLS:
            self.book.add_market(
                Market(self.venue, symbol, symbol[:3], tick=D("0.1"), step=D("0.1"), min_qty=D("0.1"))
            )
        self.account = self.book.add_account(self.venue, hedged=hedged)
        self.account.wallet["USDT"] = D(wallet)
        self.wallet = D(wallet)

    def leg(self, leg):
        return leg if self.account.hedged else "both"

    def attempt(self, call):
        """What is refused has left no trace."""
        before = documents.digest_rows(self.book)
        try:
            return call()
        except Refused:
            assert documents.digest_rows(self.book) == before
            return None

    @rule(
        symbol=symbols,
        side=sides,
        leg=legs,
        qty=quantities,
        reduce_only=st.booleans(),
        ratio=st.sampled_from([None, "0.5", "0"]),
        pieces=st.integers(1, 4),
    )
    def market_order(self, symbol, side, leg, qty, reduce_only, ratio, pieces):
        intent = Intent(symbol, side, "market", qty, position_side=self.leg(leg), reduce_only=reduce_only)
        twist = Twist(fill_ratio=None if ratio is None else D(ratio), pieces=pieces)
        self.attempt(lambda: orders.place(self.book, self.account, intent, twist))

    @rule(
        symbol=symbols,
        side=sides,
        leg=legs,
        qty=quantities,
        price=levels,
        tif=st.sampled_from(["GTC", "IOC", "FOK", "GTX"]),
    )
    def limit_order(self, symbol, side, leg, qty, price, tif):
        intent = Intent(symbol, side, "limit", qty, position_side=self.leg(leg), price=price, tif=tif)
        self.attempt(lambda: orders.place(self.book, self.account, intent))

    @rule(
        symbol=symbols,
        side=sides,
        leg=legs,
        qty=quantities,
        trigger=levels,
        rising=st.booleans(),
        whole=st.booleans(),
        opens=st.booleans(),
    )
    def conditional_order(self, symbol, side, leg, qty, trigger, rising, whole, opens):
        close = whole and self.venue == "binance"
        intent = Intent(
            symbol,
            side,
            "market",
            ZERO if close else qty,
            position_side=self.leg(leg),
            trigger=trigger,
            rising=rising,
            reduce_only=not close and not opens,
            close_position=close,
            purpose="stop_loss" if rising == (side == "buy") else "take_profit",
        )
        self.attempt(lambda: orders.place(self.book, self.account, intent))

    @rule(symbol=symbols, leg=legs, stop=levels, profit=st.none() | levels)
    def stop_on_the_position(self, symbol, leg, stop, profit):
        held = self.book.leg(self.account, symbol, self.leg(leg))
        self.attempt(lambda: execution.set_position_stops(self.book, self.account, held, stop, profit))

    @rule(data=st.data())
    def cancel(self, data):
        if self.account.open_orders:
            name = data.draw(st.sampled_from(sorted(self.account.open_orders)))
            orders.cancel(self.book, self.account, self.account.orders[name])

    @rule(data=st.data(), qty=quantities, trigger=levels)
    def amend(self, data, qty, trigger):
        waiting = sorted(
            o.id for o in self.account.open_orders.values() if o.waiting and not o.whole and o.qty
        )
        if waiting:
            order = self.account.orders[data.draw(st.sampled_from(waiting))]
            self.attempt(lambda: orders.amend(self.book, self.account, order, qty=qty, trigger=trigger))

    @rule(symbol=symbols, last=levels)
    def price(self, symbol, last):
        prices.set_price(self.book, self.venue, symbol, last)

    @rule(symbol=symbols, delta=quantities, sell=st.booleans())
    def by_hand(self, symbol, delta, sell):
        if not self.account.hedged:
            orders.trade_by_hand(self.book, self.account, symbol, "both", -delta if sell else delta)

    @rule(symbol=symbols, leg=legs, kind=st.sampled_from(["manual", "liquidation", "adl"]))
    def close(self, symbol, leg, kind):
        held = self.book.leg(self.account, symbol, self.leg(leg))
        done = kind if kind != "manual" else "trade"
        self.attempt(lambda: orders.close_by_market(self.book, self.account, held, origin=kind, kind=done))

    # -- what must hold at every moment

    @invariant()
    def positions_are_what_was_traded(self):
        for symbol in SYMBOLS:
            assert self.book.net(self.account, symbol) == self.book.traded(self.account, symbol)

    @invariant()
    def legs_keep_their_side(self):
        for (_, side), leg in self.account.positions.items():
            assert side == "both" or leg.amount == ZERO or (leg.amount > ZERO) == (side == "long")
            assert (leg.amount == ZERO) == (leg.entry == ZERO)

    @invariant()
    def the_wallet_is_what_fills_made_of_it(self):
        change = sum((f.realized - f.fee for f in self.account.fills), ZERO)
        assert self.account.wallet["USDT"] == self.wallet + change

    @invariant()
    def orders_are_listed_as_they_are(self):
        live = {o.id for o in self.account.orders.values() if o.live}
        assert set(self.account.open_orders) == live
        for order in self.account.orders.values():
            by_fills = sum((f.qty for f in self.account.fills if f.order_id == order.id), ZERO)
            copied = order.conditional and self.venue == "binance"
            assert copied or order.filled == by_fills
            assert order.filled <= order.qty or order.close_position or order.whole
            if order.status is Status.FILLED:
                assert order.remaining == ZERO

    @invariant()
    def nothing_waits_that_should_have_traded(self):
        for order in self.account.open_orders.values():
            market = self.book.market(self.venue, order.symbol)
            if order.waiting:
                assert not prices.reached(order, market)
            elif order.kind == "limit":
                assert market.last > order.price if order.side == "buy" else market.last < order.price

    @invariant()
    def a_stop_of_the_position_has_one(self):
        for order in self.account.open_orders.values():
            if order.origin == "position_stop":
                leg = self.account.positions[order.symbol, order.position_side]
                assert ledger.reducible(leg, order.side)

    @invariant()
    def the_account_is_above_water_or_flat(self):
        whole = self.book.totals(self.account)
        assert whole.available >= ZERO

    def teardown(self):
        if hasattr(self, "book"):
            document = documents.dump(self.book)
            other = Book(seed=2, clock=self.book.clock)
            documents.load(other, document)
            assert documents.dump(other) == document


@pytest.mark.parametrize("at", ["binance", "bybit"])
def test_any_sequence_leaves_the_book_consistent(at):
    machine = type("Machine", (BookMachine,), {"venue": at})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("POSGUARD_EXAMPLES", "60")),
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
