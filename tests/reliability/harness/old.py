"""The bot's old core on the same tables and venue, its waits shortened."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from posguard.race.defective import DefectiveCore, DefectiveSettings
from posguard.race.signal import Signal
from tests.reliability.harness.scene import ONE


def old_core(pool: Any, venue: Any) -> DefectiveCore:
    """It waits a thirtieth of what the bot waited for settlement."""
    return DefectiveCore(pool, venue, replace(DefectiveSettings().scaled(1 / 30), polls=3))


def signal_of(symbol: str) -> Signal:
    """A signal that is fine."""
    return Signal(f"old-{symbol}", symbol, ONE, Decimal(1), Decimal("0.95"))
