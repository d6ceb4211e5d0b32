from datetime import UTC, datetime
from decimal import Decimal

import pytest

from posguard.exchange import rows
from posguard.exchange.rows import RowError

ROW = {
    "symbol": "BTCUSDT",
    "qty": "0.10",
    "empty": "",
    "zero": "0.0000",
    "none": None,
    "yes": True,
    "no": "false",
    "time": 1_700_000_000_123,
    "time_text": "1700000000123",
    "bad": "abc",
    "nan": "NaN",
    "id": 42,
}


def test_numbers_are_exact_and_never_guessed():
    assert rows.number(ROW, "qty") == Decimal("0.10")
    assert rows.number(ROW, "id") == 42
    assert rows.optional_number(ROW, "empty") is None
    for key in ("empty", "missing", "none", "bad", "nan", "yes"):
        with pytest.raises(RowError, match=key):
            rows.number(ROW, key)
    for key in ("bad", "nan", "yes"):
        with pytest.raises(RowError, match=rf"{key} is .*\(BTCUSDT\)"):
            rows.optional_number(ROW, key)


def test_a_zero_price_is_none():
    assert rows.price(ROW, "zero") is None
    assert rows.price(ROW, "qty") == Decimal("0.10")


def test_flags_come_as_boolean_or_text_and_nothing_else():
    assert rows.flag(ROW, "yes") is True
    assert rows.flag(ROW, "no") is False
    assert rows.flag(ROW, "missing") is False
    with pytest.raises(RowError):
        rows.flag(ROW, "qty")


def test_times_are_aware_utc_to_the_millisecond():
    expected = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert rows.moment(ROW, "time") == expected == rows.moment(ROW, "time_text")
    assert rows.to_ms(expected) == 1_700_000_000_123
    assert rows.optional_moment(ROW, "zero") is None
    with pytest.raises(RowError):
        rows.moment(ROW, "missing")
    with pytest.raises(RowError):
        rows.moment({"time": 10**20}, "time")


def test_a_word_that_is_not_documented_is_an_error():
    assert rows.chosen({"side": "BUY"}, "side", {"BUY": 1}) == 1
    assert rows.chosen({"idx": 2}, "idx", {"2": "short"}) == "short"
    for value in ("SELL", None, True, [], {}):
        with pytest.raises(RowError):
            rows.chosen({"side": value}, "side", {"BUY": 1, "True": 2})


def test_a_row_must_be_an_object():
    for value in (None, [], "x", 1):
        with pytest.raises(RowError):
            rows.row_of(value)
