"""The corrected trading core: what the bot imports. docs/core.md is its guide."""

from posguard.trading.core import TradingCore
from posguard.trading.permit import before_send
from posguard.trading.settings import Clock, CoreSettings
from posguard.trading.words import Done, Opened, OpenRequest, Pass, Result

__all__ = [
    "Clock",
    "CoreSettings",
    "Done",
    "OpenRequest",
    "Opened",
    "Pass",
    "Result",
    "TradingCore",
    "before_send",
]
