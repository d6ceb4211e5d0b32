"""Reading the fields of a venue's row: what is not as documented is an error that names the field, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from posguard.model.money import to_decimal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

T = TypeVar("T")
Row = dict[str, Any]
_LONGEST_TIME = 20  # digits


class RowError(Exception):
    """A row whose field is not as the venue documents it. Its text names field and value."""


def row_of(value: object) -> Row:
    """`value` as a row. Raises RowError where it is no object."""
    if not isinstance(value, dict):
        raise RowError(f"a row is {_shown(value)} instead of an object")
    return value


def text(row: Row, key: str) -> str:
    """A text (or whole number as text) that must stand there. Raises RowError."""
    value = row.get(key)
    if type(value) is str and value:
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise _wrong(row, key)
    return str(value)


def optional_text(row: Row, key: str) -> str | None:
    """A text; None where it is missing or empty. Raises RowError for any other type."""
    return None if row.get(key) in (None, "") else text(row, key)


def number(row: Row, key: str) -> Decimal:
    """A finite number that must stand there. Raises RowError."""
    value = optional_number(row, key)
    if value is None:
        raise _wrong(row, key)
    return value


def optional_number(row: Row, key: str) -> Decimal | None:
    """A finite number; None where it is missing or empty. Raises RowError where something else stands there."""
    raw = row.get(key)
    if raw in (None, ""):
        return None
    value = to_decimal(raw)
    if value is None:
        raise _wrong(row, key)
    return value


def price(row: Row, key: str) -> Decimal | None:
    """A price above zero; None where it is missing, empty or zero, which is how venues say that there is none."""
    return optional_number(row, key) or None


def flag(row: Row, key: str) -> bool:
    """A yes or no, as boolean or as text; a missing one is no. Raises RowError."""
    value = row.get(key)
    if type(value) is bool:
        return value
    if value is None or value == "":
        return False
    match str(value).lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            raise _wrong(row, key)


def moment(row: Row, key: str) -> datetime:
    """A time in milliseconds that must stand there, as aware UTC. Raises RowError."""
    value = optional_moment(row, key)
    if value is None:
        raise _wrong(row, key)
    return value


def optional_moment(row: Row, key: str) -> datetime | None:
    """A time in milliseconds, as aware UTC; None where it is missing, empty or zero. Raises RowError."""
    raw = row.get(key)
    value: int | Decimal | None
    if isinstance(raw, str) and len(raw) < _LONGEST_TIME and raw.isascii() and raw.isdigit():
        value = int(raw)  # the quick way, for what venues send
    else:
        value = optional_number(row, key)
    if not value:
        return None
    try:
        return from_ms(int(value))
    except (OverflowError, ValueError, OSError):
        raise _wrong(row, key) from None


def chosen(row: Row, key: str, among: Mapping[str, T]) -> T:
    """What the field's text stands for. Raises RowError for a text that is not `among` the documented ones."""
    value = row.get(key)
    if type(value) is str and value in among:
        return among[value]
    if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value) in among:
        return among[str(value)]
    raise _wrong(row, key)


def from_ms(milliseconds: int) -> datetime:
    """Aware UTC of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970 of an aware time, rounded down."""
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def _wrong(row: Row, key: str) -> RowError:
    of = f" ({row['symbol']})" if isinstance(row.get("symbol"), str) else ""
    return RowError(f"{key} is {_shown(row.get(key))}{of}")


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]
