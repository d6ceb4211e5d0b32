"""A made-up bot's rows, events and log, minute by minute, with the troubles that the monitor has to notice. Pure.

Whoever plays it writes what happened up to a moment and asks the monitor; `truth` says what each minute must have said, by
looking at every fact there is, which is what the monitor's queries do not do.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from posguard.demo.records import EventRecord, PositionRecord
from posguard.model.metrics import Measure, measures_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ZONE = "Asia/Dubai"
MINUTE = timedelta(minutes=1)
EXCHANGES = ("binance", "bybit")
_COINS = ("APT", "KAS", "STX", "INJ", "SEI", "TIA", "OP", "ARB")


@dataclass(frozen=True, slots=True)
class Troubles:
    """What goes wrong, in minutes of the world, each from the first to before the second: None leaves it out.

    unprotected: a position's stop is gone; silent: the bot writes no event and opens nothing; priceless: Binance's prices stop.
    errors and emergency happen within one minute.
    """

    unprotected: tuple[int, int] | None = None
    silent: tuple[int, int] | None = None
    priceless: tuple[int, int] | None = None
    errors: int | None = None
    emergency: int | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A position from its row to its end. stopped_at is when its first stop stood, bare the time in which none did."""

    id: int
    exchange: str
    symbol: str
    created_at: datetime
    filled_at: datetime
    stopped_at: datetime
    closed_at: datetime | None = None
    bare: tuple[datetime, datetime] | None = None

    def is_protected(self, at: datetime) -> bool:
        """Whether a stop stands."""
        return self.stopped_at <= at and not (self.bare and self.bare[0] <= at < self.bare[1])

    def is_open(self, at: datetime) -> bool:
        """Whether the row is there and not closed."""
        return self.created_at <= at and (self.closed_at is None or self.closed_at > at)

    def record(self, at: datetime) -> PositionRecord:
        """The row as it is at a moment."""
        ended = self.closed_at is not None and self.closed_at <= at
        protected = self.is_protected(at)
        return PositionRecord(
            id=self.id,
            signal_id=self.id,
            symbol=self.symbol,
            exchange=self.exchange,
            side="long",
            quantity=Decimal(10),
            entry_price=Decimal(3),
            status="closed" if ended else "active",
            opened_at=self.created_at,
            updated_at=at,
            created_at=self.created_at,
            closed_at=self.closed_at if ended else None,
            has_stop_loss=protected,
            stop_loss_price=Decimal("2.8") if protected else None,
            exchange_order_id=str(90_000 + self.id),
            exit_reason="stop_loss" if ended else None,
        )


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bot's log and what it counts as: a measure and an exchange, or nothing."""

    at: datetime
    text: str
    measure: Measure | None = None
    exchange: str = ""


@dataclass(frozen=True)
class MovingWorld:
    """The whole of it: from `since` on, so many minutes."""

    since: datetime
    minutes: int
    stories: tuple[Story, ...]
    events: tuple[EventRecord, ...]
    lines: tuple[Line, ...]
    troubles: Troubles = field(default_factory=Troubles)

    def at(self, minute: int) -> datetime:
        """The end of a minute, counted from 1."""
        return self.since + minute * MINUTE

    def rows(self, after: datetime, until: datetime) -> tuple[list[PositionRecord], list[PositionRecord]]:
        """The rows that are new in (after, until], and those that changed in it, as they are at its end."""
        new = [one.record(until) for one in self.stories if after < one.created_at <= until]
        changed = [
            one.record(until)
            for one in self.stories
            if one.created_at <= after and replace(one.record(after), updated_at=until) != one.record(until)
        ]
        return new, changed

    def events_between(self, after: datetime, until: datetime) -> list[EventRecord]:
        """The events that were written in (after, until]."""
        return [one for one in self.events if after < one.created_at <= until]

    def log_between(self, after: datetime, until: datetime) -> str:
        """The log's lines of (after, until], in the clock of ZONE."""
        zone = ZoneInfo(ZONE)
        return "".join(
            f"{(at := one.at.astimezone(zone)):%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d} - bot - INFO - {one.text}\n"
            for one in self.lines
            if after < one.at <= until
        )


def make_moving_world(
    since: datetime, minutes: int, *, seed: int, troubles: Troubles | None = None, before: int = 0
) -> MovingWorld:
    """A world of so many minutes; `before` positions were opened in the five hours before it. The same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - a made-up world
    trouble = troubles or Troubles()
    stories = list(_stories(dice, since, minutes, trouble, before))
    events = sorted(
        [*_events(dice, stories), *_incidental(dice, since, minutes, trouble)], key=lambda one: one.created_at
    )
    quiet = _span(since, trouble.silent)
    events = [one for one in events if not (quiet and quiet[0] < one.created_at <= quiet[1])]
    lines = sorted(_lines(dice, since, minutes, trouble), key=lambda one: one.at)
    return MovingWorld(since, minutes, tuple(stories), tuple(events), tuple(lines), trouble)


def _span(since: datetime, minutes: tuple[int, int] | None) -> tuple[datetime, datetime] | None:
    return (since + minutes[0] * MINUTE, since + minutes[1] * MINUTE) if minutes else None


def _stories(
    dice: random.Random, since: datetime, minutes: int, trouble: Troubles, before: int
) -> Iterator[Story]:
    """In the order of their rows: ids come from a sequence."""
    quiet = _span(since, trouble.silent)
    starts = [since - timedelta(seconds=dice.uniform(60, 5 * 3600)) for _ in range(before)]
    starts += [
        since + minute * MINUTE + timedelta(seconds=dice.uniform(0, 60))
        for minute in range(minutes)
        for _ in range(dice.choice((0, 0, 1, 1, 2)))
    ]
    naked = None
    if trouble.unprotected:
        naked = since + trouble.unprotected[0] * MINUTE - timedelta(minutes=2, seconds=7)
        starts.append(naked)
    number = 0
    for at in sorted(starts):
        if quiet and quiet[0] < at <= quiet[1]:
            continue
        number += 1
        began = at.replace(microsecond=at.microsecond // 1000 * 1000)
        yield (
            _naked(number, began, since, trouble)
            if at == naked
            else _story(dice, number, began, since, quiet)
        )


def _story(
    dice: random.Random,
    number: int,
    began: datetime,
    since: datetime,
    quiet: tuple[datetime, datetime] | None,
) -> Story:
    filled = began + timedelta(milliseconds=dice.randint(80, 900))
    closed = began + timedelta(milliseconds=dice.randint(60_000, int(5.5 * 3600 * 1000)))
    # what would have ended before the world began, or in the silence, goes on for good
    goes_on = closed <= since or bool(quiet and quiet[0] < closed <= quiet[1])
    return Story(
        number,
        dice.choice(EXCHANGES),
        f"{dice.choice(_COINS)}{number}USDT",
        began,
        filled,
        filled + timedelta(milliseconds=dice.randint(50, 2500)),
        None if goes_on else closed,
    )


def _naked(number: int, began: datetime, since: datetime, trouble: Troubles) -> Story:
    assert trouble.unprotected is not None
    first, last = (since + minute * MINUTE - timedelta(seconds=20) for minute in trouble.unprotected)
    filled = began + timedelta(milliseconds=300)
    return Story(
        number,
        "binance",
        "NAKEDUSDT",
        began,
        filled,
        filled + timedelta(milliseconds=600),
        None,
        (first, last),
    )


def _event(
    story: Story, event_type: str, at: datetime, *, severity: str = "INFO", **data: str
) -> EventRecord:
    return EventRecord(
        event_type,
        json.dumps({"symbol": story.symbol, **data}),
        at,
        position_id=story.id,
        symbol=story.symbol,
        exchange=story.exchange,
        severity=severity,
    )


def _events(dice: random.Random, stories: list[Story]) -> Iterator[EventRecord]:
    second = timedelta(seconds=1)
    for story in stories:
        yield _event(story, "position_created", story.created_at)
        yield _event(story, "order_filled", story.filled_at)
        yield _event(story, "stop_loss_placed", story.stopped_at)
        end = story.closed_at
        if end is None:
            continue
        if dice.random() < 0.5:
            middle = story.stopped_at + (end - story.stopped_at) * dice.uniform(0.2, 0.8)
            yield _event(story, "trailing_stop_activated", middle)
            for step in range(dice.randint(0, 3)):
                yield _event(story, "trailing_stop_updated", middle + (step + 1) * second)
                yield _event(story, "trailing_stop_sl_updated", middle + (step + 1.1) * second)
                yield _event(story, "stop_loss_updated", middle + (step + 1.2) * second)
        if dice.random() < 0.5:
            yield _event(story, "stop_loss_triggered", end - 0.3 * second, severity="WARNING")
        yield _event(story, "order_filled", end - 0.2 * second)
        yield _event(story, "position_closed", end)


def _incidental(
    dice: random.Random, since: datetime, minutes: int, trouble: Troubles
) -> Iterator[EventRecord]:
    for minute in range(minutes):
        begin = since + minute * MINUTE

        def told(
            kind: str,
            exchange: str | None,
            severity: str = "INFO",
            data: str = "{}",
            *,
            begin: datetime = begin,
        ) -> EventRecord:
            at = begin + timedelta(milliseconds=dice.randint(1, 59_999))
            return EventRecord(kind, data, at, exchange=exchange, severity=severity)

        for exchange in EXCHANGES:
            yield told("sync_completed", exchange)
            if dice.random() < 0.2:
                yield told("order_error", exchange, "ERROR")
        if dice.random() < 0.1:
            yield told("zombie_orders_detected", dice.choice(EXCHANGES), "WARNING")
        if dice.random() < 0.1:
            yield told("wave_detected", None)
        if trouble.errors == minute + 1:
            for _ in range(25):
                yield told("error_occurred", "bybit", "CRITICAL")
        if trouble.emergency == minute + 1:
            yield told("order_filled", "binance", "WARNING", '{"emergency_close": true}')


def _lines(dice: random.Random, since: datetime, minutes: int, trouble: Troubles) -> Iterator[Line]:
    quiet = _span(since, trouble.priceless)
    for minute in range(minutes):
        begin = since + minute * MINUTE

        def at(begin: datetime = begin) -> datetime:
            return begin + timedelta(milliseconds=dice.randint(1, 59_998))

        for exchange in EXCHANGES:
            for _ in range(dice.randint(2, 6)):
                moment = at()
                if exchange == "binance" and quiet and quiet[0] < moment <= quiet[1]:
                    continue
                coin = f"{dice.choice(_COINS)}USDT"
                text = f"Price update: {coin} {dice.randint(1, 900)}.5 exchange={exchange}"
                yield Line(moment, text, Measure.PRICE_UPDATES, exchange)
        if dice.random() < 0.3:
            text = "❌ API error -1021: Timestamp for this request is outside of the recvWindow."
            yield Line(at(), text, Measure.API_ERRORS)
        if dice.random() < 0.1:
            moment = begin + timedelta(milliseconds=dice.randint(1, 50_000))
            exchange = dice.choice(EXCHANGES)
            yield Line(moment, f"⚠️ WebSocket disconnected from {exchange}")
            text = f"✅ WebSocket connected to {exchange}"
            yield Line(moment + timedelta(seconds=3), text, Measure.WEBSOCKET_RECONNECTS, exchange)


Counted = dict[Measure, Counter[str]]


def truth(
    world: MovingWorld, at: datetime, length: timedelta, *, aged_after: timedelta
) -> tuple[Counted, dict[Measure, dict[str, list[float]]]]:
    """What happened in (at - length, at]: counts by measure and exchange, and how long things took, in milliseconds."""
    since = at - length

    def within(moment: datetime | None) -> bool:
        return moment is not None and since < moment <= at

    counts: Counted = {measure: Counter() for measure in Measure}
    took: dict[Measure, dict[str, list[float]]] = {
        Measure.LATENCY_ENTRY: {},
        Measure.LATENCY_STOP_LOSS: {},
    }
    for one in world.stories:
        counts[Measure.POSITIONS_OPENED][one.exchange] += within(one.created_at)
        counts[Measure.POSITIONS_CLOSED][one.exchange] += within(one.closed_at)
        old = one.created_at + aged_after
        lived = one.closed_at is None or one.closed_at > old
        counts[Measure.AGED_DETECTED][one.exchange] += lived and within(old)
    firsts: dict[tuple[int, str], datetime] = {}
    for event in world.events:
        if event.position_id is not None and event.event_type in {"order_filled", "stop_loss_placed"}:
            firsts.setdefault((event.position_id, event.event_type), event.created_at)
        if within(event.created_at):
            emergency = "emergency_close" in event.event_data
            severe = event.severity in {"ERROR", "CRITICAL"}
            for measure in measures_of(event.event_type, severe=severe, emergency=emergency):
                counts[measure][event.exchange or "unknown"] += 1
    begun = {one.id: one for one in world.stories}
    for (position_id, event_type), ended in firsts.items():
        if within(ended):
            story = begun[position_id]
            measure = Measure.LATENCY_ENTRY if event_type == "order_filled" else Measure.LATENCY_STOP_LOSS
            milliseconds = (ended - story.created_at) / timedelta(milliseconds=1)
            took[measure].setdefault(story.exchange, []).append(milliseconds)
    for line in world.lines:
        if line.measure is not None and within(line.at):
            counts[line.measure][line.exchange or "unknown"] += 1
    return counts, took


def truth_now(world: MovingWorld, at: datetime, *, grace: timedelta, aged_after: timedelta) -> Counted:
    """What stands at a moment: open rows, those without a stop past the grace, and aged ones."""
    counts: Counted = {
        measure: Counter()
        for measure in (Measure.POSITIONS_ACTIVE, Measure.POSITIONS_UNPROTECTED, Measure.POSITIONS_AGED)
    }
    for one in world.stories:
        if one.is_open(at):
            counts[Measure.POSITIONS_ACTIVE][one.exchange] += 1
            naked = not one.is_protected(at) and one.created_at <= at - grace
            counts[Measure.POSITIONS_UNPROTECTED][one.exchange] += naked
            counts[Measure.POSITIONS_AGED][one.exchange] += one.created_at < at - aged_after
    return counts
