"""What the bot's log tells of a window: races, errors by wording, outages of its streams, silences, and counts by the hour.

Pure but for `locate`, which reads a record's own lines again to find the place in the code that a traceback names.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from posguard.errors import LogError
from posguard.logs.analysis import Gathered
from posguard.logs.context import lines_around
from posguard.model.audit import ErrorGroup
from posguard.model.log_event import LogKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from posguard.model.audit import Window
    from posguard.model.log_event import LogEvent
    from posguard.model.log_statistics import Statistics
    from posguard.model.race import Race

SILENT = timedelta(minutes=5)  # without a price
_PLACES = 5
_PART = 8192
_ERRORS = frozenset({"ERROR", "CRITICAL", "FATAL"})
# Told of elsewhere: a race has an issue of its own, and so has what the bot itself detects.
_ELSEWHERE = frozenset(
    {LogKind.DUPLICATE_ERROR, LogKind.UNPROTECTED, LogKind.EMERGENCY_CLOSE, LogKind.ZOMBIE, LogKind.PHANTOM}
)
_ALWAYS = frozenset({LogKind.API_ERROR, LogKind.RATE_LIMIT, LogKind.NOT_FOUND, LogKind.ROLLBACK_FAILED})
_SYMBOL = re.compile(r"\b[A-Z0-9]{1,20}/?USD[TC](?::USD[TC])?\b")
_DIGITS = re.compile(r"\d+")
_FRAME = re.compile(r'File "([^"\n]{1,300})", line (\d{1,7})(?:, in (\w{1,100}))?')
_HEADER = re.compile(r"\d{4}-\d\d-\d\d[ T]")


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without a stream or without prices; `until` is None where the log ends before it is over."""

    source: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Seen:
    """Some records of one kind: how many, the first ones' places and texts."""

    count: int
    first: datetime
    last: datetime
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LogFacts:
    """What was read. `where` says from where; `hours` holds, by whole hour (UTC), how many records of each kind.

    `arguments` are what `posguard logs` needs to read the same again; empty for what is declared.
    """

    where: str
    zones: Mapping[str, str]
    statistics: Statistics
    races: tuple[Race, ...]
    hours: Mapping[datetime, Mapping[str, int]]
    errors: tuple[ErrorGroup, ...]
    outages: tuple[Outage, ...]
    silences: tuple[Outage, ...]
    kinds: Mapping[str, Seen]
    arguments: str = ""
    damage: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether no record that a pattern knows lies in the window."""
        return self.statistics.first is None


@dataclass(slots=True)
class Fold:
    """Takes the events of a window, those of one source in the order of their lines, and gives the facts at the end.

    What lies before the window is heard for the races alone.
    """

    window: Window
    gathered: Gathered = field(default_factory=Gathered)
    _hours: dict[datetime, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _groups: dict[tuple[str, str], list[LogEvent]] = field(default_factory=lambda: defaultdict(list))
    _kinds: dict[str, list[LogEvent]] = field(default_factory=lambda: defaultdict(list))
    _down: dict[str, datetime] = field(default_factory=dict)
    _outages: list[Outage] = field(default_factory=list)
    _price: dict[str, datetime] = field(default_factory=dict)
    _silences: list[Outage] = field(default_factory=list)

    def take(self, events: Iterable[LogEvent]) -> None:
        """Takes events."""
        for event in self._through(events):
            hour = event.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            self._hours[hour][event.kind] += 1
            if event.kind in _ELSEWHERE:
                self._kinds[event.kind].append(event)
            elif event.level.upper() in _ERRORS or event.kind in _ALWAYS:
                self._groups[event.source, wording(event.message)].append(event)
            self._streams(event)

    def _through(self, events: Iterable[LogEvent]) -> Iterator[LogEvent]:
        """Those of the window, some thousand at a time; the races hear all."""
        rest = iter(events)
        while part := list(islice(rest, _PART)):
            self.gathered.take(part)
            yield from (event for event in part if self.window.holds(event.at))

    def _streams(self, event: LogEvent) -> None:
        if event.kind == LogKind.WEBSOCKET_DOWN:
            self._down.setdefault(event.source, event.at)
        elif event.kind == LogKind.WEBSOCKET_UP and event.source in self._down:
            self._outages.append(Outage(event.source, self._down.pop(event.source), event.at))
        elif event.kind == LogKind.PRICE_UPDATE:
            before = self._price.get(event.source)
            if before is not None and event.at - before > SILENT:
                self._silences.append(Outage(event.source, before, event.at))
            self._price[event.source] = event.at

    def conclude(
        self, where: str, zones: Mapping[str, str], *, arguments: str = "", damage: Iterable[str] = ()
    ) -> LogFacts:
        """The facts of all that was taken."""
        found = self.gathered.conclude(zones=zones, total_lines=None, parsed_entries=None)
        still_down = [Outage(source, since, None) for source, since in self._down.items()]
        groups = sorted(self._groups.values(), key=lambda group: (-len(group), group[0].at))
        return LogFacts(
            where=where,
            zones=zones,
            statistics=found.statistics,
            races=found.races,
            hours=self._hours,
            errors=tuple(_group(group) for group in groups),
            outages=(*self._outages, *still_down),
            silences=tuple(self._silences),
            kinds={kind: _seen(events) for kind, events in self._kinds.items()},
            arguments=arguments,
            damage=tuple(damage),
        )


def wording(text: str) -> str:
    """What makes two messages the same error: the first line without signs before it, symbols and numbers."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    bare = re.sub(r"^[^\w<(\[\"']+", "", line)
    return " ".join(_DIGITS.sub("#", _SYMBOL.sub("<symbol>", bare)).lower().split())


def place(path: str, offset: int) -> str:
    """Where a record stands, as evidence names it: its file's name and its first byte there."""
    return f"{path.rpartition('/')[2]} at byte {offset}"


def locate(path: str, offset: int, module: str = "") -> str:
    """The place in the bot's code that the record at a byte names: the innermost frame of its traceback, else its module.

    What cannot be read again names nothing more.
    """
    try:
        lines = lines_around(path, offset, 1, before=0, after=60)
    except LogError:
        return module
    found = ""
    for line in lines[2:]:
        if _HEADER.match(line):
            break
        if frame := code_place(line):
            found = frame
    return found or module


def code_place(text: str) -> str:
    """The innermost frame that a traceback names, as `core/file.py:311 in function`; empty where it names none."""
    found = ""
    for match in _FRAME.finditer(text):
        found = f"{match[1]}:{match[2]}" + (f" in {match[3]}" if match[3] else "")
    return found


def _group(events: list[LogEvent]) -> ErrorGroup:
    first = events[0]
    return ErrorGroup(
        source=first.source,
        sample=first.message,
        count=len(events),
        first=min(e.at for e in events),
        last=max(e.at for e in events),
        worst="CRITICAL" if any(e.level.upper() in {"CRITICAL", "FATAL"} for e in events) else first.level,
        kind=first.kind,
        places=tuple(place(e.path, e.offset) for e in events[:_PLACES]),
        symbols=tuple(sorted({e.symbol for e in events if e.symbol})),
        exchanges=tuple(sorted({e.exchange for e in events if e.exchange})),
        location=locate(first.path, first.offset, first.module),
    )


def _seen(events: list[LogEvent]) -> Seen:
    return Seen(
        len(events),
        min(e.at for e in events),
        max(e.at for e in events),
        tuple((place(e.path, e.offset), e.message) for e in events[:_PLACES]),
    )
