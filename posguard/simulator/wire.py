"""What both wires share: a request, a reply, number formats, paging."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote

from posguard.simulator.book import Book
from posguard.simulator.orders import STRAIGHT, Twist
from posguard.simulator.records import Account, Key, Reason, Refused, Venue

Row = TypeVar("Row")
VENUE_OF_HOST: dict[str, Venue] = {
    "fapi.binance.com": "binance",
    "demo-fapi.binance.com": "binance",
    "testnet.binancefuture.com": "binance",
    "api.binance.com": "binance",
    "api.bybit.com": "bybit",
    "api-testnet.bybit.com": "bybit",
    "api-demo.bybit.com": "bybit",
}
SECRET_PARAMETERS = frozenset({"signature", "timestamp", "recvWindow"})


@dataclass(slots=True)
class Call:
    """One HTTP request as it came in, and what is found out about it on the way."""

    venue: Venue
    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    key: Key | None = None
    book: Book = field(default_factory=Book)
    twist: Twist = STRAIGHT
    host: str = ""

    def known_key(self, name: str) -> Key | None:
        """The key of that name, unless it belongs to another of the venue's worlds than the host asked."""
        found = self.book.keys.get((self.venue, name))
        if found is None or (found.host and self.host in VENUE_OF_HOST and found.host != self.host):
            return None
        return found

    @property
    def account(self) -> Account:
        """The account of the key; only signed endpoints ask."""
        if self.key is None:
            raise Refused(Reason.BAD_PARAMETER, "not signed")
        return self.book.account(self.venue, self.key.account)

    def need(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.params.get(name, "")
        if not value:
            raise Refused(Reason.BAD_PARAMETER, name)
        return value

    def text(self, name: str, default: str = "") -> str:
        """A parameter or its default."""
        return self.params.get(name, default)

    def whole(self, name: str, default: int, least: int = 0, most: int | None = None) -> int:
        """A whole number within bounds; above the most is cut, as the venues do."""
        raw = self.params.get(name, "")
        try:
            value = int(raw) if raw else default
        except ValueError:
            raise Refused(Reason.BAD_PARAMETER, name) from None
        if value < least:
            raise Refused(Reason.BAD_PARAMETER, name)
        return value if most is None else min(value, most)

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        """A decimal parameter."""
        raw = self.params.get(name, "")
        if not raw:
            if default is None:
                raise Refused(Reason.BAD_PARAMETER, name)
            return default
        try:
            value = Decimal(raw)
        except ArithmeticError:
            raise Refused(Reason.BAD_PARAMETER, name) from None
        if not value.is_finite():
            raise Refused(Reason.BAD_PARAMETER, name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean parameter, absent is false."""
        return self.params.get(name, "").lower() in ("true", "1")


@dataclass(slots=True)
class Reply:
    """What goes back: a JSON payload, or raw text where a fault made it so."""

    payload: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    content_type: str = "application/json"

    def text(self) -> str:
        """The body as it is sent."""
        return self.raw if self.raw is not None else json.dumps(self.payload, separators=(",", ":"))


Handler = Callable[[Call], Any]


def parse_parameters(query: str, body: str, content_type: str) -> dict[str, str]:
    """All parameters by name as text; a JSON body's booleans and numbers become text as well."""
    found = dict(parse_qsl(query, keep_blank_values=True))
    if "json" in content_type and body.strip():
        try:
            document = json.loads(body)
        except ValueError:
            return found
        if isinstance(document, dict):
            found.update({k: _plain(v) for k, v in document.items() if v is not None})
    elif body:
        found.update(parse_qsl(body, keep_blank_values=True))
    return found


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def sign(secret: str, payload: str) -> str:
    """HMAC-SHA256 in hexadecimal, as both venues use it."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def same_signature(given: str, wanted: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), wanted.encode())


# -- numbers as text


def num(value: Decimal) -> str:
    """Plain notation without trailing zeros."""
    text = format(value.normalize(), "f")
    return "0" if text in ("-0", "") else text


def at(value: Decimal, step: Decimal) -> str:
    """With as many decimals as the step has."""
    exponent = step.normalize().as_tuple().exponent
    places = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return fixed(value, places)


def fixed(value: Decimal, places: int = 8) -> str:
    """With exactly so many decimals."""
    text = f"{value:.{places}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def decimals(step: Decimal) -> int:
    """How many decimals a step has."""
    exponent = step.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


# -- paging


def newest_first(
    rows: Iterable[Row], key: Callable[[Row], tuple[int, int]], limit: int, cursor: str
) -> tuple[list[Row], str]:
    """A page of rows, newest first, and the cursor of the next page: percent-encoded, empty at the end.

    The cursor names the last row, so rows that come in meanwhile do not shift the pages; a row that changes
    its place does move between pages, as on the real venue.
    """
    ordered = sorted(rows, key=key, reverse=True)
    if cursor:
        last = _read_cursor(cursor)
        ordered = [row for row in ordered if key(row) < last]
    page = ordered[:limit]
    if len(ordered) <= limit:
        return page, ""
    time_ms, seq = key(page[-1])
    return page, quote(f"{seq}:{time_ms}", safe="")


def _read_cursor(cursor: str) -> tuple[int, int]:
    text = unquote(unquote(cursor))
    try:
        seq, time_ms = (int(part) for part in text.split(":"))
    except ValueError:
        raise Refused(Reason.BAD_PARAMETER, "cursor") from None
    return time_ms, seq


def window(rows: Sequence[Row], time_of: Callable[[Row], int], start: int, end: int) -> list[Row]:
    """The rows of a span of time, both ends included."""
    return [row for row in rows if start <= time_of(row) <= end]
