"""Both sides of a finding as one table: a field a line, a row of the database or an item of the venue a column. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posguard.model.finding import Finding

EMPTY = "–"
_FIRST = ("symbol", "leg", "side", "quantity", "status", "entry_price", "stop_loss_price", "trigger_price")
_IN_TITLES = {"id", "what", "kind", "exchange"}  # what a column's title or the page around it says already


@dataclass(frozen=True, slots=True)
class Column:
    """One row of the database or one item of the venue."""

    side: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One field across the columns; `differs` marks a field on which the sides do not agree."""

    field: str
    name: str
    cells: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class Sides:
    """The table of both sides; `database` and `venue` say what stands there when a side holds nothing."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    database: int
    venue: int


def both_sides(finding: Finding) -> Sides:
    """The table of a finding: the database's columns first, the fields that differ marked."""
    columns = (*_columns("database", finding.database), *_columns("venue", finding.venue))
    items = (*finding.database, *finding.venue)
    differing = set(finding.differing)
    lines = tuple(
        Line(
            field=name,
            name=name.replace("_", " "),
            cells=tuple(item.get(name, "") or EMPTY for item in items),
            differs=name in differing,
        )
        for name in _fields(items)
    )
    told = tuple(line for line in lines if line.differs or set(line.cells) != {EMPTY})
    return Sides(columns, told, len(finding.database), len(finding.venue))


def _columns(side: str, items: Sequence[Mapping[str, str]]) -> tuple[Column, ...]:
    return tuple(Column(side, _title(side, item, number)) for number, item in enumerate(items, 1))


def _title(side: str, item: Mapping[str, str], number: int) -> str:
    if side == "database" and item.get("id"):
        return f"row #{item['id']}"
    if item.get("order_id"):
        return f"{item.get('kind', '')} order".strip()
    return "position" if side == "venue" else f"row {number}"


def _fields(items: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Every field that any item has, the telling ones first, then as they came."""
    seen = dict.fromkeys(name for item in items for name in item if name not in _IN_TITLES)
    return (*(n for n in _FIRST if n in seen), *(n for n in seen if n not in _FIRST))
