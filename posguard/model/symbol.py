"""The canonical symbol: base and quote in capitals, the form in which the bot's database and posguard name a market."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[/_\-\s]")


def canonical_symbol(raw: str) -> str:
    """`BTC/USDT:USDT`, `btc-usdt` and `BTCUSDT` all become `BTCUSDT`.

    Pure spelling: whether a venue lists it is for the venue's markets to say. migrations/sql and the reading queries
    hold the same rule in SQL, and a test compares the two.
    """
    return _SEPARATORS.sub("", raw.split(":", 1)[0]).upper()
