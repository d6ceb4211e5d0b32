"""The options that several commands share, spelled once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from posguard.model.symbol import canonical_symbol


class Exchange(StrEnum):
    """The exchanges posguard can read."""

    BINANCE = "binance"
    BYBIT = "bybit"


class Target(StrEnum):
    """Whose tables a `db` command is about."""

    POSGUARD = "posguard"
    BOT = "bot"


def no_empty_symbol(symbol: str | None) -> str | None:
    """Refuses what names no symbol, which would otherwise mean all of them."""
    if symbol is not None and not canonical_symbol(symbol).strip():
        message = f"'{symbol}' names no symbol: a variable that is not set, perhaps"
        raise typer.BadParameter(message)
    return symbol


AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, for machines; docs/json.md has its fields.")
]
OnDemo = Annotated[bool, typer.Option("--demo", help="Look at the running demo instead of POSGUARD_DSN.")]
OneExchange = Annotated[Exchange | None, typer.Option("--exchange", help="Look at one exchange only.")]
OneSymbol = Annotated[
    str | None,
    typer.Option(
        "--symbol",
        help="Look at one symbol only: BTCUSDT or BTC/USDT:USDT.",
        metavar="SYMBOL",
        callback=no_empty_symbol,
    ),
]
OfTarget = Annotated[
    Target, typer.Option("--target", help="posguard: its own schema; bot: the bot's own tables.")
]
OfCore = Annotated[
    str, typer.Option("--core", metavar="CORE", help="defective, corrected, or module:object for your own.")
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; your login name by default.")]
Until = Annotated[
    str,
    typer.Option("--until", metavar="WHEN", help="8h, 2d or a date (UTC); without it there is no end."),
]
