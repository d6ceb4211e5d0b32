"""The markets of a venue: from its own ids to canonical symbols and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.model.money import to_decimal
from posguard.model.symbol import canonical_symbol
from posguard.model.venue import MarketRule

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Listed:
    """A linear perpetual market; quantities on the wire times contract_size are base units."""

    rule: MarketRule
    contract_size: Decimal

    @property
    def symbol(self) -> str:
        """The canonical symbol."""
        return self.rule.symbol

    @property
    def venue_symbol(self) -> str:
        """The venue's own id."""
        return self.rule.venue_symbol


class UnlistedError(Exception):
    """A venue symbol that no listed linear perpetual explains; its text is the raw id."""


@dataclass(frozen=True, slots=True)
class Markets:
    """The linear perpetual markets of a venue. Two that share a canonical symbol are both left out: neither is certain."""

    by_venue_symbol: Mapping[str, Listed] = field(default_factory=dict)
    by_symbol: Mapping[str, Listed] = field(default_factory=dict)

    def listed(self, venue_symbol: str) -> Listed:
        """The market of a venue's id. Raises UnlistedError."""
        try:
            return self.by_venue_symbol[venue_symbol]
        except KeyError:
            raise UnlistedError(venue_symbol) from None

    @property
    def rules(self) -> dict[str, MarketRule]:
        """Canonical symbol to rule."""
        return {symbol: listed.rule for symbol, listed in self.by_symbol.items()}


def read_markets(markets_by_id: Mapping[str, Any]) -> Markets:
    """The markets out of ccxt's `markets_by_id`, whose numbers must be texts (`exchange.number = str`).

    One id names several markets (spot, swap, delivery): only swap and linear counts.
    """
    found: dict[str, Listed] = {}
    for venue_symbol, entries in markets_by_id.items():
        candidates = entries if isinstance(entries, list) else [entries]
        for market in candidates:
            if market.get("swap") and market.get("linear") and (listed := _listed(venue_symbol, market)):
                found[venue_symbol] = listed
    seen: dict[str, list[Listed]] = {}
    for listed in found.values():
        seen.setdefault(listed.symbol, []).append(listed)
    certain = [entries[0] for entries in seen.values() if len(entries) == 1]
    return Markets(
        {listed.venue_symbol: listed for listed in certain}, {listed.symbol: listed for listed in certain}
    )


def _listed(venue_symbol: str, market: Mapping[str, Any]) -> Listed | None:
    precision, limits = market["precision"], market["limits"]
    size = to_decimal(market.get("contractSize"))
    step, tick = to_decimal(precision.get("amount")), to_decimal(precision.get("price"))
    least = to_decimal(limits["amount"].get("min"))
    worth = to_decimal(limits["cost"].get("min"))
    if not size or not step or not tick:
        return None
    rule = MarketRule(
        symbol=canonical_symbol(market["symbol"]),
        venue_symbol=venue_symbol,
        lot_step=step * size,
        tick_size=tick,
        min_quantity=(least or step) * size,
        min_notional=worth or Decimal(0),
    )
    return Listed(rule, size)
