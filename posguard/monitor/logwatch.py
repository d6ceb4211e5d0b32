"""What only the bot's log tells, as it is written: counts of each window, in the log's own times as UTC.

The log is read from its beginning once, then followed: to the end of the file that was rotated away, and on in the new one. A
line counts when it is whole. A log that cannot be read is no source, not a quiet one.
"""

from __future__ import annotations

import io
import os
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from posguard.errors import LogError
from posguard.logs.extract import extract, extract_stream
from posguard.logs.patterns import load_patterns
from posguard.logs.sources import files_of, is_plain
from posguard.logs.zones import repeated, zone_of
from posguard.model.log_event import LogKind
from posguard.model.metrics import TEN_MINUTES, UNNAMED, Measure
from posguard.model.monitoring import Reading, counted, unsourced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from posguard.logs.patterns import Pattern
    from posguard.model.log_event import LogEvent
    from posguard.settings import LogSource

NO_LOG = "no log is named: --log PATH"
MEASURES = (
    Measure.PRICE_UPDATES,
    Measure.API_ERRORS,
    Measure.WEBSOCKET_RECONNECTS,
    Measure.EMERGENCY_LOGGED,
)
_KINDS: Mapping[str, Measure] = {
    LogKind.PRICE_UPDATE: Measure.PRICE_UPDATES,
    LogKind.API_ERROR: Measure.API_ERRORS,
    LogKind.RATE_LIMIT: Measure.API_ERRORS,
    LogKind.EMERGENCY_CLOSE: Measure.EMERGENCY_LOGGED,
}
_WANTED = frozenset({*_KINDS, LogKind.WEBSOCKET_UP, LogKind.WEBSOCKET_DOWN})
# Shapes that only one exchange's errors have.
_OF_EXCHANGE: Mapping[str, str] = {"binance_error": "binance", "retcode": "bybit"}
_PIECE = 4 << 20
_HOUR = timedelta(hours=1)


def no_log(why: str = NO_LOG) -> dict[Measure, Reading]:
    """The readings of a run without a log, or with one that cannot be read."""
    return dict.fromkeys(MEASURES, unsourced(why))


def log_to_follow(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The file that is written, and the older ones of its set. Raises LogError where none is there, or it cannot be followed."""
    *older, newest = files_of(paths)
    try:
        plain = is_plain(newest)
    except OSError as error:
        raise LogError(f"{newest} cannot be read: {error.strerror}. Nothing was done.") from None
    if not plain:
        raise LogError(
            f"{newest} is packed or no UTF-8, and cannot be followed. Nothing was done.",
            hint="Name the log that the bot writes.",
        )
    return newest, older


@dataclass(slots=True)
class LogCounts:
    """What the lines said so far. `recent` holds those of the last ten minutes and of what has yet to be asked for."""

    since: datetime
    ever: dict[Measure, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    hours: dict[int, dict[Measure, Counter[str]]] = field(default_factory=dict)
    prices: dict[str, datetime] = field(default_factory=dict)
    recent: deque[tuple[datetime, Measure, str]] = field(default_factory=deque)
    _down: set[str] = field(default_factory=set)

    def take(self, event: LogEvent, at: datetime) -> None:
        """Counts one line."""
        exchange = event.exchange or _OF_EXCHANGE.get(event.pattern, "")
        measure = _KINDS.get(event.kind)
        if event.kind == LogKind.WEBSOCKET_DOWN:
            self._down.add(exchange)
        elif event.kind == LogKind.WEBSOCKET_UP:
            again = exchange in self._down or "reconnected" in event.message
            self._down.discard(exchange)
            measure = Measure.WEBSOCKET_RECONNECTS if again else None
        if measure is None:
            return
        if measure is Measure.PRICE_UPDATES:
            self.prices[exchange] = max(at, self.prices.get(exchange, at))
        name = exchange or UNNAMED
        self.ever[measure][name] += 1
        if at > self.since:
            hour = self.hours.setdefault(int((at - self.since) / _HOUR), defaultdict(Counter))
            hour[measure][name] += 1
        if at > self.since - TEN_MINUTES:
            self.recent.append((at, measure, name))

    def window(self, at: datetime, length: timedelta) -> dict[Measure, Reading]:
        """What was said in (at - length, at]; lines older than ten minutes before are dropped."""
        if self.recent and self.recent[0][0] <= at - TEN_MINUTES:
            self.recent = deque(one for one in self.recent if one[0] > at - TEN_MINUTES)
        found: dict[Measure, Counter[str]] = {measure: Counter() for measure in MEASURES}
        for moment, measure, exchange in self.recent:
            if at - length < moment <= at:
                found[measure][exchange] += 1
        return {measure: counted(by_exchange) for measure, by_exchange in found.items()}

    def all_time(self) -> dict[Measure, Reading]:
        """What was said since the log began, as far as it is named."""
        return {measure: counted(self.ever.get(measure, {})) for measure in MEASURES}


class LogWatch:
    """Follows one declared log. `broken` says why it cannot be read at present, "" where it can."""

    def __init__(
        self,
        source: LogSource,
        paths: Sequence[str],
        since: datetime,
        *,
        patterns: Sequence[Pattern] | None = None,
    ) -> None:
        self.source = source
        self.counts = LogCounts(since)
        self.broken = ""
        self._paths = tuple(paths)
        known = load_patterns() if patterns is None else patterns
        self._patterns = tuple(pattern for pattern in known if pattern.kind in _WANTED)
        self._zone = zone_of(source.zone)
        self._file: BinaryIO | None = None
        self._path = ""
        self._done = 0

    def begin(self) -> None:
        """Reads what is there already. Raises LogError where there is no log, or the one being written is packed."""
        self._path, older = log_to_follow(self._paths)
        if older:
            self._take(extract(older, self.source, patterns=self._patterns))
        self._open()
        self._drain(None)

    def poll(self, now: datetime) -> None:
        """Counts the lines that were written since, by the clock `now`; what goes wrong is `broken`."""
        try:
            self._poll(now)
            self.broken = ""
        except OSError as error:
            self.broken = f"{self._path} cannot be read: {error.strerror or error}"
        except LogError as error:
            self.broken = error.message

    def close(self) -> None:
        """Lets the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _poll(self, now: datetime) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None
        if (newest := files_of(self._paths)[-1]) != self._path:
            self._drain(now)
            self.close()
            self._path = newest
            self._open()
        present = os.stat(self._path)  # noqa: PTH116 - a log's path is a text everywhere
        mine = os.fstat(self._file.fileno())
        if (present.st_ino, present.st_dev) != (mine.st_ino, mine.st_dev):
            self._drain(now)
            self.close()
            self._open()
        elif present.st_size < self._done:
            self._done = 0
        self._drain(now)

    def _open(self) -> None:
        self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115, PTH123 - followed until `close`
        self._done = 0

    def _drain(self, now: datetime | None) -> None:
        """Takes all whole lines behind what is done, piece by piece."""
        assert self._file is not None
        self._file.seek(self._done)
        held = b""
        while piece := self._file.read(_PIECE):
            held += piece
            cut = held.rfind(b"\n") + 1
            if cut:
                stream = io.BytesIO(held[:cut])
                self._take(extract_stream(stream, self.source, name=self._path, patterns=self._patterns), now)
                self._done += cut
                held = held[cut:]

    def _take(self, events: Iterable[LogEvent], now: datetime | None = None) -> None:
        for event in events:
            self.counts.take(event, event.at if now is None else self._live(event.at, now))

    def _live(self, at: datetime, now: datetime) -> datetime:
        """A line that was just written, in the hour that comes twice in autumn, is of the pass that is now."""
        local = at.astimezone(self._zone)
        if repeated(self._zone, local.date()) is None:
            return at
        other = local.replace(fold=1 - local.fold).astimezone(UTC)
        return min(at, other, key=lambda one: abs(now - one))
