"""From the flat values of a scan to a LogEvent: text, numbers and times, made only for the events that are asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from posguard.logs.patterns import Pattern
from posguard.logs.scan import Raw
from posguard.model.log_event import LogEvent
from posguard.model.symbol import canonical_symbol

# The event's own columns in its order; any other group goes to `fields`.
_COLUMNS = (
    "symbol",
    "exchange",
    "side",
    "status",
    "position_id",
    "order_id",
    "quantity",
    "price",
    "latency_ms",
)
_BLANK: list[Any] = [None] * len(_COLUMNS)
_LATENCY = _COLUMNS.index("latency_ms")
_OTHER = -1
_MESSAGE = 2000
# Modules, symbols and the like repeat; what is cached of them is bounded.
_CACHED = 5000


class _Texts(dict[bytes, str]):
    """Words that come again and again, decoded once."""

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self._change = change

    def __missing__(self, word: bytes) -> str:
        if len(self) > _CACHED:
            self.clear()
        text = self[word] = self._change(word.decode("utf-8", "replace"))
        return text


class Builder:
    """Makes the events of one source."""

    def __init__(self, patterns: tuple[Pattern, ...], source: str) -> None:
        self._source = source
        self._plain = _Texts(str)
        own = (
            _Texts(canonical_symbol).__getitem__,
            _Texts(str.lower).__getitem__,
            _Texts(str.lower).__getitem__,
        )
        text = self._plain.__getitem__
        change: tuple[Callable[[bytes], Any], ...] = (
            *own,
            text,
            _integer,
            _text,
            _number,
            _number,
            _milliseconds,
        )
        self._plans = tuple(
            tuple(_step(name, number - 1, change) for name, number in pattern.places.items())
            for pattern in patterns
        )
        self._heads = tuple((pattern.kind, pattern.category, pattern.name) for pattern in patterns)

    def build(self, raw: Raw, at: datetime, path: str) -> LogEvent:
        """The event of one record."""
        offset, size, number, first, groups, _ = raw
        _, module, level, message = groups[:4]
        columns = _BLANK.copy()
        fields: dict[str, str] = {}
        for column, index, change, name in self._plans[number]:
            value = groups[first + index]
            if value is None:
                continue
            if column == _OTHER:
                fields[name] = value.decode("utf-8", "replace")
            else:
                columns[column] = change(value)
        if columns[_LATENCY] is not None and fields.get("unit") == "s":
            columns[_LATENCY] *= 1000
        symbol, exchange, side, status, position, order, quantity, price, latency = columns
        kind, category, pattern = self._heads[number]
        plain = self._plain
        said = message[:_MESSAGE].decode("utf-8", "replace").rstrip("\r\n") if message else ""
        return LogEvent._make(  # in the order of its fields, which is quicker than one argument for each
            (
                at,
                kind,
                category,
                plain[level or b""],
                plain[module or b""],
                said,
                self._source,
                offset,
                size,
                pattern,
                symbol,
                exchange,
                side,
                status,
                position,
                order,
                quantity,
                price,
                latency,
                fields,
                path,
            )
        )


def _step(
    name: str, index: int, change: tuple[Callable[[bytes], Any], ...]
) -> tuple[int, int, Callable[[bytes], Any], str]:
    column = _COLUMNS.index(name) if name in _COLUMNS else _OTHER
    return column, index, change[column], name


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _integer(value: bytes) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _number(value: bytes) -> Decimal | None:
    try:
        return Decimal(value.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        return None


def _milliseconds(value: bytes) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
