"""What the rows of each venue mean, from rows as the venues document them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posguard.exchange import binance, bybit
from posguard.exchange.answers import AnswerError
from posguard.exchange.binance import Binance
from posguard.exchange.bybit import Bybit
from posguard.exchange.gateway import DIALECTS
from posguard.exchange.rows import RowError
from posguard.exchange.symbols import Listed, Markets, UnlistedError, read_markets
from posguard.model.position import PositionSide, Side
from posguard.model.venue import FillKind, MarketRule, OrderKind


def listed(symbol="BTCUSDT", venue_symbol=None, size="1"):
    rule = MarketRule(
        symbol, venue_symbol or symbol, Decimal("0.001"), Decimal("0.1"), Decimal("0.001"), Decimal(5)
    )
    return Listed(rule, Decimal(size))


BTC = listed()
MARKETS = Markets({"BTCUSDT": BTC}, {"BTCUSDT": BTC})

BINANCE_POSITION = {
    "symbol": "BTCUSDT",
    "positionSide": "BOTH",
    "positionAmt": "-0.500",
    "entryPrice": "60000.10",
    "breakEvenPrice": "60000.1",
    "markPrice": "59000.00000000",
    "unRealizedProfit": "500",
    "liquidationPrice": "0",
    "notional": "-29500",
    "updateTime": 1_700_000_000_123,
}
BINANCE_ORDER = {
    "orderId": 8_389_765_000_000_000_001,
    "clientOrderId": "x",
    "symbol": "BTCUSDT",
    "status": "PARTIALLY_FILLED",
    "price": "61000",
    "avgPrice": "0",
    "origQty": "0.500",
    "executedQty": "0.200",
    "type": "LIMIT",
    "origType": "LIMIT",
    "reduceOnly": True,
    "closePosition": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "stopPrice": "0",
    "time": 1_700_000_000_000,
}
BINANCE_ALGO = {
    "algoId": 2_146_760,
    "clientAlgoId": "sl-1",
    "algoType": "CONDITIONAL",
    "orderType": "STOP_MARKET",
    "symbol": "BTCUSDT",
    "side": "BUY",
    "positionSide": "BOTH",
    "timeInForce": "GTC",
    "quantity": "0.5",
    "algoStatus": "NEW",
    "triggerPrice": "63000.5",
    "price": "0",
    "closePosition": False,
    "reduceOnly": True,
    "createTime": 1_700_000_000_000,
    "actualOrderId": "",
}
BYBIT_POSITION = {
    "positionIdx": 0,
    "symbol": "BTCUSDT",
    "side": "Buy",
    "size": "0.5",
    "avgPrice": "60000.1",
    "markPrice": "59000",
    "stopLoss": "57000",
    "updatedTime": "1700000000123",
}
BYBIT_ORDER = {
    "orderId": "f1",
    "orderLinkId": "sl-1",
    "symbol": "BTCUSDT",
    "side": "Sell",
    "positionIdx": 0,
    "orderStatus": "Untriggered",
    "orderType": "Market",
    "stopOrderType": "Stop",
    "qty": "0.5",
    "cumExecQty": "0",
    "price": "0",
    "triggerPrice": "57000",
    "triggerDirection": 2,
    "tpslMode": "",
    "reduceOnly": True,
    "closeOnTrigger": False,
    "createdTime": "1700000000000",
}


class TestBinance:
    venue = Binance()

    def test_a_short_has_a_negative_amount(self):
        position = self.venue.read_position(BINANCE_POSITION, MARKETS)
        assert position is not None
        assert (position.side, position.quantity, position.position_side) == (
            Side.SHORT,
            Decimal("0.500"),
            PositionSide.BOTH,
        )
        assert position.entry_price == Decimal("60000.10")
        assert position.updated_at == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)

    def test_a_flat_row_is_no_position_even_of_an_unlisted_symbol(self):
        row = {**BINANCE_POSITION, "positionAmt": "0.000", "symbol": "GONEUSDT"}
        assert self.venue.read_position(row, MARKETS) is None
        assert self.venue.hints([row, BINANCE_POSITION]) == {"GONEUSDT"}

    def test_a_position_without_entry_price_is_not_dropped(self):
        position = self.venue.read_position({**BINANCE_POSITION, "entryPrice": "0.0"}, MARKETS)
        assert position is not None
        assert position.entry_price is None

    @pytest.mark.parametrize(("leg", "amount"), [("LONG", "-1"), ("SHORT", "1"), ("SIDEWAYS", "1")])
    def test_a_leg_of_the_wrong_sign_is_an_error(self, leg, amount):
        with pytest.raises(RowError):
            self.venue.read_position(
                {**BINANCE_POSITION, "positionSide": leg, "positionAmt": amount}, MARKETS
            )

    def test_an_unlisted_symbol_is_named(self):
        with pytest.raises(UnlistedError, match="NEWUSDT"):
            self.venue.read_position({**BINANCE_POSITION, "symbol": "NEWUSDT"}, MARKETS)

    def test_a_plain_order(self):
        order = self.venue.read_order(BINANCE_ORDER, MARKETS)
        assert order is not None
        assert order.order_id == "8389765000000000001", "no digit lost"
        assert (order.kind, order.quantity, order.price, order.trigger_price) == (
            OrderKind.LIMIT,
            Decimal("0.300"),
            Decimal(61000),
            None,
        )
        assert order.reduce_only

    def test_a_conditional_order(self):
        order = self.venue.read_order(BINANCE_ALGO, MARKETS)
        assert order is not None
        assert (order.kind, order.conditional, order.trigger_price, order.price) == (
            OrderKind.STOP,
            True,
            Decimal("63000.5"),
            None,
        )
        assert (order.order_id, order.client_order_id) == ("2146760", "sl-1")

    def test_one_that_closes_the_position_has_no_quantity(self):
        order = self.venue.read_order({**BINANCE_ALGO, "closePosition": True, "quantity": "0"}, MARKETS)
        assert order is not None
        assert order.quantity is None
        assert order.only_reduces

    @pytest.mark.parametrize(
        ("row", "lives"),
        [
            ({**BINANCE_ORDER, "status": "NEW"}, True),
            ({**BINANCE_ORDER, "status": "CANCELED"}, False),
            ({**BINANCE_ORDER, "status": "EXPIRED_IN_MATCH"}, False),
            ({**BINANCE_ALGO, "algoStatus": "TRIGGERING"}, True),
            ({**BINANCE_ALGO, "algoStatus": "TRIGGERED"}, False),
            ({**BINANCE_ALGO, "algoStatus": "REJECTED"}, False),
        ],
    )
    def test_an_order_that_lives_no_more_is_no_protection(self, row, lives):
        assert (self.venue.read_order(row, MARKETS) is not None) is lives

    @pytest.mark.parametrize(
        "row", [{**BINANCE_ORDER, "status": "DREAMING"}, {**BINANCE_ALGO, "algoStatus": 1}]
    )
    def test_a_status_that_is_not_documented_makes_the_answer_unusable(self, row):
        with pytest.raises(RowError):
            self.venue.read_order(row, MARKETS)

    def test_a_liquidation_that_no_trade_tells_is_a_fill_all_the_same(self):
        row = {
            "orderId": 77,
            "symbol": "BTCUSDT",
            "clientOrderId": "autoclose-1596107620040000020",
            "executedQty": "0.5",
            "avgPrice": "55000",
            "side": "SELL",
            "positionSide": "BOTH",
            "updateTime": 1_700_000_000_000,
        }
        fill = binance._forced_fill(row, BTC)
        assert (fill.kind, fill.quantity, fill.price, fill.buys, fill.trade_id) == (
            FillKind.LIQUIDATION,
            Decimal("0.5"),
            Decimal(55000),
            False,
            "forced-77",
        )
        adl = binance._forced_fill({**row, "clientOrderId": "adl_autoclose"}, BTC)
        assert adl.kind is FillKind.DELEVERAGING


class TestBybit:
    venue = Bybit()

    def test_a_position_with_its_stop(self):
        position = self.venue.read_position(BYBIT_POSITION, MARKETS)
        assert position is not None
        assert (position.side, position.quantity, position.stop_loss) == (
            Side.LONG,
            Decimal("0.5"),
            Decimal(57000),
        )

    def test_zero_size_with_an_empty_side_is_flat(self):
        row = {**BYBIT_POSITION, "size": "0", "side": "", "avgPrice": "0"}
        assert self.venue.read_position(row, MARKETS) is None

    @pytest.mark.parametrize(
        "change", [{"side": ""}, {"side": "None"}, {"size": "-1"}, {"positionIdx": 2}, {"positionIdx": 7}]
    )
    def test_a_size_without_a_plausible_side_is_an_error(self, change):
        with pytest.raises(RowError):
            self.venue.read_position({**BYBIT_POSITION, **change}, MARKETS)

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({}, OrderKind.STOP),
            ({"triggerDirection": 1}, OrderKind.TAKE_PROFIT),
            ({"side": "Buy", "triggerDirection": 1}, OrderKind.STOP),
            ({"side": "Buy"}, OrderKind.TAKE_PROFIT),
            ({"stopOrderType": "StopLoss"}, OrderKind.STOP),
            ({"stopOrderType": "PartialStopLoss"}, OrderKind.STOP),
            ({"stopOrderType": "TakeProfit"}, OrderKind.TAKE_PROFIT),
            ({"stopOrderType": "TrailingStop"}, OrderKind.TRAILING),
            ({"stopOrderType": "OcoOrder"}, OrderKind.OTHER),
            ({"stopOrderType": "", "orderType": "Limit"}, OrderKind.LIMIT),
            ({"stopOrderType": "UNKNOWN", "orderType": "Market"}, OrderKind.MARKET),
        ],
    )
    def test_kinds(self, change, kind):
        order = self.venue.read_order({**BYBIT_ORDER, **change}, MARKETS)
        assert order is not None
        assert order.kind is kind

    @pytest.mark.parametrize(
        ("change", "level", "quantity"),
        [
            ({"stopOrderType": "StopLoss", "tpslMode": "Full", "qty": "0"}, True, None),
            ({"stopOrderType": "StopLoss", "tpslMode": "Partial"}, False, Decimal("0.5")),
            ({"stopOrderType": "PartialStopLoss", "tpslMode": "Partial"}, False, Decimal("0.5")),
            ({"stopOrderType": "TakeProfit", "tpslMode": "Full"}, False, None),
            ({"stopOrderType": "TrailingStop", "tpslMode": "Full"}, False, None),
            ({"cumExecQty": "0.2"}, False, Decimal("0.3")),
        ],
    )
    def test_a_stop_of_the_position_itself(self, change, level, quantity):
        order = self.venue.read_order({**BYBIT_ORDER, **change}, MARKETS)
        assert order is not None
        assert (order.position_level, order.quantity, order.close_position) == (
            level,
            quantity,
            quantity is None,
        )

    def test_close_on_trigger_only_reduces(self):
        order = self.venue.read_order({**BYBIT_ORDER, "reduceOnly": False, "closeOnTrigger": True}, MARKETS)
        assert order is not None
        assert order.only_reduces

    @pytest.mark.parametrize(
        ("exec_type", "stop_type", "kind"),
        [
            ("Trade", "UNKNOWN", FillKind.TRADE),
            ("Trade", "StopLoss", FillKind.STOP),
            ("Trade", "Stop", FillKind.STOP),
            ("Trade", "TakeProfit", FillKind.TRADE),
            ("BustTrade", "UNKNOWN", FillKind.LIQUIDATION),
            ("AdlTrade", "", FillKind.DELEVERAGING),
            ("MovePosition", "", FillKind.OTHER),
        ],
    )
    def test_executions(self, exec_type, stop_type, kind):
        fill = bybit._fill(self.execution(exec_type, stop_type), BTC, hedge=False)
        assert fill is not None
        assert fill.kind is kind

    def test_funding_is_no_fill_and_an_unknown_kind_is_an_error(self):
        assert bybit._fill(self.execution("Funding"), BTC, hedge=False) is None
        with pytest.raises(RowError):
            bybit._fill(self.execution("Teleport"), BTC, hedge=False)

    @staticmethod
    def execution(exec_type, stop_type=""):
        return {
            "execId": "e",
            "orderId": "o",
            "orderLinkId": "",
            "symbol": "BTCUSDT",
            "side": "Sell",
            "execQty": "0.5",
            "execPrice": "57000",
            "execType": exec_type,
            "stopOrderType": stop_type,
            "closedSize": "0.5",
            "execTime": "1700000000000",
        }


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(["", "0", "NaN", "-1", "1e999", "BTCUSDT", "Buy", "BUY", "NEW", "New", "BOTH", "true"]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize(
    ("venue", "method", "row"),
    [
        ("binance", "read_position", BINANCE_POSITION),
        ("binance", "read_order", BINANCE_ORDER),
        ("binance", "read_order", BINANCE_ALGO),
        ("bybit", "read_position", BYBIT_POSITION),
        ("bybit", "read_order", BYBIT_ORDER),
    ],
)
def test_rubbish_in_any_field_is_read_right_or_refused_by_name(venue, method, row, data):
    """Never another exception, and never a position or order with a number made up."""
    broken = dict(row)
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=4)):
        if data.draw(st.booleans()):
            broken[key] = data.draw(JUNK)
        else:
            broken.pop(key, None)
    try:
        item = getattr(DIALECTS[venue](), method)(broken, MARKETS)
    except (RowError, UnlistedError):
        return
    if item is not None:
        assert item.symbol == "BTCUSDT"
        assert item.quantity is None or item.quantity.is_finite()


def ccxt_market(symbol, *, kind="swap", size="1", base="BTC", settle="USDT"):
    return {
        "symbol": f"{base}/{settle}:{settle}",
        "id": symbol,
        "swap": kind == "swap",
        "linear": kind in {"swap", "future"},
        "contractSize": size,
        "precision": {"amount": "0.001", "price": "0.10"},
        "limits": {"amount": {"min": "0.002"}, "cost": {"min": "5"}},
    }


class TestMarkets:
    def test_one_id_names_several_markets_and_only_the_linear_perpetual_counts(self):
        markets = read_markets({"BTCUSDT": [{"swap": False, "linear": None}, ccxt_market("BTCUSDT")]})
        assert markets.rules == {
            "BTCUSDT": MarketRule(
                "BTCUSDT", "BTCUSDT", Decimal("0.001"), Decimal("0.10"), Decimal("0.002"), Decimal(5)
            )
        }

    def test_a_delivery_future_is_not_listed(self):
        markets = read_markets({"BTCUSDT_260925": [ccxt_market("BTCUSDT_260925", kind="future")]})
        with pytest.raises(UnlistedError):
            markets.listed("BTCUSDT_260925")

    def test_two_ids_of_one_canonical_symbol_are_both_left_out(self):
        markets = read_markets({"BTCUSDT": [ccxt_market("BTCUSDT")], "XBTUSDT": [ccxt_market("XBTUSDT")]})
        assert markets.rules == {}

    def test_contracts_become_base_units(self):
        markets = read_markets({"X": [ccxt_market("X", size="0.01")]})
        assert markets.rules["BTCUSDT"].lot_step == Decimal("0.00001")

    def test_a_market_without_filters_is_left_out(self):
        market = {**ccxt_market("X"), "precision": {"amount": None, "price": "0.1"}}
        assert read_markets({"X": [market]}).rules == {}


def test_every_method_of_the_tables_exists_in_ccxt():
    """A name misspelt in a weight table would be found in production only."""
    import ccxt.async_support as ccxt

    for dialect in DIALECTS.values():
        table = dialect().table
        exchange = getattr(ccxt, table.ccxt_class)()
        for method, (with_symbol, without) in table.weights.items():
            assert callable(getattr(exchange, method))
            assert 0 < with_symbol <= without


def test_an_answer_error_prints_as_its_sentence():
    assert str(AnswerError(None, "positions: no")) == "positions: no"
