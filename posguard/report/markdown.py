"""A document as Markdown. Pure. What a database holds cannot become markup: every sign that could is escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from posguard.report.document import Card, Chart, Code, Grid, Heading, Items, Note, Numbers, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from posguard.report.document import Block, Document

_CODE = re.compile(r"`([^`\n]+)`")
_SIGNS = re.compile(r"([\\`*\[\]<>|~])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])|(&(?=[#A-Za-z]))")
_OPENS_BLOCK = re.compile(r"^(\s*)([#+\-=]|\d+[.)])(?=\s|[#+\-=]|$)")


def markdown(document: Document) -> str:
    """The whole text, its contents list included."""
    lines = [f"# {inline(document.title)}", ""]
    if document.demo:
        lines += ["**DEMO DATA**: made-up positions on a simulated exchange. No real money.", ""]
    lines += [f"**{inline(document.headline)}**", "", paragraph(document.summary), "", "## Contents", ""]
    lines += [f"- [{_numbered(s.number, inline(s.title))}](#{s.anchor})" for s in document.sections]
    for section in document.sections:
        lines += [
            "",
            f'<a id="{section.anchor}"></a>',
            "",
            f"## {_numbered(section.number, inline(section.title))}",
        ]
        lines += _blocks(section.blocks, 3)
    lines += ["", f"Built {document.built_at:%Y-%m-%d %H:%M:%S} UTC by posguard."]
    return "\n".join(lines) + "\n"


def inline(text: str) -> str:
    """A text in one line with its code kept and every other sign escaped."""
    flat = " ".join(text.split())
    parts = _CODE.split(flat)
    return "".join(
        f"`{part}`" if place % 2 else _SIGNS.sub(r"\\\g<0>", part) for place, part in enumerate(parts)
    )


def cell(text: str) -> str:
    """A text as a cell of a table: a bar ends a cell even inside code, unless it is escaped there too."""
    parts = re.split(r"(`[^`]+`)", inline(text))
    return "".join(part.replace("|", r"\|") if place % 2 else part for place, part in enumerate(parts))


def paragraph(text: str) -> str:
    """A text that opens a line: nothing in it makes a heading or a list."""
    return (
        _OPENS_BLOCK.sub(r"\1\\\2", inline(text)) if not text[:1].isdigit() else _number_first(inline(text))
    )


def _number_first(text: str) -> str:
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def _numbered(number: int, title: str) -> str:
    return f"{number}. {title}" if number else title


def _blocks(blocks: Iterable[Block], depth: int) -> Iterator[str]:
    for block in blocks:
        yield ""
        yield from _block(block, depth)


def _block(block: Block, depth: int) -> Iterator[str]:
    match block:
        case Text():
            yield paragraph(block.text)
        case Items():
            yield from (f"- {paragraph(item)}" for item in block.items)
        case Grid():
            yield from _grid(block)
        case Code():
            fence = "```" if "```" not in block.text else "~~~~"
            yield from (fence, *block.text.splitlines(), fence)
        case Numbers():
            yield from _table(("", "Number"), tuple((name, text) for name, text, _ in block.numbers), (1,))
        case Chart():
            yield from _chart(block)
        case Note():
            yield from (f"> {paragraph(line)}" if line.strip() else ">" for line in block.text.splitlines())
        case Heading():
            yield f"{'#' * depth} {inline(block.text)}"
        case Card():
            badges = ", ".join(text for text, _ in block.badges)
            yield f'<a id="{block.anchor}"></a>'
            yield ""
            yield f"{'#' * depth} {inline(block.title)}"
            yield ""
            yield f"*{inline(badges)}*"
            yield from _blocks(block.blocks, depth + 1)


def _grid(grid: Grid) -> Iterator[str]:
    if grid.title:
        yield f"**{inline(grid.title)}**"
        yield ""
    yield from _table(grid.columns, grid.rows, grid.numeric)


def _table(
    columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], numeric: tuple[int, ...]
) -> Iterator[str]:
    yield "| " + " | ".join(cell(one) for one in columns) + " |"
    yield "| " + " | ".join("---:" if n in numeric else "---" for n in range(len(columns))) + " |"
    yield from ("| " + " | ".join(cell(one) for one in row) + " |" for row in rows)


def _chart(chart: Chart) -> Iterator[str]:
    """Markdown has no charts: the numbers behind it."""
    yield f"**{inline(chart.title)}**"
    yield ""
    rows = tuple(
        (label, *("–" if one.values[place] is None else f"{one.values[place]:g}" for one in chart.series))
        for place, label in enumerate(chart.labels)
    )
    yield from _table(("", *(s.name for s in chart.series)), rows, tuple(range(1, len(chart.series) + 1)))
