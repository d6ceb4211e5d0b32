from __future__ import annotations

from decimal import Decimal

import pytest

from posguard.model.money import differs, plain, to_decimal


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("61.80", "61.8"),
        ("-0.001", "-0.001"),
        (61, "61"),
        (Decimal("1E-8"), "0.00000001"),
        ("1e-8", "0.00000001"),
    ],
)
def test_spelled_numbers_are_exact(raw, number):
    assert to_decimal(raw) == Decimal(number)


@pytest.mark.parametrize("raw", [None, "", "abc", "NaN", "Infinity", "1,5", True, "0x10"])
def test_rubbish_is_none_and_never_zero(raw):
    assert to_decimal(raw) is None


def test_a_float_is_refused():
    with pytest.raises(TypeError, match="never as float"):
        to_decimal(61.8)


def test_one_lot_step_is_tolerated_and_no_more():
    step = Decimal("0.1")
    assert not differs(Decimal("61.8"), Decimal("61.9"), step=step)
    assert differs(Decimal("61.8"), Decimal("61.0"), step=step)
    assert differs(Decimal("61.8"), Decimal("61.90000001"), step=step)


@pytest.mark.parametrize(
    ("number", "text"),
    [("61.80", "61.8"), ("100", "100"), ("0.00", "0"), ("1E+3", "1000"), ("1E-8", "0.00000001")],
)
def test_numbers_are_shown_as_people_type_them(number, text):
    assert plain(Decimal(number)) == text


def test_nothing_is_a_dash():
    assert plain(None) == "–"
