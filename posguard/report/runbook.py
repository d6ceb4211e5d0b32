"""The sections of docs/runbook.md as HTML, for the page of a finding."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

_PLACES = (
    Path(__file__).resolve().parents[2] / "docs" / "runbook.md",
    Path(__file__).resolve().parents[1] / "_shipped" / "docs" / "runbook.md",
)
_HEADING = re.compile(r"^(#{2,3})\s+(.+?)\s*(?:\{#([\w-]+)\})?\s*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([\w-]+)\"\s*>\s*</a>")


def section(anchor: str) -> str:
    """The text under the heading whose anchor is `anchor`, as HTML; empty where the runbook has no such section.

    Raw HTML in the file is shown as text, never taken over.
    """
    text = _text()
    headings = list(_HEADING.finditer(text))
    for place, heading in enumerate(headings):
        if anchor not in _anchors(heading):
            continue
        depth = len(heading[1])
        end = next((h.start() for h in headings[place + 1 :] if len(h[1]) <= depth), len(text))
        return str(_renderer().render(_ANCHOR.sub("", text[heading.end() : end]).strip()))
    return ""


@cache
def _text() -> str:
    return next((place.read_text(encoding="utf-8") for place in _PLACES if place.exists()), "")


@cache
def _renderer() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _anchors(heading: re.Match[str]) -> set[str]:
    """The anchors a heading answers to: the one it names, and the one that its words make."""
    words = _ANCHOR.sub("", heading[2])
    slug = re.sub(r"[^\w\s-]", "", words.lower()).strip().replace(" ", "-").replace("_", "-")
    return {heading[3] or slug, slug, *_ANCHOR.findall(heading[2])}
