"""Making the one ccxt client of a gateway: its world's addresses, exact numbers, no ear for its log."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ccxt.async_support as ccxt

from posguard.model.venue import World

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from posguard.exchange.answers import Heard
    from posguard.exchange.table import VenueTable
    from posguard.settings import Settings, VenueSettings

RECV_WINDOW_MS = 5_000  # what arrives later is refused, which bounds a late execution
listening: ContextVar[Heard] = ContextVar("posguard_exchange_listening")


def build(
    venue: VenueSettings, settings: Settings, table: VenueTable, session: aiohttp.ClientSession | None
) -> Any:
    """A ccxt client for the venue's world; nothing is sent yet. Every response is told to whom `listening` names."""
    config: dict[str, Any] = {
        "apiKey": venue.api_key.get_secret_value(),
        "secret": venue.api_secret.get_secret_value(),
        "number": str,  # exact digits; a float has lost them
        "timeout": int(settings.venue_timeout.total_seconds() * 1000),
        "options": {**table.options, "recvWindow": RECV_WINDOW_MS, "maxRetriesOnFailure": 0},
        # What these keep would be one answer in memory, and in reach of whoever prints the client.
        "enableLastHttpResponse": False,
        "enableLastJsonResponse": False,
        "enableLastResponseHeaders": False,
        # The budget paces; ccxt's own throttler stays behind it as a window, not as a drip.
        "rateLimiterAlgorithm": "rollingWindow",
    }
    if session is not None:
        config["session"] = session
    exchange = getattr(ccxt, table.ccxt_class)(config)
    exchange.has.update(table.has)
    exchange.logger = _silent()
    exchange.on_rest_response = _tell
    exchange.on_json_response = partial(json.loads, parse_float=str, parse_constant=_no_constant)
    if venue.world is World.TESTNET:
        exchange.set_sandbox_mode(True)
    elif venue.world is World.DEMO:
        exchange.enable_demo_trading(True)
    if venue.base_url:
        base_url = venue.base_url.rstrip("/")
        exchange.urls["api"] = {
            name: base_url + urlsplit(exchange.implode_hostname(url)).path
            for name, url in exchange.urls["api"].items()
        }
    if session is not None or address_of(exchange).startswith("http://"):
        exchange.timeout_on_exit = 0  # ccxt waits on closing for TLS connections to end
    return exchange


def address_of(exchange: Any) -> str:
    """Scheme and host that the client's signed requests go to."""
    urls = exchange.urls["api"]
    url = urlsplit(exchange.implode_hostname(urls.get("fapiPrivate") or urls["private"]))
    return f"{url.scheme}://{url.netloc}"


def _silent() -> logging.Logger:
    """A logger outside the tree: ccxt logs headers with the key in them at debug level."""
    silent = logging.Logger("posguard.exchange.ccxt", level=logging.CRITICAL)  # noqa: LOG001  on purpose
    silent.addHandler(logging.NullHandler())
    return silent


def _tell(
    status: int,
    _reason: str,
    _url: str,
    _method: str,
    headers: Mapping[str, str],
    body: str,
    *_request: object,
) -> str:
    """The hook that ccxt calls for every response, in the task that asked or a child of it."""
    if (heard := listening.get(None)) is not None:
        heard.hear(status, headers, body)
    return body.strip()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
