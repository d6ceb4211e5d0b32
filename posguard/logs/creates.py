"""Inserts into the bot's positions, each put together from the several lines that tell of it. Pure.

One insert prints up to six lines, in wordings that changed from version to version, and the synchroniser's prints a line of
its own and no created line. So the lines are merged: by the id where they carry one, else by symbol, actor and time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.logs.correlate import PositionEvent
from posguard.model.log_event import LogKind
from posguard.model.race import Actor, Create

if TYPE_CHECKING:
    from collections.abc import Iterable

_SAME_ID = timedelta(seconds=10)  # lines of one insert that carry its id
_SAME_INSERT = timedelta(seconds=2)  # lines of one insert that do not
_WAITS = timedelta(seconds=5)  # an insert for the line that says how it ended


def creates(events: Iterable[PositionEvent]) -> tuple[Create, ...]:
    """The inserts that the events tell of, in order of time.

    An insert that the log begins and never ends counts, with `outcome` among what is inferred: the synchroniser's ends without
    a line, and one that was lost after it committed is what an investigation looks for.
    """
    desk = _Desk()
    for event in events:
        desk.take(event)
    return desk.close()


@dataclass(slots=True)
class _Draft:
    """A create while its lines are gathered: as far as it is told, what of it is inferred, and the wordings that told of it."""

    told: Create
    inferred: set[str]
    patterns: set[str] = field(default_factory=set)

    @property
    def at(self) -> datetime:
        """When its row is there."""
        return self.told.at

    def done(self) -> Create:
        return replace(self.told, inferred=tuple(sorted(self.inferred)))

    def add(self, event: PositionEvent) -> None:
        """One more line of the same insert."""
        self.patterns.add(event.pattern)
        told = self.told
        if told.exchange is None or ("exchange" in self.inferred and "exchange" not in event.inferred):
            self._take("exchange", event, event.exchange or told.exchange)
        if told.actor is Actor.UNKNOWN or (told.actor is event.actor and "actor" not in event.inferred):
            self._take("actor", event, event.actor)

    def _take(self, name: str, event: PositionEvent, value: Any) -> None:
        self.told = replace(self.told, **{name: value})
        self.inferred.discard(name)
        self.inferred |= {name} & set(event.inferred)


class _Desk:
    """The inserts under way, and those that are told in full."""

    def __init__(self) -> None:
        self._done: list[_Draft] = []
        self._of_id: dict[tuple[str, int], _Draft] = {}
        self._of_symbol: dict[tuple[str, str], _Draft] = {}
        self._begun: dict[tuple[str, str], list[PositionEvent]] = {}

    def take(self, event: PositionEvent) -> None:
        if event.symbol is None and event.position_id is None:
            return
        match event.kind:
            case LogKind.INSERTING:
                self._expire(event)
                self._begun.setdefault(_place(event), []).append(event)
            case LogKind.CREATED:
                self._created(event)
            case LogKind.SYNC_ADDED:
                self._added(event)
            case LogKind.ALREADY_EXISTS | LogKind.DUPLICATE_ERROR:
                self._came_to_nothing(event)

    def close(self) -> tuple[Create, ...]:
        for begun in self._begun.values():
            self._unfinished(begun)
        self._done.sort(key=lambda draft: draft.at)
        return tuple(draft.done() for draft in self._done)

    def _created(self, event: PositionEvent) -> None:
        known = self._known(event)
        if known is not None:
            known.add(event)
            return
        self._expire(event)
        first = self._take_begun(event)
        self._note(event, first)

    def _known(self, event: PositionEvent) -> _Draft | None:
        """The insert that this line tells of once more."""
        if event.position_id is not None:
            draft = self._of_id.get((event.source, event.position_id))
            return draft if draft is not None and event.at - draft.at <= _SAME_ID else None
        draft = self._of_symbol.get(_place(event))
        if draft is None or event.at - draft.at > _SAME_INSERT or event.pattern in draft.patterns:
            return None
        return draft

    def _added(self, event: PositionEvent) -> None:
        draft = self._of_symbol.get(_place(event))
        if (
            draft is not None
            and draft.told.actor is Actor.SYNC
            and event.at - draft.at <= _SAME_INSERT
            and event.pattern not in draft.patterns
        ):
            draft.add(event)
            return
        self._expire(event)
        self._note(event, self._take_begun(event))

    def _note(self, event: PositionEvent, first: PositionEvent | None) -> None:
        told = Create(
            at=event.at,
            started=first.at if first else event.at,
            actor=event.actor,
            position_id=event.position_id,
            symbol=event.symbol or "",
            exchange=event.exchange,
            source=event.source,
            path=event.path,
            offset=event.offset,
        )
        draft = _Draft(told, set(event.inferred), {event.pattern})
        if first is not None:
            draft.add(first)
        self._done.append(draft)
        if event.position_id is not None:
            self._of_id[event.source, event.position_id] = draft
        self._of_symbol[_place(event)] = draft

    def _take_begun(self, event: PositionEvent) -> PositionEvent | None:
        """Takes the lines with which this insert began: the oldest of each wording, of an actor that goes with it."""
        begun = self._begun.get(_place(event), [])
        taken: list[PositionEvent] = []
        kept: list[PositionEvent] = []
        for one in begun:
            fits = one.actor is event.actor or Actor.UNKNOWN in {one.actor, event.actor}
            fresh = one.pattern not in {t.pattern for t in taken}
            (taken if fits and fresh else kept).append(one)
        self._begun[_place(event)] = kept
        return taken[0] if taken else None

    def _came_to_nothing(self, event: PositionEvent) -> None:
        """An insert that found a row, or hit the index, made none; an UPDATE that hit it leaves those of others alone."""
        begun = self._begun.get(_place(event))
        if begun:
            self._begun[_place(event)] = [
                one for one in begun if event.at - one.at > _SAME_INSERT or not _same_hand(one, event)
            ]

    def _expire(self, event: PositionEvent) -> None:
        begun = self._begun.get(_place(event))
        if not begun:
            return
        old = [one for one in begun if event.at - one.at > _WAITS]
        if old:
            self._begun[_place(event)] = [one for one in begun if event.at - one.at <= _WAITS]
            self._unfinished(old)

    def _unfinished(self, begun: list[PositionEvent]) -> None:
        """Inserts without an end: as many as the most frequent wording was printed."""
        if not begun:
            return
        wording, _ = Counter(one.pattern for one in begun).most_common(1)[0]
        for one in begun:
            if one.pattern == wording:
                self._note(one, None)
                self._done[-1].inferred.add("outcome")


def _place(event: PositionEvent) -> tuple[str, str]:
    return event.source, event.symbol or ""


def _same_hand(one: PositionEvent, event: PositionEvent) -> bool:
    return one.actor is event.actor or Actor.UNKNOWN in {one.actor, event.actor}
