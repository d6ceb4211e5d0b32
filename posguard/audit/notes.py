"""The operator's notes: a Markdown file with a heading for each hour. What stands in it is never changed, only added to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from posguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from posguard.model.audit import Hour, Window

_MOST = 1 << 20  # bytes of a file that somebody wrote by hand
_HOUR = re.compile(r"^##\s+(\d{4}-\d\d-\d\d)[ T](\d\d):(\d\d)(?:\s*UTC)?\s*$")
_OTHER = re.compile(r"^##\s")
_OPENING = """# Notes of the audit, {window}

Write below the headings; every text is taken into the report as it stands. Times are UTC. The report may be made again as
often as you like: this file is only added to.

## General

"""


@dataclass(frozen=True, slots=True)
class Notes:
    """What somebody wrote: `general`, and by the hour's start (UTC). Empty texts are left out."""

    general: str = ""
    hours: Mapping[datetime, str] = field(default_factory=dict)

    def of(self, hour: Hour) -> str:
        """The note of an hour, also where the window cuts it; empty where there is none."""
        return self.hours.get(_whole(hour.start), "")


def read_notes(text: str) -> Notes:
    """The notes of a file's text. What stands under no hour's heading is general."""
    general: list[str] = []
    hours: dict[datetime, list[str]] = {}
    under = general
    for line in text.splitlines():
        if found := _HOUR.match(line):
            under = hours.setdefault(_time(found), [])
        elif _OTHER.match(line):
            under = general
            if line.strip() != "## General":
                under.append(line.lstrip("# "))
        elif not line.startswith("# ") and not (under is general and line in _OPENING.splitlines()):
            under.append(line)
    said = {at: "\n".join(lines).strip() for at, lines in hours.items()}
    return Notes("\n".join(general).strip(), {at: note for at, note in said.items() if note})


def with_headings(text: str, window: Window, hours: Sequence[Hour]) -> str:
    """The text with a heading for each hour that it lacks, at its end; an empty text gets its opening too."""
    whole = text or _OPENING.format(window=window)
    there = {_time(found) for line in whole.splitlines() if (found := _HOUR.match(line))}
    missing = [at for hour in hours if (at := _whole(hour.start)) not in there]
    if not missing:
        return whole
    if not whole.endswith("\n"):
        whole += "\n"
    return whole + "".join(f"\n## {at:%Y-%m-%d %H:%M} UTC\n\n" for at in missing)


def keep_notes(path: Path, window: Window, hours: Sequence[Hour]) -> Notes:
    """The notes of a file, which is made or gets the headings that it lacks; what is in it stays, byte for byte.

    Raises UsageError where it is no text, or too large to be notes; nothing was written then.
    """
    before = path.read_bytes() if path.exists() else b""
    if len(before) > _MOST:
        raise UsageError(f"{path} is over 1 MB: no file of notes. Nothing was written.")
    try:
        text = before.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text. Nothing was written.") from None
    after = with_headings(text, window, hours)
    if after != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Added at the end and never rewritten: whoever has the file open in an editor loses nothing by it.
        with path.open("ab") as file:
            file.write(after[len(text) :].encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    return read_notes(text)


def _time(found: re.Match[str]) -> datetime:
    try:
        return _whole(datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}").replace(tzinfo=UTC))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def _whole(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
