"""The parts of the analysis as tables of the report. Pure."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from posguard.audit.parts import UNKNOWN_NUMBER, moment
from posguard.report.document import Grid, Text
from posguard.settings import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from posguard.audit.facts import Facts
    from posguard.report.document import Block

SHOWN = 25
_TITLES: Mapping[str, str] = {
    "by_exchange": "By exchange, by the rows",
    "by_status": "Rows created in the window, by their status now",
    "lifecycle": "How long positions lasted that closed in the window, in seconds",
    "lifecycle_faults": "Rows whose times or status cannot be right",
    "unprotected": "Open rows that record no stop-loss, by the rows alone",
    "never_protected": "Rows that were traded and ended without any sign of a stop-loss",
    "stop_loss": "Events about stop-losses, by exchange",
    "stop_distance": "How far stops lie from the entry, in percent",
    "trailing_states": "Trailing stops as they stand now",
    "trailing_events": "Events about trailing stops, by exchange",
    "trailing_rushes": "Trailing stops that moved the stop-loss again within a minute",
    "trailing_faults": "Trailing stops that cannot be right",
    "races": "Rows of one key that lived at the same time, or were created within ten seconds",
    "duplicate_key_errors": "Duplicate-key errors in the events",
    "simultaneous": "Operations that changed one position less than a second apart",
    "errors": "Errors by kind and exchange",
    "latency": "Seconds from the creation of a row to each step",
    "pnl": "Profit and loss by exchange",
    "pnl_by_reason": "Profit and loss by the reason of the exit",
    "pnl_by_symbol": "Profit and loss by symbol",
    "aged": "Open rows that are too old, by the rows alone",
    "zombies": "Orders that the database holds for live while their position has ended",
    "orders": "Orders created in the window",
    "order_fees": "Fees",
    "order_faults": "Orders that cannot be right",
    "database": "The database now",
    "tables": "Its tables now",
    "indexes": "Indexes of the bot's tables, those that no query used first",
    "statements": "Statements that took the most time since they are counted",
    "locks": "Sessions that wait, or hold a transaction open, now",
}
# What a list repeats in each of its rows, and a reader needs once or not at all.
_LEFT_OUT = frozenset({"total", "definition"})
_NUMBERS = (int, float, Decimal)


def tables(facts: Facts, *parts: str) -> Iterator[Block]:
    """A table for each part; what has no source says so."""
    if facts.analysis is None:
        return
    for name in parts:
        told = facts.analysis.part(name)
        title = _TITLES[name]
        if told.no_source:
            yield Text(f"{title}: no source ({redact(told.no_source)}).", "dim")
        elif not told.rows:
            yield Text(f"{title}: none.", "dim")
        else:
            yield from _table(title, told.rows, told.absent)


def _table(title: str, rows: tuple[Any, ...], absent: tuple[str, ...]) -> Iterator[Block]:
    names = [one.name for one in fields(rows[0]) if one.name not in _LEFT_OUT]
    shown = rows[:SHOWN]
    numeric = tuple(
        place
        for place, name in enumerate(names)
        if name != "id" and not name.endswith("_id") and all(_is_number(getattr(row, name)) for row in shown)
    )
    yield Grid(
        tuple(_heading(name) for name in names),
        tuple(tuple(_cell(name, getattr(row, name)) for name in names) for row in shown),
        numeric,
        title,
    )
    there = max(len(rows), getattr(rows[0], "total", 0) or 0) if hasattr(rows[0], "symbol") else len(rows)
    if there > len(shown):
        yield Text(f"{there - len(shown)} more are not shown.", "dim")
    if absent:
        yield Text(f"This database has no column {', '.join(absent)}.", "dim")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, _NUMBERS) and not isinstance(value, bool))


def _heading(name: str) -> str:
    return {"id": "Row", "p50": "P50", "p95": "P95", "p99": "P99"}.get(name) or name.replace(
        "_", " "
    ).capitalize()


def _cell(name: str, value: Any) -> str:
    """A value as shown; ids with their sign, numbers without digits that say nothing."""
    if isinstance(value, tuple):
        return ", ".join(f"#{one}" for one in value) or UNKNOWN_NUMBER
    if value is not None and (name == "id" or name.endswith("_id")):
        return f"#{value}"
    if isinstance(value, float) and name.endswith("share"):
        return f"{value:.1%}"
    return next((show(value) for kind, show in _SHOW if isinstance(value, kind)), redact(str(value)))


# In this order: a bool is an int.
_SHOW: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (type(None), lambda _: UNKNOWN_NUMBER),
    (bool, lambda value: "yes" if value else "no"),
    (datetime, moment),
    (float, lambda value: f"{value:,.3f}".rstrip("0").rstrip(".")),
    (Decimal, lambda value: f"{value.normalize():,f}"),
    (int, lambda value: f"{value:,}"),
)
