"""Durations as people type them: 8h, 60s, 15m, 1h30m, 2d."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def parse_duration(text: str, *, bare: str = "s") -> timedelta:
    """The duration that `text` spells; a bare number counts in the unit `bare` (d, h, m or s).

    Raises ValueError, naming the text, for anything else.
    """
    compact = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        compact += bare
    parts = _PART.findall(compact)
    if not parts or "".join(n + u for n, u in parts) != compact:
        raise ValueError(f"'{text}' is no duration; write 90s, 15m, 8h or 1h30m")
    return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())


def type_duration(length: timedelta) -> str:
    """A duration as `parse_duration` reads it, to the second: `1m`, `1h30m`, `0s`."""
    rest, said = int(length.total_seconds()), ""
    for unit, name in (("d", "days"), ("h", "hours"), ("m", "minutes"), ("s", "seconds")):
        number, rest = divmod(rest, int(timedelta(**{name: 1}).total_seconds()))
        said += f"{number}{unit}" if number else ""
    return said or "0s"


def spell_duration(length: timedelta) -> str:
    """The two largest units of a duration: `3 h 20 min`, `45 s`, `2 d 4 h`."""
    seconds = int(abs(length.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    named = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{n} {unit}" for n, unit in named if n][:2]
    return " ".join(shown) or "0 s"
