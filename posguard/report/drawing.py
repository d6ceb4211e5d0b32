"""What the templates need to draw a document: its kinds of blocks, its charts, and the code that stands in its texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from posguard.report.document import kind_of
from posguard.report.series import plot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CODE = re.compile(r"`([^`\n]+)`")


def coded(text: str) -> Markup:
    """A text with what stands between backticks as code; everything in it is escaped."""
    parts = _CODE.split(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


FILTERS: Mapping[str, Callable[..., object]] = {"block_kind": kind_of, "coded": coded, "plot": plot}
