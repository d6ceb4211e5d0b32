"""A report as values: sections of paragraphs, tables, charts and cards, which Markdown and HTML are made from alike.

In every text, what stands between backticks is code. Nothing else is markup: a text may come from a database.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `tone` is dim or caution, or empty."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `numeric` are the places of columns that hold numbers; `title` stands above."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """Commands or queries, as they are typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """A row of numbers with their names; `tone` of each is hurts, fine, unknown or plain."""

    numbers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one part of the bars; None where nobody knows the value. `tone` colours it."""

    name: str
    tone: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Values over time: bars that stand on each other, or lines. `labels` are the times' texts, one for each value."""

    title: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What the operator wrote, line ends and all."""

    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a part of a section."""

    text: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One thing with everything about it; `badges` are (text, tone)."""

    title: str
    anchor: str
    tone: str
    badges: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...]


Block = Text | Items | Grid | Code | Numbers | Chart | Note | Heading | Card
_BLOCKS: dict[str, type] = {
    kind.__name__.lower(): kind
    for kind in (Text, Items, Grid, Code, Numbers, Chart, Note, Heading, Card, Series)
}


@dataclass(frozen=True, slots=True)
class Section:
    """One section; `number` is 0 for an appendix."""

    number: int
    title: str
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. `light` is the one word at the top, as those of the page; `headline` says it in a sentence."""

    title: str
    headline: str
    light: str
    summary: str
    built_at: datetime
    demo: bool
    sections: tuple[Section, ...]


def to_plain(document: Document) -> dict[str, Any]:
    """As plain JSON, which `from_plain` reads."""
    plain = asdict(document)
    plain["built_at"] = document.built_at.isoformat()
    plain["sections"] = [
        {
            "number": one.number,
            "title": one.title,
            "anchor": one.anchor,
            "blocks": [_plain(b) for b in one.blocks],
        }
        for one in document.sections
    ]
    return plain


def from_plain(plain: Mapping[str, Any]) -> Document:
    """The document that `to_plain` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    sections = tuple(
        Section(one["number"], one["title"], one["anchor"], tuple(_block(b) for b in one["blocks"]))
        for one in plain["sections"]
    )
    rest = {**plain, "built_at": datetime.fromisoformat(plain["built_at"]), "sections": sections}
    return Document(**rest)


def kind_of(block: Block) -> str:
    """The name by which a template chooses how to draw a block."""
    return type(block).__name__.lower()


def _plain(value: Any) -> Any:
    if type(value).__name__.lower() in _BLOCKS and type(value) in _BLOCKS.values():
        said = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return {"block": kind_of(value), **said}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _block(plain: Any) -> Any:
    if isinstance(plain, dict):
        said = {name: _block(value) for name, value in plain.items() if name != "block"}
        return _BLOCKS[plain["block"]](**said)
    if isinstance(plain, list):
        return tuple(_block(one) for one in plain)
    return plain
