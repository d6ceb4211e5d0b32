"""The host's local time as UTC: by IANA zone, with the hour that comes twice in autumn and the one that never comes in spring.

The repeated hour is told apart by the order of the lines: the first pass through it is the earlier one, and a jump back begins the
second. A log that shows only one of the two passes is put where it joins what stands before or after it more closely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

_SECONDS = 19
# A clock that shows another year was never set.
_YEARS = 1980, 2200
_DAY = timedelta(days=1)
_CACHED = 5000
# Threads write their lines a little out of order; the clock going back is more than that.
JITTER = timedelta(seconds=2)


@dataclass(slots=True)
class Edge:
    """A header at which the log enters or leaves a repeated hour, or goes back within it: its byte, its time, the time before."""

    offset: int
    at: bytes
    before: bytes


@dataclass(slots=True)
class Span:
    """What the zone needs to know of a stretch of log: the first and last local time and, in a repeated hour, the edges within."""

    first: bytes
    last: bytes
    edges: list[Edge] = field(default_factory=list)


def instant(text: bytes) -> datetime | None:
    """The naive time that a header shows, to the millisecond; None where there is no such day or hour."""
    try:
        at = datetime.fromisoformat(plain(text).decode("ascii"))
        thousandth = int(text[20:23])
    except ValueError:
        return None
    return at.replace(microsecond=thousandth * 1000) if _YEARS[0] <= at.year <= _YEARS[1] else None


def plain(text: bytes) -> bytes:
    """A header's time as 19 bytes that sort by time."""
    return text[:10] + b" " + text[11:_SECONDS]


@lru_cache(maxsize=4096)
def repeated(zone: ZoneInfo, day: date) -> tuple[bytes, bytes] | None:
    """The local times of `day` that come twice, as [start, end) in the form of `plain`; None on nearly every day."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    before, after = start.utcoffset(), (start + _DAY).utcoffset()
    if before is None or after is None or after >= before:
        return None
    low, high = start.astimezone(UTC), (start + _DAY).astimezone(UTC)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    begins = high.replace(microsecond=0).astimezone(zone).replace(tzinfo=None)
    ends = begins + (before - after)
    return begins.isoformat(" ").encode(), ends.isoformat(" ").encode()


def windows(zone: ZoneInfo, first: bytes, last: bytes) -> list[tuple[bytes, bytes]]:
    """The repeated hours between two local times, of at most a few days: a longer stretch is looked at by its ends."""
    low, high = instant(min(first, last)), instant(max(first, last))
    if low is None or high is None:
        return []
    days = [low.date() + _DAY * n for n in range(min((high.date() - low.date()).days, 400) + 1)]
    found = [window for day in days if (window := repeated(zone, day))]
    return [w for w in found if plain(min(first, last)) < w[1] and plain(max(first, last)) >= w[0]]


def any_window(zone: ZoneInfo, day: bytes) -> bool:
    """Whether any time of a day comes twice; a day of no calendar may."""
    at = instant(day + b" 00:00:00,000")
    return at is None or repeated(zone, at.date()) is not None


@cache
def _parts_of_an_hour() -> tuple[dict[bytes, timedelta], dict[bytes, timedelta]]:
    """Every `:MM:SS,` and `:MM:SS.` of a header's time, and every thousandth: looking them up is quicker than reading them."""
    within = {
        b":%02d:%02d%c" % (minute, second, mark): timedelta(minutes=minute, seconds=second)
        for minute in range(60)
        for second in range(60)
        for mark in b",."
    }
    return within, {b"%03d" % number: timedelta(milliseconds=number) for number in range(1000)}


class Clock:
    """Local times of one zone as UTC. `missing` counts times that the zone never showed, `wrong` those of no calendar."""

    def __init__(self, zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.missing = 0
        self.wrong = 0
        self._hours: dict[bytes, datetime] = {}
        self._within, self._thousandths = _parts_of_an_hour()

    def utc(self, text: bytes, fold: int = 0) -> datetime | None:
        """The time that a header shows, in UTC; None, counted, where there is no such time in a calendar."""
        hour = self._hours.get(text[:13])
        if hour is not None:
            within, rest = self._within.get(text[13:20]), self._thousandths.get(text[20:23])
            if within is not None and rest is not None:
                return hour + within + rest
        naive = instant(text)
        if naive is None:
            self.wrong += 1
            return None
        local = naive.replace(fold=fold, tzinfo=self.zone)
        utc = local.astimezone(UTC)
        if utc.astimezone(self.zone).replace(tzinfo=None) != naive:
            self.missing += 1
        else:
            self._remember(text[:13])
        return utc

    def _remember(self, text: bytes) -> None:
        """Nearly every hour begins and ends with one offset; the rest of it then need not be asked for."""
        begins = instant(text + b":00:00,000")
        if begins is None:
            return
        quarters = [begins + timedelta(minutes=minute) for minute in (0, 15, 30, 45, 59)]
        marks = [quarter.replace(fold=fold, tzinfo=self.zone) for quarter in quarters for fold in (0, 1)]
        if len({mark.utcoffset() for mark in marks}) == 1:
            if len(self._hours) > _CACHED:
                self._hours.clear()
            self._hours[text] = marks[0].astimezone(UTC)


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name."""
    return ZoneInfo(name)
