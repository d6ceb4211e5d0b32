"""docs/exchanges.md tells the tables as they are."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from posguard.exchange import outcomes
from posguard.exchange.table import VenueTable
from posguard.exchange.tables import BINANCE, BYBIT
from posguard.model.order import Outcome, Why

TEXT = (Path(__file__).parents[2] / "docs" / "exchanges.md").read_text()
MEANINGS = {
    "exchange": "posguard's name of it",
    "title": "the name in sentences",
    "ccxt_class": "ccxt's class",
    "limit": "request weight that one address may use",
    "window": "in so many seconds",
    "weights": "each endpoint method that may be called, with its weight with and without a symbol",
    "market_list": "where the list stands in each answer about markets",
    "key_codes": "codes that refuse the key",
    "clock_codes": "codes that refuse the time",
    "rate_codes": "codes that say too many requests",
    "history": "how long the venue keeps fills",
    "span": "how much time one question about fills or orders may cover",
    "orders": "how long the venue keeps orders",
    "unfilled": "how long it tells of orders that never traded",
    "outcomes": "what each code means for an order",
    "pause": "what the venue's own counters in the headers ask for",
    "options": "ccxt's options",
    "has": "what ccxt is told that the exchange lacks",
}


def outcome_lines():
    """One line for each reason, with the codes and statuses of both venues."""
    lines = []
    for why in Why:
        for outcome in Outcome:
            cells = []
            for table in (outcomes.BINANCE, outcomes.BYBIT):
                rules = {**table.codes, **{f"HTTP {status}": rule for status, rule in table.statuses.items()}}
                meant = [name for name, rule in rules.items() if (rule.outcome, rule.why) == (outcome, why)]
                cells.append(", ".join(meant) or "–")
            if cells != ["–", "–"]:
                lines.append(f"| `{why}` | {outcome} | {cells[0]} | {cells[1]} |")
    return lines


def test_the_outcome_table_is_the_one_in_the_code():
    told = [line for line in TEXT.splitlines() if line.startswith("| `") and line.count("|") == 5]
    told = [line for line in told if line.split("`")[1] in set(Why)]
    assert told == outcome_lines()


def test_every_field_of_a_table_is_told():
    for one in fields(VenueTable):
        assert f"   - `{one.name}`: {MEANINGS[one.name]}" in TEXT


def test_the_figures_of_the_budget_are_those_of_the_tables():
    assert f"Binance {BINANCE.limit} weight a" in TEXT
    assert f"Bybit {BYBIT.limit} requests in {BYBIT.window:.0f} seconds" in TEXT
