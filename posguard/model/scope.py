"""What a run looks at: everything, or one exchange, one symbol, or both."""

from __future__ import annotations

from dataclasses import dataclass

from posguard.model.symbol import canonical_symbol


@dataclass(frozen=True, slots=True)
class Scope:
    """A filter by exchange and symbol; empty texts mean all. Spelling is put in order: lower case, canonical symbol."""

    exchange: str = ""
    symbol: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "exchange", self.exchange.strip().lower())
        object.__setattr__(self, "symbol", canonical_symbol(self.symbol))

    @property
    def whole(self) -> bool:
        """Whether nothing is filtered out."""
        return not self.exchange and not self.symbol

    def covers(self, exchange: str, symbol: str | None = None) -> bool:
        """Whether an exchange, or one canonical symbol on it, is looked at."""
        if self.exchange and exchange != self.exchange:
            return False
        return symbol is None or not self.symbol or symbol == self.symbol

    def __str__(self) -> str:
        parts = [self.symbol, f"on {self.exchange}" if self.exchange else ""]
        return " ".join(part for part in parts if part) or "everything"
