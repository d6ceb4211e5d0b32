"""The simulator's book: positions, orders, stops, margin, liquidation, without any wire."""

from decimal import Decimal

import pytest

from posguard.simulator import actions, documents, execution, invariants, orders, prices
from posguard.simulator.book import Book
from posguard.simulator.defaults import fill_defaults
from posguard.simulator.orders import Twist
from posguard.simulator.records import Intent, ManualClock, Reason, Refused, Status

D = Decimal
BOTH = ["binance", "bybit"]


@pytest.fixture
def book():
    made = Book(seed=3, clock=ManualClock(1_760_000_000_000))
    fill_defaults(made)
    return made


def market(side="buy", qty="0.01", **more):
    return Intent(symbol="BTCUSDT", side=side, kind="market", qty=D(qty), **more)


def stop(side="sell", qty="0.01", trigger="59000", **more):
    return market(
        side, qty, trigger=D(trigger), rising=side == "buy", purpose="stop_loss", reduce_only=True, **more
    )


def refusal(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.reason


@pytest.mark.parametrize("venue", BOTH)
def test_a_market_order_opens_adds_reduces_flips_and_closes(book, venue):
    account = book.account(venue)
    orders.place(book, account, market())
    prices.set_price(book, venue, "BTCUSDT", D(62000))
    orders.place(book, account, market())
    leg = book.leg(account, "BTCUSDT", "both")
    assert (leg.amount, leg.entry) == (D("0.02"), D(61000))
    orders.place(book, account, market("sell", "0.005"))
    assert (leg.amount, leg.entry, leg.realized) == (D("0.015"), D(61000), D(5))
    orders.place(book, account, market("sell", "0.02"))
    assert (leg.amount, leg.entry, leg.realized) == (D("-0.005"), D(62000), D(0))
    assert leg.total_realized == D(20)
    orders.place(book, account, market("buy", "0.005", reduce_only=True))
    assert leg.amount == 0
    assert book.traded(account, "BTCUSDT") == 0


@pytest.mark.parametrize("venue", BOTH)
def test_hedge_legs_are_apart_and_a_leg_cannot_be_oversold(book, venue):
    account = book.account(venue)
    account.hedged = True
    orders.place(book, account, market(position_side="long"))
    orders.place(book, account, market("sell", "0.02", position_side="short"))
    assert book.leg(account, "BTCUSDT", "long").amount == D("0.01")
    assert book.leg(account, "BTCUSDT", "short").amount == D("-0.02")
    assert (
        refusal(lambda: orders.place(book, account, market("sell", "0.02", position_side="long")))
        == Reason.REDUCE_ONLY
    )
    assert refusal(lambda: orders.place(book, account, market())) == Reason.MODE_MISMATCH


@pytest.mark.parametrize("venue", BOTH)
@pytest.mark.parametrize(
    ("intent", "reason"),
    [
        (market(qty="0.0005"), Reason.MIN_QUANTITY),
        (market(qty="0.0015"), Reason.STEP),
        (market(qty="2000000"), Reason.MAX_QUANTITY),
        (market(qty="100"), Reason.NO_FUNDS),
        (market(reduce_only=True), Reason.REDUCE_ONLY),
        (market(trigger=D("59000.05"), rising=False), Reason.TICK),
        (stop(trigger="60000"), Reason.WOULD_TRIGGER),
        (stop("buy", trigger="60000"), Reason.WOULD_TRIGGER),
        (Intent("BTCUSDT", "buy", "limit", D("0.001"), price=D(1000)), Reason.MIN_NOTIONAL),
        (Intent("NOPEUSDT", "buy", "market", D(1)), Reason.BAD_SYMBOL),
    ],
)
def test_refusals_leave_no_trace(book, venue, intent, reason):
    account = book.account(venue)
    before = documents.dump(book)
    assert refusal(lambda: orders.place(book, account, intent)) == reason
    assert documents.dump(book) == before


def test_binance_frees_a_client_id_with_the_fill_and_bybit_never_does(book):
    binance, bybit = book.account("binance"), book.account("bybit")
    for account in (binance, bybit):
        orders.place(book, account, market(client_id="pg-1"))
    orders.place(book, binance, market(client_id="pg-1"))
    assert refusal(lambda: orders.place(book, bybit, market(client_id="pg-1"))) == Reason.DUPLICATE_ID
    orders.place(book, binance, stop(client_id="pg-2"))
    assert refusal(lambda: orders.place(book, binance, stop(client_id="pg-2"))) == Reason.DUPLICATE_ID


@pytest.mark.parametrize("venue", BOTH)
@pytest.mark.parametrize(("side", "trigger"), [("buy", "59000"), ("sell", "61000")])
def test_a_stop_fires_at_its_trigger_and_not_before(book, venue, side, trigger):
    account = book.account(venue)
    closing = "sell" if side == "buy" else "buy"
    orders.place(book, account, market(side))
    waiting = orders.place(book, account, stop(closing, trigger=trigger))
    near = D(trigger) + (D(1) if side == "buy" else D(-1))
    assert prices.set_price(book, venue, "BTCUSDT", near) == []
    assert prices.set_price(book, venue, "BTCUSDT", D(trigger)) == [waiting]
    assert book.net(account, "BTCUSDT") == 0
    assert not account.open_orders
    assert account.fills[-1].purpose == "stop_loss"


def test_a_reduce_only_stop_outlives_its_position_and_is_rejected_when_it_fires(book):
    account = book.account("binance")
    orders.place(book, account, market())
    waiting = orders.place(book, account, stop())
    orders.close_by_market(book, account, book.leg(account, "BTCUSDT", "both"), origin="manual")
    assert waiting.live
    assert invariants.violations(book) == [
        "binance/main: stop 2000000001 of BTCUSDT both has nothing to close"
    ]
    prices.set_price(book, "binance", "BTCUSDT", D(58000))
    assert waiting.status is Status.REJECTED
    assert book.net(account, "BTCUSDT") == 0


def test_a_stop_on_the_position_follows_its_size_and_goes_with_it(book):
    account = book.account("bybit")
    orders.place(book, account, market(stop_loss=D(59000)))
    orders.place(book, account, market())
    leg = book.leg(account, "BTCUSDT", "both")
    assert leg.stop_loss == D(59000)
    assert invariants.violations(book) == []
    assert [o.purpose for o in prices.set_price(book, "bybit", "BTCUSDT", D(58990))] == ["stop_loss"]
    assert leg.amount == 0
    orders.place(book, account, market(stop_loss=D(58000)))
    orders.close_by_market(book, account, leg, origin="manual")
    assert leg.stop_loss is None
    assert not account.open_orders


@pytest.mark.parametrize("venue", BOTH)
def test_a_partial_market_order_ends_with_what_it_got(book, venue):
    account = book.account(venue)
    order = orders.place(book, account, market(qty="0.010"), Twist(fill_ratio=D("0.35")))
    assert (order.status, order.filled) == (Status.EXPIRED, D("0.003"))
    assert book.net(account, "BTCUSDT") == D("0.003")


@pytest.mark.parametrize("venue", BOTH)
def test_a_limit_order_rests_and_fills_when_the_price_comes(book, venue):
    account = book.account(venue)
    order = orders.place(book, account, Intent("BTCUSDT", "buy", "limit", D("0.01"), price=D(59000)))
    assert order.status is Status.NEW
    prices.set_price(book, venue, "BTCUSDT", D(58500))
    assert (order.status, order.average) == (Status.FILLED, D(59000))


@pytest.mark.parametrize("venue", BOTH)
def test_an_account_below_its_maintenance_margin_is_liquidated(book, venue):
    account = book.account(venue)
    account.wallet["USDT"] = D(1000)
    account.leverage["BTCUSDT"] = 50
    orders.place(book, account, market(qty="0.5"))
    prices.set_price(book, venue, "BTCUSDT", D(58000))
    assert book.net(account, "BTCUSDT") == 0
    assert account.fills[-1].kind == "liquidation"


@pytest.mark.parametrize("venue", BOTH)
def test_the_liquidation_price_is_where_it_happens(book, venue):
    from posguard.simulator import margin

    account = book.account(venue)
    account.wallet["USDT"] = D(2000)
    account.leverage["BTCUSDT"] = 50
    orders.place(book, account, market(qty="0.5"))
    leg = book.leg(account, "BTCUSDT", "both")
    price = margin.liquidation_price(leg, book.market(venue, "BTCUSDT"), book.totals(account))
    tick = D("0.1")
    prices.set_price(book, venue, "BTCUSDT", price.quantize(tick) + tick)
    assert leg.amount == D("0.5")
    prices.set_price(book, venue, "BTCUSDT", price.quantize(tick) - tick)
    assert leg.amount == 0


def test_a_dumped_book_loads_into_an_empty_one_as_it_was(book):
    for venue in BOTH:
        account = book.account(venue)
        orders.place(book, account, market(client_id=f"pg-{venue}"))
        orders.place(book, account, stop())
    leg = book.leg(book.account("bybit"), "BTCUSDT", "both")
    execution.set_position_stops(book, book.account("bybit"), leg, D(58000), None)
    document = documents.dump(book)
    other = Book(seed=9, clock=book.clock)
    documents.load(other, document)
    assert documents.dump(other) == document
    prices.set_price(other, "bybit", "BTCUSDT", D(57000))
    assert other.net(other.account("bybit"), "BTCUSDT") == 0


def test_what_cannot_be_read_is_refused_by_row(book):
    rows = [
        {"venue": "binance", "symbol": "BTCUSDT", "amount": "1", "entry": "1"},
        {"venue": "binance", "amuont": 1},
    ]
    with pytest.raises(Refused, match="positions row 2"):
        documents.load(book, {"positions": rows})


def test_invariants_name_what_is_unprotected_and_what_traded_twice(book):
    account = book.account("binance")
    orders.place(book, account, market(client_id="pg-7-e-1"))
    orders.place(book, account, market(client_id="pg-7-e-2"))
    orders.place(book, account, stop(qty="0.01"))
    assert invariants.violations(book, intent=r"^(?P<intent>.+)-\d+$") == [
        "binance/main: 2 orders of BTCUSDT traded for one intent 'pg-7-e'",
        "binance/main: BTCUSDT both 0.02 is protected for 0.01 only",
    ]
    orders.place(book, account, stop(qty="0.01"))
    assert invariants.violations(book) == []


def test_seven_hundred_positions_with_history_load_within_a_second(book):
    import time  # the processor's own time: other work on the machine does not count

    fills = [
        {
            "venue": "bybit",
            "symbol": f"C{n}USDT",
            "side": side,
            "qty": "1",
            "price": "10",
            "time_ms": 1_759_000_000_000 + n,
        }
        for n in range(700)
        for side in ("buy", "sell", "buy")
    ]
    positions = [{"venue": "bybit", "symbol": f"C{n}USDT", "amount": "1", "entry": "10"} for n in range(700)]
    began = time.process_time()
    counts = documents.load(book, {"positions": positions, "fills": fills})
    assert time.process_time() - began < 1
    assert (counts["positions"], counts["fills"]) == (700, 2100)
    assert len(book.account("bybit").fills) == 2100


@pytest.mark.parametrize("venue", BOTH)
def test_a_close_by_hand_takes_its_stops_away_only_where_it_is_asked_to(book, venue):
    account = book.account(venue)
    row = {"do": "close", "venue": venue, "symbol": "BTCUSDT"}
    for asked in (False, True):
        orders.place(book, account, market())
        orders.place(book, account, stop())
        actions.act(book, {**row, "cancel_stops": asked})
        assert book.leg(account, "BTCUSDT", "both").amount == 0
        assert len(account.open_orders) == (0 if asked else 1)
        for order in list(account.open_orders.values()):
            orders.cancel(book, account, order)


def test_a_stop_on_the_position_by_hand_goes_with_the_position(book):
    account = book.account("bybit")
    row = {"venue": "bybit", "symbol": "BTCUSDT"}
    assert (
        refusal(lambda: actions.act(book, {"do": "protect", **row, "stop_loss": "59000"}))
        is Reason.NO_POSITION
    )
    orders.place(book, account, market())
    actions.act(book, {"do": "protect", **row, "stop_loss": "59000"})
    assert book.leg(account, "BTCUSDT", "both").stop_loss == D(59000)
    assert [order.whole for order in account.open_orders.values()] == [True]
    actions.act(book, {"do": "close", **row, "cancel_stops": True})
    assert not account.open_orders


@pytest.mark.parametrize("named", [True, False])
def test_a_loaded_fill_of_a_stop_has_one_conditional_order_behind_it(book, named):
    stopped = {"venue": "binance", "symbol": "BTCUSDT", "side": "sell", "qty": "1"}
    parent = {**stopped, "id": "77", "trigger": "59000", "status": "triggered", "child_id": "55"}
    fill = {**stopped, "order_id": "55", "price": "58990", "purpose": "stop_loss"}
    documents.load(book, {"orders": [parent] if named else [], "fills": [fill]})
    account = book.account("binance")
    parents = [order.id for order in account.orders.values() if order.child_id == "55"]
    assert len(parents) == 1
    assert account.orders["55"].parent_id == parents[0]
    assert (parents == ["77"]) is named


@pytest.mark.parametrize("venue", BOTH)
def test_only_a_stop_on_the_losing_side_protects(book, venue):
    account = book.account(venue)
    orders.place(book, account, market())
    unprotected = f"{venue}/main: BTCUSDT both 0.01 is protected for 0 only"
    assert invariants.violations(book) == [unprotected]
    profit = market("sell", trigger=D(61000), rising=True, reduce_only=True, purpose="take_profit")
    unnamed = market("sell", trigger=D(61000), rising=True, reduce_only=True)
    for intent in (profit, unnamed):
        orders.place(book, account, intent)
        assert invariants.violations(book) == [unprotected]
    orders.place(book, account, stop())
    assert invariants.violations(book) == []
