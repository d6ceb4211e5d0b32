from decimal import Decimal

import pytest

from posguard.exchange.answers import AnswerError
from posguard.exchange.doubt import PositionsRead, agree, agree_orders, repeated, unprotected
from posguard.model.position import PositionSide, Side
from posguard.model.venue import OrderKind, VenueOrder, VenuePosition

ONE_WAY = PositionSide.BOTH


def position(symbol="BTCUSDT", side=Side.LONG, quantity="0.5", leg=ONE_WAY, stop=None):
    stop = Decimal(stop) if stop else None
    return VenuePosition(symbol, leg, side, Decimal(quantity), Decimal(100), Decimal(99), stop)


def stop(symbol="BTCUSDT", *, buys=False, kind=OrderKind.STOP, leg=ONE_WAY, reduce_only=True, order_id="1"):
    return VenueOrder(
        order_id, None, symbol, leg, buys, kind, Decimal("0.5"), None, Decimal(90), reduce_only, False, None
    )


def read(*positions, pages=1):
    return PositionsRead(list(positions), pages)


def test_equal_reads_agree_whatever_the_price_does():
    before = position()
    after = VenuePosition("BTCUSDT", ONE_WAY, Side.LONG, Decimal("0.50"), Decimal(100), Decimal(42), None)
    agree(read(before), read(after))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([position()], [], "BTCUSDT was long 0.5 and then absent"),
        ([], [position()], "BTCUSDT was absent and then long 0.5"),
        ([position()], [position(quantity="0.4")], "was long 0.5 and then long 0.4"),
        ([position()], [position(side=Side.SHORT)], "was long 0.5 and then short 0.5"),
        (
            [position(leg=PositionSide.LONG)],
            [position(leg=PositionSide.SHORT, side=Side.SHORT)],
            r"BTCUSDT \(long leg\) was long 0.5 and then absent",
        ),
        ([position(f"A{n}USDT") for n in range(5)], [], "and 2 more"),
    ],
)
def test_what_changed_between_two_reads_is_named(before, after, words):
    with pytest.raises(AnswerError, match=words):
        agree(read(*before), read(*after))


def test_fewer_pages_the_second_time_are_no_agreement():
    with pytest.raises(AnswerError, match="3 pages at first and then 2"):
        agree(read(position(), pages=3), read(position(), pages=2))
    agree(read(position(), pages=2), read(position(), pages=3))


@pytest.mark.parametrize(
    ("order", "bare"),
    [
        (stop(), False),
        (stop(kind=OrderKind.TRAILING), False),
        (stop(kind=OrderKind.TAKE_PROFIT), True),
        (stop(kind=OrderKind.LIMIT), True),
        (stop(buys=True), True),
        (stop(reduce_only=False), True),
        (stop("ETHUSDT"), True),
        (stop(leg=PositionSide.LONG), True),
    ],
)
def test_a_position_is_unprotected_without_a_stop_of_its_own(order, bare):
    assert bool(unprotected([position()], [order])) is bare


def test_a_stop_on_the_position_protects_it_and_a_short_needs_a_buy():
    assert not unprotected([position(stop="90")], [])
    short = position(side=Side.SHORT)
    assert unprotected([short], [stop()])
    assert not unprotected([short], [stop(buys=True)])


def test_orders_that_differ_between_two_reads_are_named():
    agree_orders([stop()], [stop()])
    with pytest.raises(AnswerError, match="BTCUSDT order 2"):
        agree_orders([stop()], [stop(), stop(order_id="2")])


def test_repeated():
    assert repeated("abcab") == ["a", "b"]
    assert repeated([]) == []
