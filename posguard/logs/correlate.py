"""Position events put together from neighbouring lines of the bot's log. Pure.

The line that says a row was created carries its id and no symbol, the line of the INSERT its symbol and no exchange, and the
synchroniser prints no created line at all. What an event's own record does not say is taken from its neighbours, in this
order: a line that says id and symbol together, wherever it stands; the one insert that waits for its created line; the open or
the pass of the synchroniser under way; the only exchange a symbol is ever named with. A field that came so is in `inferred`;
where neighbours disagree it stays None.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from posguard.logs.repeats import told_once
from posguard.model.log_event import LogEvent, LogKind
from posguard.model.race import Actor
from posguard.model.symbol import canonical_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OPEN_LASTS = timedelta(seconds=30)  # an open without an end is no neighbour any longer
_PASS_LASTS = timedelta(seconds=30)  # nor is a pass of the synchroniser
_INSERT_WAITS = timedelta(seconds=5)  # for its created line
_CLEARLY, _LEAST_APART = (
    5,
    timedelta(milliseconds=20),
)  # how much longer another insert has waited that is not meant

_ACTOR_OF_KIND: Mapping[str, Actor] = {
    LogKind.SIGNAL: Actor.SIGNAL,
    LogKind.WAVE: Actor.SIGNAL,
    LogKind.OPENING: Actor.SIGNAL,
    LogKind.SAVED: Actor.SIGNAL,
    LogKind.SYNC_STARTED: Actor.SYNC,
    LogKind.SYNC_FOUND: Actor.SYNC,
    LogKind.SYNC_ADDED: Actor.SYNC,
    LogKind.SYNC_COMPLETED: Actor.SYNC,
    LogKind.PHANTOM: Actor.SYNC,
    LogKind.RECOVERY: Actor.RECOVERY,
    LogKind.ZOMBIE: Actor.CLEANUP,
    LogKind.AGED: Actor.CLEANUP,
}
_ACTOR_OF_MODULE = (
    ("sync", Actor.SYNC),
    ("recover", Actor.RECOVERY),
    ("clean", Actor.CLEANUP),
    ("zombie", Actor.CLEANUP),
    ("aged", Actor.CLEANUP),
    ("signal", Actor.SIGNAL),
    ("atomic", Actor.SIGNAL),
    ("wave", Actor.SIGNAL),
)
POSITION_KINDS = frozenset(
    {
        *_ACTOR_OF_KIND,
        LogKind.INSERTING,
        LogKind.CREATED,
        LogKind.ALREADY_EXISTS,
        LogKind.UPDATED,
        LogKind.ACTIVATED,
        LogKind.CLOSED,
        LogKind.ENTRY_PLACED,
        LogKind.ORDER_FILLED,
        LogKind.STOP_PLACING,
        LogKind.STOP_PLACED,
        LogKind.STOP_FAILED,
        LogKind.STOP_TRIGGERED,
        LogKind.UNPROTECTED,
        LogKind.ROLLBACK,
        LogKind.NOT_FOUND,
        LogKind.EMERGENCY_CLOSE,
        LogKind.DUPLICATE_ERROR,
    }
    - {LogKind.ZOMBIE, LogKind.AGED}
)
_OTHER_TABLES = ("order", "event", "trail", "trade", "aged", "param", "risk", "metric", "transaction_log")
# What the lines after an event learn from it.
_OF_PASS = frozenset({LogKind.SYNC_STARTED, LogKind.SYNC_COMPLETED})
_OF_ROW = frozenset({LogKind.CREATED, LogKind.ALREADY_EXISTS})
_OF_OPEN = frozenset(
    {
        LogKind.SIGNAL,
        LogKind.OPENING,
        LogKind.INSERTING,
        LogKind.SAVED,
        LogKind.ACTIVATED,
        LogKind.ROLLBACK,
        LogKind.EMERGENCY_CLOSE,
        LogKind.NOT_FOUND,
        LogKind.RECOVERY,
    }
)
DUPLICATE = "duplicate key value"
# Kinds whose text may quote a duplicate-key error; the last is the shipped pattern's own word.
FAILURES = frozenset({LogKind.ERROR, LogKind.ROLLBACK, "creation_failed"})
# Lines that name no symbol and belong to the open, or the rollback, that is under way.
_PART_OF_OPEN = frozenset(
    {
        LogKind.ENTRY_PLACED,
        LogKind.ORDER_FILLED,
        LogKind.STOP_PLACED,
        LogKind.STOP_FAILED,
        LogKind.UNPROTECTED,
        LogKind.ROLLBACK,
        LogKind.NOT_FOUND,
        LogKind.EMERGENCY_CLOSE,
        LogKind.DUPLICATE_ERROR,
    }
)


class PositionEvent(NamedTuple):
    """One record about a position, with what its neighbours add. `symbol` is canonical; `inferred` names the added fields."""

    at: datetime
    kind: str
    actor: Actor
    position_id: int | None
    symbol: str | None
    exchange: str | None
    status: str | None
    quantity: Decimal | None
    level: str
    module: str
    message: str
    source: str
    path: str
    offset: int
    pattern: str
    inferred: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[str, str, int]:
        """Where its record stands."""
        return self.source, self.path, self.offset


def tells_of_position(event: LogEvent) -> bool:
    """Whether `correlate` has a use for an event: those of positions, and errors that speak of a duplicate position."""
    if event.kind == LogKind.DUPLICATE_ERROR:
        return not _of_another_table(event.fields.get("constraint", ""))
    return event.kind in POSITION_KINDS or (event.kind in FAILURES and DUPLICATE in event.message)


def _of_another_table(constraint: str) -> bool:
    """Whether a violated constraint is no index on open positions: a primary key, or one named after another of the bot's tables.

    A name that says nothing is taken for an index on positions: deployments name it as they like.
    """
    name = constraint.lower()
    if name.endswith("_pkey"):
        return True
    return any(word in name for word in _OTHER_TABLES) and "active" not in name


def correlate(events: Iterable[LogEvent]) -> tuple[PositionEvent, ...]:
    """The events about positions, completed from their neighbours, in order of time; each source is read by itself.

    Events of one source come in the order of their lines. What several files or sources tell is told once.
    """
    reader = Correlator()
    kept = [event for event in events if tells_of_position(event)]
    for event in kept:
        reader.hear(event)
    return reader.told(kept)


class Correlator:
    """Completes events from their neighbours, a stretch of the log after another.

    `hear` all events that there are as yet, whose ids and exchanges may be named anywhere, before the first of them is `told`.
    """

    def __init__(self) -> None:
        self._neighbours: defaultdict[str, _Neighbours] = defaultdict(_Neighbours)

    def hear(self, event: LogEvent) -> None:
        """Hears what an event about a position names; those of one source in the order of their lines."""
        if event.symbol:
            self._neighbours[event.source].hear(event, _canonical(event.symbol))

    def told(self, events: Iterable[LogEvent]) -> tuple[PositionEvent, ...]:
        """The next stretch of events about positions, in order of time."""
        by_source: dict[str, list[LogEvent]] = defaultdict(list)
        for event in events:
            by_source[event.source].append(event)
        found: list[PositionEvent] = []
        for source, lines in by_source.items():
            found.extend(map(self._neighbours[source].take, lines))
        return tuple(told_once(found))


@dataclass(slots=True)
class _Open:
    """An open under way: when it began, on which exchange, and whether its insert was seen."""

    at: datetime
    exchange: str | None
    inserted: bool = False


class _Neighbours:
    """What the lines read so far, and ids and exchanges named anywhere in the source, add to the next line."""

    def __init__(self) -> None:
        self._named: dict[int, str] = {}
        self._symbol_of: dict[int, str] = {}
        self._exchanges_of: dict[str, set[str]] = defaultdict(set)
        self._exchange_of: dict[int, str] = {}
        self._actor_of: dict[int, Actor] = {}
        self._opens: dict[str, _Open] = {}
        self._recovered: dict[str, datetime] = {}
        self._busy: dict[str, datetime] = {}
        self._signals: dict[str, tuple[datetime, str]] = {}
        self._pass: tuple[datetime, str | None] | None = None
        self._waiting: list[PositionEvent] = []

    def hear(self, event: LogEvent, symbol: str) -> None:
        """A line that names a symbol, with an id or an exchange perhaps."""
        if event.position_id is not None:
            self._named.setdefault(event.position_id, symbol)
        if event.exchange:
            self._exchanges_of[symbol].add(event.exchange)

    def take(self, event: LogEvent) -> PositionEvent:
        """The next event, completed."""
        told = self.complete(event)
        self.remember(told)
        return told

    def complete(self, event: LogEvent) -> PositionEvent:
        """The event with what its neighbours know of it."""
        inferred: list[str] = []
        symbol = _canonical(event.symbol) if event.symbol else None
        if symbol is None and (symbol := self._symbol(event)):
            inferred.append("symbol")
        actor, said = self._actor(event, symbol)
        if not said and actor is not Actor.UNKNOWN:
            inferred.append("actor")
        exchange = event.exchange
        if exchange is None and (exchange := self._exchange(event, symbol, actor)):
            inferred.append("exchange")
        return PositionEvent(
            event.at,
            event.kind,
            actor,
            event.position_id,
            symbol,
            exchange,
            event.status,
            event.quantity,
            event.level,
            event.module,
            event.message,
            event.source,
            event.path,
            event.offset,
            event.pattern,
            tuple(inferred),
        )

    def remember(self, told: PositionEvent) -> None:
        """What the event means for the lines after it."""
        number, symbol = told.position_id, told.symbol
        if told.kind in _OF_PASS:
            self._pass = (told.at, told.exchange) if told.kind == LogKind.SYNC_STARTED else None
        elif told.kind in _OF_OPEN and symbol:
            self._remember_symbol(told, symbol)
        elif told.kind in _OF_ROW:
            self._inserted(told)
        if number is not None:
            if symbol:
                self._symbol_of.setdefault(number, symbol)
            if told.exchange:
                self._exchange_of.setdefault(number, told.exchange)
            if told.kind == LogKind.CREATED and told.actor is not Actor.UNKNOWN:
                self._actor_of.setdefault(number, told.actor)

    def _remember_symbol(self, told: PositionEvent, symbol: str) -> None:
        match told.kind:
            case LogKind.SIGNAL if told.exchange:
                self._signals[symbol] = (told.at, told.exchange)
            case LogKind.OPENING:
                self._opens[symbol] = _Open(told.at, told.exchange)
                self._busy[symbol] = told.at
            case LogKind.ROLLBACK:
                self._busy[symbol] = told.at
            case LogKind.SAVED | LogKind.ACTIVATED | LogKind.EMERGENCY_CLOSE | LogKind.NOT_FOUND:
                self._busy.pop(symbol, None)
            case LogKind.RECOVERY:
                self._recovered[symbol] = told.at
            case LogKind.INSERTING if told.actor is not Actor.SYNC:
                self._waiting.append(told)

    def _inserted(self, told: PositionEvent) -> None:
        """A created line came: the insert of its symbol no longer waits, and its open has its row."""
        self._waiting = [
            one for one in self._waiting if one.symbol != told.symbol and told.at - one.at <= _INSERT_WAITS
        ]
        if told.symbol in self._opens:
            self._opens[told.symbol].inserted = True

    def _symbol(self, event: LogEvent) -> str | None:
        if event.position_id is not None:
            # What a line says goes before what was made of its neighbours.
            known = self._named.get(event.position_id) or self._symbol_of.get(event.position_id)
            if known is not None:
                return known
        if event.kind == LogKind.CREATED and (symbol := self._inserted_just_now(event.at)) is not None:
            return symbol
        if event.kind in _PART_OF_OPEN and _actor_of_module(event.module) is not Actor.SYNC:
            self._busy = {one: at for one, at in self._busy.items() if event.at - at <= _OPEN_LASTS}
            if len(self._busy) == 1:
                return next(iter(self._busy))
        return None

    def _inserted_just_now(self, at: datetime) -> str | None:
        """The symbol of the insert whose created line this is: of the only one that waits, or of one so much younger than all
        others that they cannot be meant; None where that is not clear.
        """
        self._waiting = [one for one in self._waiting if at - one.at <= _INSERT_WAITS]
        if not self._waiting:
            return None
        youngest = self._waiting[-1]
        others = [one for one in self._waiting if one.symbol != youngest.symbol]
        clear = not others or at - others[-1].at >= max(_CLEARLY * (at - youngest.at), _LEAST_APART)
        return youngest.symbol if clear else None

    def _actor(self, event: LogEvent, symbol: str | None) -> tuple[Actor, bool]:
        """Who wrote the line, and whether it says so itself: by its kind or by its module."""
        if (actor := _ACTOR_OF_KIND.get(event.kind)) is not None:
            return actor, True
        if (actor := _actor_of_module(event.module)) is not None:
            return actor, True
        if event.position_id is not None and event.position_id in self._actor_of:
            return self._actor_of[event.position_id], False
        return self._actor_nearby(event, symbol), False

    def _actor_nearby(self, event: LogEvent, symbol: str | None) -> Actor:
        if symbol is None:
            return Actor.UNKNOWN
        opened = self._opens.get(symbol)
        if opened is not None and not timedelta() <= event.at - opened.at <= _OPEN_LASTS:
            opened = None
        inserts = event.kind in {LogKind.INSERTING, LogKind.CREATED}
        if opened is not None and not (inserts and opened.inserted):
            return Actor.SIGNAL
        if inserts and self._pass_under_way(event.at):
            return Actor.SYNC
        recovered = self._recovered.get(symbol)
        if recovered is not None and event.at - recovered <= _OPEN_LASTS:
            return Actor.RECOVERY
        return Actor.SIGNAL if opened is not None else Actor.UNKNOWN

    def _exchange(self, event: LogEvent, symbol: str | None, actor: Actor) -> str | None:
        if event.position_id is not None and event.position_id in self._exchange_of:
            return self._exchange_of[event.position_id]
        if actor is Actor.SYNC and self._pass is not None and self._pass_under_way(event.at):
            return self._pass[1]
        if symbol is None:
            return None
        if (near := self._exchange_of_open(event, symbol)) is not None:
            return near
        known = self._exchanges_of.get(symbol)
        return next(iter(known)) if known is not None and len(known) == 1 else None

    def _exchange_of_open(self, event: LogEvent, symbol: str) -> str | None:
        """The exchange that the signal, or the open of it, names."""
        if event.kind == LogKind.OPENING:
            signal = self._signals.get(symbol)
            return signal[1] if signal is not None and event.at - signal[0] <= _INSERT_WAITS else None
        opened = self._opens.get(symbol)
        return opened.exchange if opened is not None and event.at - opened.at <= _OPEN_LASTS else None

    def _pass_under_way(self, at: datetime) -> bool:
        return self._pass is not None and at - self._pass[0] <= _PASS_LASTS


_canonical = lru_cache(maxsize=4096)(canonical_symbol)


@lru_cache(maxsize=4096)
def _actor_of_module(module: str) -> Actor | None:
    lowered = module.lower()
    return next((actor for part, actor in _ACTOR_OF_MODULE if part in lowered), None)
