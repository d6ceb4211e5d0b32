"""From the flat values of a scan to a LogEvent: text, numbers and times, made only for the events that are asked for."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from posguard.logs.patterns import Pattern
from posguard.logs.scan import Raw
from posguard.model.log_event import LogEvent
from posguard.model.symbol import canonical_symbol

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
_MESSAGE = 2000


class Builder:
    """Makes the events of one source."""

    def __init__(self, patterns: tuple[Pattern, ...], source: str) -> None:
        self._patterns = patterns
        self._source = source
        self._names = tuple(tuple(p.regex.groupindex.items()) for p in patterns)

    def build(self, raw: Raw, at: datetime, path: str) -> LogEvent:
        """The event of one record."""
        offset, size, number, head, message, values, _ = raw
        pattern = self._patterns[number]
        said: dict[str, str] = {}
        for name, index in self._names[number]:
            if (value := values[index - 1]) is not None:
                said[name] = value.decode("utf-8", "replace")
        symbol, exchange = said.pop("symbol", None), said.pop("exchange", None)
        position, latency = said.pop("position_id", None), said.pop("latency_ms", None)
        side, quantity, price = said.pop("side", None), said.pop("quantity", None), said.pop("price", None)
        level = head[2] or head[3] or b""
        module = head[1] or head[4] or b""
        return LogEvent(
            at=at,
            kind=pattern.kind,
            category=pattern.category,
            level=level.decode("ascii", "replace"),
            module=module.decode("utf-8", "replace"),
            message=message[:_MESSAGE].decode("utf-8", "replace").rstrip("\r\n"),
            source=self._source,
            offset=offset,
            size=size,
            pattern=pattern.name,
            symbol=canonical_symbol(symbol) if symbol else None,
            exchange=exchange.lower() if exchange else None,
            side=side.lower() if side else None,
            status=said.pop("status", None),
            position_id=int(position) if position else None,
            order_id=said.pop("order_id", None),
            quantity=_number(quantity),
            price=_number(price),
            latency_ms=_milliseconds(latency, said.get("unit")),
            fields=said,
            path=path,
        )


def _number(text: str | None) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def _milliseconds(text: str | None, unit: str | None) -> float | None:
    try:
        return None if not text else float(text) * (1000 if unit == "s" else 1)
    except ValueError:
        return None
