"""JSON whose numbers keep every digit: what PostgreSQL writes comes back as it was, through Python and a file."""

from __future__ import annotations

import json
import re
import secrets
from decimal import Decimal
from typing import Any


def loads(text: str | bytes) -> Any:
    """The value, numbers with a fraction as Decimal. Raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def dumps(value: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """The text; Decimals as numbers with all their digits, times and what else JSON lacks as text."""
    mark = secrets.token_hex(8)

    def plain(one: object) -> str:
        return f"{mark}{one}{mark}" if isinstance(one, Decimal) and one.is_finite() else str(one)

    separators = (",", ":") if indent is None else None
    text = json.dumps(value, default=plain, indent=indent, sort_keys=sort_keys, separators=separators)
    return re.sub(rf'"{mark}([-+0-9.eE]+){mark}"', r"\1", text)
