"""Money and quantity: Decimal in, Decimal out, and never a number made up from rubbish."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def to_decimal(value: object) -> Decimal | None:
    """The exact finite Decimal that a text, an int or a Decimal spells; None for None, an empty text, and what is no number.

    A float is refused with TypeError: its digits are no longer those the venue or the database sent.
    """
    if isinstance(value, float):
        raise TypeError("money arrives as text, int or Decimal, never as float")
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = Decimal(value if type(value) is str else str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def differs(left: Decimal, right: Decimal, *, step: Decimal) -> bool:
    """Whether two quantities in base units differ by more than one lot step."""
    return abs(left - right) > step


def plain(number: Decimal | None) -> str:
    """A Decimal as people type it: no exponent, no trailing zeros; a dash for None."""
    if number is None:
        return "–"
    text = format(number.normalize(), "f")
    return "0" if text in {"-0", ""} else text
