"""How `posguard logs analyze` and `investigate` read: the sources' files here or on object storage, and what was left unread."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from posguard.cli.logs_sources import Reading
    from posguard.logs.extract import Extraction
    from posguard.logs.patterns import Pattern
    from posguard.model.log_event import LogEvent

_PART = 8192
HEADER = "`YYYY-MM-DD HH:MM:SS,mmm - module - LEVEL - message`"


def extractions(
    read: Sequence[Reading],
    patterns: Sequence[Pattern],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    last_lines: int | None = None,
    levels: bool = False,
) -> list[Extraction]:
    """The logs of each source, to be iterated; local files by all cores. Raises LogError where nothing is at a path."""
    from posguard.logs.extract import extract
    from posguard.logs.storage import is_remote, named_files, open_anywhere

    found = []
    for one in read:
        remote = any(map(is_remote, one.paths))
        found.append(
            extract(
                named_files(one.paths) if remote else one.paths,
                one.source,
                since=since,
                until=until,
                processes=os.cpu_count() or 1,
                patterns=patterns,
                opener=open_anywhere if remote else None,
                last_lines=last_lines,
                lines=levels,
                levels=levels,
            )
        )
    return found


def in_parts(read: Extraction) -> Iterator[Sequence[LogEvent]]:
    """The events of a log, some thousand at a time, with a progress bar on stderr."""
    from posguard.cli import output

    sizes = {path: _size(path) for path in read.files}
    total, before, current = sum(sizes.values()) >> 20, 0, ""
    events = iter(read)
    with output.bar(f"reading {read.source.name} (MB)", max(total, 1)) as say:
        while part := list(islice(events, _PART)):
            last = part[-1]
            if last.path != current:
                before, current = before + sizes.get(current, 0), last.path
            say(min((before + min(last.offset, sizes.get(current, 0))) >> 20, total), "")
            yield part


def damage_of(read: Sequence[Extraction]) -> list[str]:
    """What of the files could not be read as it should, a line each."""
    return [f"{d.path or 'the log'}: {d.what} ({d.count})" for one in read for d in one.counts.damage]


def left_unread(read: Sequence[Extraction]) -> list[str]:
    """What nobody knows of the logs: files that break off, with what of their source was read, and logs of which most is no log."""
    broken = [
        f"{damage.path}: {damage.what}; what stood behind is not known. Of {one.source.name} {one.counts.events} events were read"
        + (f", up to {one.counts.last:%Y-%m-%d %H:%M:%S} UTC" if one.counts.last else "")
        for one in read
        for damage in one.counts.damage
        if damage.cut
    ]
    return broken + [
        f"{one.counts.skipped_bytes} of {one.counts.bytes} bytes of {_names(one)} are no lines of the bot's log, or of none that is whole"
        for one in read
        if one.counts.first is not None and 2 * one.counts.skipped_bytes > one.counts.bytes
    ]


def left_unwatched(read: Sequence[Extraction], since: datetime | None, until: datetime | None) -> list[str]:
    """Of which source no record was read, and why: a log in which nothing could be read, or nothing of that time, proves nothing."""
    reasons = []
    for one in read:
        first, last = one.counts.first, one.counts.last
        if first is None or last is None:
            begins = f"no line of {_names(one)} begins as a log line of the bot does ({HEADER} is wanted; docs/logs.md has the other format)"
            reasons.append(begins if one.counts.bytes else f"{_names(one)} is empty")
        elif (until is not None and first >= until) or (since is not None and last < since):
            reasons.append(
                f"{_names(one)} holds nothing of that time: it reaches from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
            )
    return reasons


def _names(read: Extraction) -> str:
    """The files of a source, or the first of many."""
    more = f" and {len(read.files) - 3} more" if len(read.files) > 3 else ""
    return f"{', '.join(read.files[:3])}{more}"


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
