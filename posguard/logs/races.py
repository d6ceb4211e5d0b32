"""Races in the bot's log: duplicate-key errors with what led to them, and double creates whose error never surfaced. Pure.

Invariants. The three or four records that one error leaves are one race. Two creates of one symbol on one exchange with no close
between are a race, error or none; different exchanges never race. A verdict says why, and is `unknown` where the lines do not
decide it. Gaps are between the lines that say a row is there, to the millisecond.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.logs.correlate import DUPLICATE, FAILURES, PositionEvent
from posguard.logs.verdict import Facts, judge
from posguard.model.log_event import LogKind
from posguard.model.position import TERMINAL
from posguard.model.race import Actor, Create, Mark, Moment, Race

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOOK_BACK = timedelta(seconds=10)  # the time line before a race
TOGETHER = timedelta(seconds=60)  # creates further apart than this are not held against each other
_ONE_ERROR = timedelta(seconds=1)  # between the records of one error
_OPEN_BEFORE = timedelta(seconds=30)  # an open may begin so long before its create
# The index that the incidents hit covers this status alone.
_INDEXED = "active"
_NUMBERS = re.compile(r"\d+")
_OF_ONE_OPEN = frozenset({LogKind.OPENING, LogKind.INSERTING, LogKind.CREATED})
_CLOSES = frozenset({LogKind.CLOSED, LogKind.EMERGENCY_CLOSE, LogKind.STOP_TRIGGERED})


def find_races(
    events: Sequence[PositionEvent], made: Sequence[Create], zones: Mapping[str, str]
) -> tuple[Race, ...]:
    """The races that correlated events and their creates tell of, in order of time.

    `zones` names each source's zone, as declared; a source it lacks is shown in UTC.
    """
    races, _ = races_and_undecided(events, made, zones, duplicate_errors(events))
    return races


def races_and_undecided(
    events: Sequence[PositionEvent],
    made: Sequence[Create],
    zones: Mapping[str, str],
    errors: Sequence[DuplicateError],
) -> tuple[tuple[Race, ...], tuple[Race, ...]]:
    """The races, as `find_races`; and creates of one symbol near each other that race only if they are on one exchange, which
    the log does not say: that it never names another one with the symbol proves nothing. Each of those has an open of its own,
    and a bot that trades on two exchanges opens one symbol on both. The database knows: `posguard logs investigate` compares its rows.
    """
    found = _Finder(events, made, zones)
    surfaced = [found.surfaced(error) for error in errors]
    silent: list[Race] = []
    undecided: list[Race] = []
    for race in found.silent(surfaced):
        (undecided if found.undecided(race) else silent).append(race)
    return (
        tuple(sorted((*surfaced, *silent), key=lambda race: (race.at, race.symbol))),
        tuple(undecided),
    )


@dataclass(slots=True)
class DuplicateError:
    """One violation of the unique index, merged from the records that it left."""

    records: list[PositionEvent]

    @property
    def at(self) -> datetime:
        """When its first record was written."""
        return self.records[0].at

    @property
    def symbol(self) -> str | None:
        """The symbol that any record names; one that is named outright goes before one that neighbours lend."""
        return self._field("symbol")

    @property
    def exchange(self) -> str | None:
        """The exchange, likewise."""
        return self._field("exchange")

    @property
    def actor(self) -> Actor:
        """Whose statement failed, by the modules of its records."""
        named = [r.actor for r in self.records if r.actor is not Actor.UNKNOWN]
        return named[0] if named else Actor.UNKNOWN

    def takes(self, record: PositionEvent) -> bool:
        """Whether a record is one more of this error: soon after, about nothing else, and not a wording that it has."""
        return (
            record.at - self.records[-1].at <= _ONE_ERROR
            and record.source == self.records[0].source
            and _agree(self.symbol, record.symbol)
            and _agree(self.exchange, record.exchange)
            and _wording(record) not in {_wording(r) for r in self.records}
        )

    def _field(self, name: str) -> str | None:
        said = [r for r in self.records if getattr(r, name) is not None]
        said.sort(key=lambda r: name in r.inferred)
        return getattr(said[0], name) if said else None


def duplicate_errors(events: Iterable[PositionEvent]) -> list[DuplicateError]:
    """The duplicate-key errors, each once, in order of time."""
    errors: list[DuplicateError] = []
    for event in events:
        if not is_duplicate(event):
            continue
        for error in reversed(errors[-16:]):
            if error.takes(event):
                error.records.append(event)
                break
        else:
            errors.append(DuplicateError([event]))
    return errors


def _wording(record: PositionEvent) -> tuple[str, str]:
    """Who says it, and the words before the server's own, without numbers: a layer of the bot says one thing once for an error."""
    return record.module, _NUMBERS.sub("", record.message.partition(DUPLICATE)[0])[:120]


def is_duplicate(event: PositionEvent) -> bool:
    """Whether a record tells of a violation of the unique index."""
    if event.kind == LogKind.DUPLICATE_ERROR:
        return True
    return event.kind in FAILURES and DUPLICATE in event.message


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


class _Finder:
    """The events by time and by symbol, and the races in them."""

    def __init__(
        self, events: Sequence[PositionEvent], made: Sequence[Create], zones: Mapping[str, str]
    ) -> None:
        self._zones = zones
        self._about: dict[str, list[PositionEvent]] = defaultdict(list)
        self._passes: list[PositionEvent] = []
        self._creates: dict[str, list[Create]] = defaultdict(list)
        for event in events:
            if event.symbol is not None:
                self._about[event.symbol].append(event)
            elif event.actor is Actor.SYNC:
                self._passes.append(event)
        for create in made:
            self._creates[create.symbol].append(create)

    def surfaced(self, error: DuplicateError) -> Race:
        """The race that ended in an error."""
        symbol, exchange = error.symbol or "", error.exchange
        before = [
            c
            for c in _rows_once(self._creates.get(symbol, []))
            if error.at - TOGETHER <= c.at <= error.records[-1].at and _agree(exchange, c.exchange)
        ]
        rivals = self._standing(symbol, before)
        own = {r.offset for r in error.records}
        return self._race(
            error.at,
            symbol,
            exchange,
            error.records[0].source,
            rivals,
            failed=error.actor,
            errors=tuple(sorted(own)),
        )

    def silent(self, surfaced: Sequence[Race]) -> list[Race]:
        """The double creates that no error tells of."""
        told = {c.place for race in surfaced for c in race.creates}
        races = []
        for symbol, made in self._creates.items():
            for whole in self._groups(symbol, made):
                known = max((n for n, c in enumerate(whole) if n and c.place in told), default=0)
                group = whole[known:]
                if len(group) > 1:
                    last = group[-1]
                    exchange = next((c.exchange for c in group if c.exchange), None)
                    races.append(self._race(last.at, symbol, exchange, last.source, group, failed=None))
        return races

    def undecided(self, race: Race) -> bool:
        """Whether the creates of a race without an error may as well be on two exchanges."""
        if all(self._exchange_is_told(create) for create in race.creates):
            return False
        about = self._within(self._about.get(race.symbol, []), race.creates[0].at, race.at)
        opened = sum(e.kind == LogKind.OPENING for e in about)
        return opened >= len(race.creates) - 1

    def _exchange_is_told(self, create: Create) -> bool:
        """Whether a line of the create itself, of its own open or of its own pass names the exchange."""
        if create.exchange is None or "exchange" not in create.inferred:
            return create.exchange is not None
        since = create.started - _OPEN_BEFORE
        if create.actor is Actor.SYNC:
            return any(map(_names_exchange, self._within(self._passes, since, create.at)))
        opened = False
        for event in reversed(self._within(self._about.get(create.symbol, []), since, create.at)):
            if opened and event.kind in {LogKind.OPENING, LogKind.SIGNAL}:
                return event.kind == LogKind.SIGNAL and _names_exchange(event)
            if not opened and event.kind in _OF_ONE_OPEN and _names_exchange(event):
                return True
            opened = opened or event.kind == LogKind.OPENING
        return False

    def _groups(self, symbol: str, made: list[Create]) -> Iterable[list[Create]]:
        """Creates of one symbol that no close lies between, two or more together."""
        near: list[list[Create]] = []
        together: list[list[Create]] = []
        for create in _rows_once(made):
            near = [group for group in near if create.at - group[-1].at <= TOGETHER]
            group = next((g for g in near if self._rival(symbol, g, create)), None)
            if group is None:
                near.append([create])
                continue
            if len(group) == 1:
                together.append(group)
            group.append(create)
        return together

    def _rival(self, symbol: str, group: list[Create], create: Create) -> bool:
        last = group[-1]
        exchange = next((c.exchange for c in group if c.exchange), None)
        return _agree(exchange, create.exchange) and not self._closed_between(symbol, last, create.at)

    def _standing(self, symbol: str, before: list[Create]) -> list[Create]:
        """Of the creates before an error, those that no close put away before the next."""
        kept: list[Create] = []
        for create in before:
            if kept and self._closed_between(symbol, kept[-1], create.at):
                kept = []
            kept.append(create)
        return kept

    def _closed_between(self, symbol: str, create: Create, until: datetime) -> bool:
        for event in self._within(self._about.get(symbol, []), create.at, until):
            if not _ends(event) or not _agree(create.exchange, event.exchange):
                continue
            if _is_of(create, event.position_id):
                return True
        return False

    def _race(
        self,
        at: datetime,
        symbol: str,
        exchange: str | None,
        source: str,
        rivals: list[Create],
        *,
        failed: Actor | None,
        errors: tuple[int, ...] = (),
    ) -> Race:
        exchange = exchange or next((c.exchange for c in rivals if c.exchange), None)
        since = min([at - LOOK_BACK, *(c.started for c in rivals)])
        near = [
            e for e in self._within(self._about.get(symbol, []), since, at) if _agree(exchange, e.exchange)
        ]
        facts = Facts(
            creates=tuple(rivals),
            failed=failed,
            before=tuple(
                e
                for e in self._within(self._about.get(symbol, []), since - _OPEN_BEFORE, at)
                if _agree(exchange, e.exchange)
            ),
        )
        verdict = judge(facts)
        passes = [e for e in self._within(self._passes, since, at) if _agree(exchange, e.exchange)]
        return Race(
            at=at,
            symbol=symbol,
            exchange=exchange,
            source=source,
            zone=self._zones.get(source, "UTC"),
            surfaced=failed is not None,
            scenario=verdict.scenario,
            confidence=verdict.confidence,
            reason=verdict.reason,
            creates=tuple(rivals),
            moments=tuple(_moments([*near, *passes], rivals)),
            errors=errors,
        )

    @staticmethod
    def _within(events: list[PositionEvent], since: datetime, until: datetime) -> list[PositionEvent]:
        first = bisect_left(events, since, key=_at)
        return events[first : bisect_right(events, until, key=_at)]


def _at(event: PositionEvent) -> datetime:
    return event.at


def _names_exchange(event: PositionEvent) -> bool:
    """Whether the line says its exchange itself."""
    return event.exchange is not None and "exchange" not in event.inferred


def _ends(event: PositionEvent) -> bool:
    """Whether an event says that a row no longer stands for an open position."""
    if event.kind in _CLOSES:
        return True
    return event.kind == LogKind.UPDATED and event.status in TERMINAL


def _is_of(create: Create, number: int | None) -> bool:
    """Whether an ending that names a row, or none, ends this create's; one whose id nobody knows is not ended by another's."""
    return number is None or number == create.position_id


def _moments(events: list[PositionEvent], rivals: Sequence[Create]) -> list[Moment]:
    created = {c.place for c in rivals}
    events.sort(key=lambda e: (e.at, e.offset))
    return [
        Moment(
            at=event.at,
            actor=event.actor,
            mark=_mark(event, created=event.place in created),
            text=" ".join(event.message.split())[:300],
            position_id=event.position_id,
            source=event.source,
            path=event.path,
            offset=event.offset,
            inferred=event.inferred,
        )
        for event in events
    ]


_MARKS: Mapping[str, Mark] = {
    LogKind.ACTIVATED: Mark.ENTERS_INDEX,
    LogKind.SYNC_STARTED: Mark.SYNC,
    LogKind.SYNC_FOUND: Mark.SYNC,
    LogKind.SYNC_ADDED: Mark.SYNC,
    LogKind.SYNC_COMPLETED: Mark.SYNC,
    LogKind.ROLLBACK: Mark.ROLLBACK,
    LogKind.NOT_FOUND: Mark.ROLLBACK,
    LogKind.EMERGENCY_CLOSE: Mark.ROLLBACK,
}


def _rows_once(made: Iterable[Create]) -> Iterable[Create]:
    """The creates without those of a row that another source has told of: two declared logs may overlap."""
    seen: dict[int, Create] = {}
    for create in made:
        number = create.position_id
        if number is not None and number in seen and create.at - seen[number].at <= TOGETHER:
            continue
        if number is not None:
            seen[number] = create
        yield create


def _mark(event: PositionEvent, *, created: bool) -> Mark:
    if created:
        return Mark.CREATE
    if is_duplicate(event):
        return Mark.ERROR
    if event.kind == LogKind.UPDATED and event.status:
        return Mark.ENTERS_INDEX if event.status == _INDEXED else Mark.LEAVES_INDEX
    return _MARKS.get(event.kind, Mark.NONE)
