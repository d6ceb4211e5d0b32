"""The canonical symbol: base and quote in capitals, the form in which the bot's database and posguard name a market."""

from __future__ import annotations

import re
import string

_SEPARATORS = re.compile(r"[/_\-\s]", re.ASCII)
_CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def canonical_symbol(raw: str) -> str:
    """`BTC/USDT:USDT`, `btc-usdt` and `BTCUSDT` all become `BTCUSDT`.

    Pure spelling, of ASCII letters and spaces alone (there are markets with Chinese names), so that the same rule in
    SQL, in posguard/postgres/sql/positions.sql, gives the same bytes under any collation. Whether a venue lists the
    symbol is for the venue's markets to say.
    """
    return _SEPARATORS.sub("", raw.split(":", 1)[0]).translate(_CAPITALS)
