"""Times in force, attached stops, amendments and liquidity of the simulator's orders."""

from decimal import Decimal

import pytest

from posguard.simulator import execution, orders, prices
from posguard.simulator.book import Book
from posguard.simulator.defaults import fill_defaults
from posguard.simulator.orders import Twist
from posguard.simulator.records import Intent, ManualClock, Reason, Refused, Status

D = Decimal


@pytest.fixture(params=["binance", "bybit"])
def venue(request):
    return request.param


@pytest.fixture
def book():
    made = Book(seed=3, clock=ManualClock(1_760_000_000_000))
    fill_defaults(made)
    return made


@pytest.fixture
def account(book, venue):
    return book.account(venue)


def limit(price, tif="GTC", side="buy", qty="0.010"):
    return Intent("BTCUSDT", side, "limit", D(qty), price=D(price), tif=tif)


def market(side="buy", qty="0.01", **more):
    return Intent("BTCUSDT", side, "market", D(qty), **more)


# 60 000 is the price, 0.004 what the market holds: time in force, limit → status, filled
TIMES = [
    ("GTC", "60000", Status.PARTIAL, "0.004"),
    ("GTC", "59000", Status.NEW, "0"),
    ("IOC", "60000", Status.EXPIRED, "0.004"),
    ("IOC", "59000", Status.EXPIRED, "0"),
    ("FOK", "60000", Status.EXPIRED, "0"),
    ("GTX", "60000", Status.EXPIRED, "0"),
    ("GTX", "59000", Status.NEW, "0"),
]


@pytest.mark.parametrize(("tif", "price", "status", "filled"), TIMES)
def test_time_in_force(book, venue, account, tif, price, status, filled):
    book.market(venue, "BTCUSDT").liquidity = D("0.004")
    if (venue, tif, price) == ("binance", "GTX", "60000"):
        with pytest.raises(Refused) as refused:
            orders.place(book, account, limit(price, tif))
        assert refused.value.reason is Reason.POST_ONLY
        return
    order = orders.place(book, account, limit(price, tif))
    assert (order.status, order.filled) == (status, D(filled))
    assert book.net(account, "BTCUSDT") == D(filled)
    assert order.live == (order.id in account.open_orders)


def test_what_is_not_filled_leaves_the_market_as_it_was(book, venue, account):
    book.market(venue, "BTCUSDT").liquidity = D("0.004")
    orders.place(book, account, limit("60000", "FOK"))
    assert book.market(venue, "BTCUSDT").liquidity == D("0.004")


def test_fill_or_kill_fills_whole_where_it_can(book, account):
    order = orders.place(book, account, limit("60000", "FOK"))
    assert (order.status, order.filled) == (Status.FILLED, D("0.010"))


@pytest.mark.parametrize(
    ("qty", "pieces", "parts"), [("0.010", 4, [2, 2, 2, 4]), ("0.002", 4, [1, 1]), ("0.001", 1, [1])]
)
def test_pieces_are_whole_steps_and_add_up(book, account, qty, pieces, parts):
    order = orders.place(book, account, market(qty=qty), Twist(pieces=pieces))
    assert [f.qty for f in account.fills] == [D(n) / 1000 for n in parts]
    assert (order.filled, order.status) == (D(qty), Status.FILLED)


def test_a_better_price_is_taken(book, account):
    buy = orders.place(book, account, limit("61000"))
    sell = orders.place(book, account, limit("59000", side="sell"))
    assert (buy.average, sell.average) == (D(60000), D(60000))


def test_an_attached_stop_is_the_positions(book):
    account = book.account("bybit")
    orders.place(book, account, market(stop_loss=D(59000), take_profit=D(62000)))
    leg = book.leg(account, "BTCUSDT", "both")
    assert (leg.stop_loss, leg.take_profit) == (D(59000), D(62000))
    assert sorted(o.purpose for o in account.open_orders.values()) == ["stop_loss", "take_profit"]
    prices.set_price(book, "bybit", "BTCUSDT", D(62000))
    assert (leg.amount, leg.total_realized) == (D(0), D(20))
    assert not account.open_orders


@pytest.mark.parametrize(("purpose", "price"), [("stop_loss", "60000"), ("take_profit", "60000")])
def test_a_stop_of_the_position_beyond_the_price_is_refused(book, purpose, price):
    account = book.account("bybit")
    orders.place(book, account, market())
    leg = book.leg(account, "BTCUSDT", "both")
    stop, profit = (D(price), None) if purpose == "stop_loss" else (None, D(price))
    with pytest.raises(Refused) as refused:
        execution.set_position_stops(book, account, leg, stop, profit)
    assert refused.value.reason is Reason.WOULD_TRIGGER
    assert not account.open_orders


def test_cancelling_a_stop_of_the_position_takes_it_off_the_position(book):
    account = book.account("bybit")
    orders.place(book, account, market(stop_loss=D(59000)))
    (stop,) = account.open_orders.values()
    orders.cancel(book, account, stop)
    assert book.leg(account, "BTCUSDT", "both").stop_loss is None


def test_marks_and_last_prices_fire_their_own_stops(book, venue, account):
    orders.place(book, account, market(qty="0.02"))
    by_mark = orders.place(
        book, account, market("sell", trigger=D(59000), rising=False, reduce_only=True, trigger_by="mark")
    )
    by_last = orders.place(book, account, market("sell", trigger=D(59000), rising=False, reduce_only=True))
    assert prices.set_price(book, venue, "BTCUSDT", D(60000), D(58900)) == [by_mark]
    assert prices.set_price(book, venue, "BTCUSDT", D(58900), D(60000)) == [by_last]


def test_leverage_bounds_what_can_be_opened(book, account):
    account.wallet["USDT"] = D(100)
    account.leverage["BTCUSDT"] = 6
    orders.place(book, account, market(qty="0.009"))
    with pytest.raises(Refused) as refused:
        orders.place(book, account, market(qty="0.002"))
    assert refused.value.reason is Reason.NO_FUNDS
    orders.place(book, account, market("sell", qty="0.009"))
    assert book.net(account, "BTCUSDT") == 0


def test_a_conditional_order_can_open_a_hedge_leg(book, venue, account):
    account.hedged = True
    intent = market(position_side="long", trigger=D(61000), rising=True)
    orders.place(book, account, intent)
    prices.set_price(book, venue, "BTCUSDT", D(61000))
    assert book.leg(account, "BTCUSDT", "long").amount == D("0.01")


def test_a_stop_of_the_position_that_shrank_is_filled_when_it_fires(book):
    account = book.account("bybit")
    orders.place(book, account, market(qty="0.03", stop_loss=D(59000)))
    orders.place(book, account, market("sell", qty="0.02"))
    (stop,) = account.open_orders.values()
    prices.set_price(book, "bybit", "BTCUSDT", D(59000))
    assert (stop.status, stop.qty, stop.filled) == (Status.FILLED, D("0.01"), D("0.01"))


def test_a_resting_order_that_may_only_reduce_takes_what_is_there_and_ends(book, venue, account):
    orders.place(book, account, market())
    resting = Intent("BTCUSDT", "sell", "limit", D("0.01"), price=D(61000), reduce_only=True)
    order = orders.place(book, account, resting)
    orders.place(book, account, market("sell", qty="0.004"))
    prices.set_price(book, venue, "BTCUSDT", D(61000))
    assert (order.filled, order.status, book.net(account, "BTCUSDT")) == (D("0.006"), Status.EXPIRED, D(0))


def test_a_fired_stop_takes_no_more_than_the_market_holds(book, venue, account):
    orders.place(book, account, market())
    orders.place(book, account, market("sell", trigger=D(59000), rising=False, reduce_only=True))
    book.market(venue, "BTCUSDT").liquidity = D("0.003")
    prices.set_price(book, venue, "BTCUSDT", D(59000))
    assert book.net(account, "BTCUSDT") == D("0.007")
    assert not account.open_orders
