"""Counts of all time and of a whole run: each row of the bot's counted once, however large its tables are."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from posguard.model.metrics import OF_EVENTS, UNNAMED, Measure, measures_of
from posguard.model.monitor_counters import EPOCH, OVERLAP, Counter, Look, Part, Totals, added
from posguard.model.monitoring import Reading, counted, unsourced
from posguard.postgres.queries import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from posguard.postgres.pool import Database

# Rows behind what is counted that one look reads at most; where there are more, `catch_up` has to come first.
MOST_BEHIND = 200_000
_CHUNK = 200_000
# How long a row may take from its id to its transaction's number, at the start, where no look was before.
_SETTLING = 1.0
_PATIENCE = 5.0
BEING_COUNTED = "being counted: a transaction that writes has been open since before the monitor began"

_INSTANT = Statement("monitor", "instant")
_LAST = {
    Part.EVENTS: Statement("monitor", "last_event"),
    Part.POSITIONS: Statement("monitor", "last_position"),
}
_EVENTS_BEHIND = Statement("monitor", "events_behind")
_POSITIONS_BEHIND = Statement("monitor", "positions_behind")
_CLOSINGS_BEHIND = Statement("monitor", "closings_behind")
_OVER_TIME = Statement("monitor", "over_time")
_OPENED_OVER_TIME = Statement("monitor", "opened_over_time")
_CLOSED_OVER_TIME = Statement("monitor", "closed_over_time")
_AGED_OVER_TIME = Statement("monitor", "aged_over_time")
_OF_PART: Mapping[Part, tuple[Measure, ...]] = {
    Part.EVENTS: OF_EVENTS,
    Part.POSITIONS: (Measure.POSITIONS_OPENED,),
    Part.CLOSINGS: (Measure.POSITIONS_CLOSED, Measure.AGED_DETECTED),
}


class Tally:
    """Counts by measure and exchange, while they are added up."""

    def __init__(self) -> None:
        self._counts: dict[Measure, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, measure: Measure, exchange: str, number: int) -> None:
        """Adds to one count; a row that names no exchange has one of its own."""
        if number:
            self._counts[measure][exchange or UNNAMED] += number

    def totals(self) -> Totals:
        """What was added."""
        return {measure: dict(by_exchange) for measure, by_exchange in self._counts.items()}

    def readings(self, measures: Iterable[Measure]) -> dict[Measure, Reading]:
        """A reading of each of the measures: what was not added is known to be 0."""
        return {measure: counted(dict(self._counts.get(measure, {}))) for measure in measures}

    def of(self, measure: Measure) -> Mapping[str, int]:
        """The counts of one measure."""
        return dict(self._counts.get(measure, {}))


def rules_of(part: Part, aged_after: timedelta) -> str:
    """What a part's counts rest on: with another one they are counted anew."""
    return f"aged after {aged_after.total_seconds():g} s" if part is Part.CLOSINGS else ""


def fresh_where_changed(
    counters: Mapping[Part, Counter], aged_after: timedelta, *, events: bool
) -> dict[Part, Counter]:
    """The counters to go on with: those that are kept and rest on the same rules, and new ones for the others."""
    found = {}
    for part in Part:
        if part is Part.EVENTS and not events:
            continue
        rules = rules_of(part, aged_after)
        kept = counters.get(part)
        found[part] = kept if kept is not None and kept.rules == rules else Counter.fresh(part, rules)
    return found


async def all_time(
    connection: Any,
    instant: Mapping[str, Any],
    counters: Mapping[Part, Counter],
    now: Tally,
    *,
    at: datetime,
    aged_after: timedelta,
    events: bool,
) -> tuple[dict[Measure, Reading], dict[Part, Counter]]:
    """All-time readings at a look, and the counters after it. `now` holds the gauges: aged rows that are still open count."""
    ever: dict[Measure, Reading] = {}
    after: dict[Part, Counter] = {}
    parts = fresh_where_changed(counters, aged_after, events=events)
    looks = await _looks(connection, parts, instant, at)
    for part, counter in parts.items():
        seen = looks[part]
        if _is_far(counter, looks):
            ever |= dict.fromkeys(_OF_PART[part], unsourced(BEING_COUNTED))
            after[part] = counter
            continue
        final, behind = await _behind(connection, counter, seen, aged_after)
        whole = counter.whole(behind)
        if part is Part.CLOSINGS:
            whole = added(whole, {Measure.AGED_DETECTED: now.of(Measure.POSITIONS_AGED)})
        ever |= {measure: counted(whole.get(measure, {})) for measure in _OF_PART[part]}
        after[part] = counter.after(seen, final)
    if not events:
        ever |= dict.fromkeys(OF_EVENTS, counted({}))
    return ever, after


def _is_far(counter: Counter, looks: Mapping[Part, Look]) -> bool:
    """Whether there is more behind what is counted than one look should read."""
    if counter.part is Part.CLOSINGS:
        return counter.untouched and _rows(looks[Part.POSITIONS].newest) > MOST_BEHIND
    return _rows(looks[counter.part].newest) - _rows(counter.settled) > MOST_BEHIND


def _rows(place: int | datetime) -> int:
    assert isinstance(place, int)
    return place


async def _looks(
    connection: Any, parts: Iterable[Part], instant: Mapping[str, Any], at: datetime
) -> dict[Part, Look]:
    oldest, coming = instant["oldest"], instant["coming"]
    found = {Part.CLOSINGS: Look(oldest, coming, at - OVERLAP)}
    for part in parts:
        if part in _LAST:
            found[part] = Look(oldest, coming, (await _LAST[part].row(connection))[0] or 0)
    return found


async def _behind(
    connection: Any, counter: Counter, seen: Look, aged_after: timedelta
) -> tuple[Totals, Totals]:
    """What lies behind what is counted: the part of it that is final by now, and all of it."""
    settles = counter.settles(seen)
    if counter.part is Part.CLOSINGS:
        return await _closings(connection, counter.settled, settles, aged_after)
    return await _by_id(connection, counter.part, counter.settled, settles, seen.newest)


async def _by_id(connection: Any, part: Part, after: Any, settles: Any, up_to: Any) -> tuple[Totals, Totals]:
    final, behind = Tally(), Tally()
    if part is Part.POSITIONS:
        rows = await _POSITIONS_BEHIND.rows(connection, after=after, settles=settles, up_to=up_to)
    else:
        rows = await _EVENTS_BEHIND.rows(connection, after=after, settles=settles, up_to=up_to)
    for row in rows:
        measures = (
            (Measure.POSITIONS_OPENED,)
            if part is Part.POSITIONS
            else measures_of(row["event_type"], severe=row["severe"], emergency=row["emergency"])
        )
        for measure in measures:
            final.add(measure, row["exchange"], row["settled"])
            behind.add(measure, row["exchange"], row["counted"])
    return final.totals(), behind.totals()


async def _closings(
    connection: Any, after: Any, settles: Any, aged_after: timedelta
) -> tuple[Totals, Totals]:
    final, behind = Tally(), Tally()
    for row in await _CLOSINGS_BEHIND.rows(connection, after=after, settles=settles, aged_after=aged_after):
        for measure, name in ((Measure.POSITIONS_CLOSED, "closed"), (Measure.AGED_DETECTED, "aged")):
            final.add(measure, row["exchange"], row[f"{name}_settled"])
            behind.add(measure, row["exchange"], row[f"{name}_counted"])
    return final.totals(), behind.totals()


async def catch_up(
    db: Database,
    counters: Mapping[Part, Counter],
    aged_after: timedelta,
    keep: Callable[[Counter], Awaitable[None]],
    *,
    at: datetime,
    events: bool,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> None:
    """Counts what a look would find too much of, in pieces, each kept by `keep` (a coroutine function) when it is done.

    Where a transaction that may still add to it does not end within seconds, it is left for the next time.
    """
    parts = fresh_where_changed(counters, aged_after, events=events)
    async with db.snapshot() as connection:
        looks = await _looks(connection, parts, await _INSTANT.row(connection), at)
    far = [counter for counter in parts.values() if _is_far(counter, looks)]
    if not far or not await _settled(db):
        return
    for counter in far:
        newest = looks[counter.part].newest
        if isinstance(newest, int):
            await _count(db, counter, newest, keep, tell)
        else:
            async with db.snapshot() as connection:
                final, _ = await _closings(connection, EPOCH, newest, aged_after)
            await keep(counter.moved(newest, final))


async def _settled(db: Database) -> bool:
    """Waits until every transaction is over that was open a moment after now."""
    await asyncio.sleep(_SETTLING)
    async with db.snapshot() as connection:
        wanted = (await _INSTANT.row(connection))["coming"]
    left = _PATIENCE
    while True:
        async with db.snapshot() as connection:
            if (await _INSTANT.row(connection))["oldest"] >= wanted:
                return True
        if left <= 0:
            return False
        await asyncio.sleep(0.25)
        left -= 0.25


async def _count(
    db: Database,
    counter: Counter,
    newest: int,
    keep: Callable[[Counter], Awaitable[None]],
    tell: Callable[[int, int], None],
) -> None:
    while (settled := _rows(counter.settled)) < newest:
        to = min(settled + _CHUNK, newest)
        async with db.snapshot() as connection:
            final, _ = await _by_id(connection, counter.part, settled, to, to)
        counter = counter.moved(to, final)
        await keep(counter)
        tell(to, newest)


async def over_time(
    connection: Any, since: datetime, until: datetime, aged_after: timedelta, *, events: bool
) -> list[Totals]:
    """What happened in each hour of (since, until], from the first one on."""
    hours = [Tally() for _ in range(max(math.ceil((until - since).total_seconds() / 3600), 1))]

    def of(row: Any) -> Tally:
        # what happened at the very end of the last hour belongs to it
        return hours[min(int(row["hour"]), len(hours) - 1)]

    if events:
        for row in await _OVER_TIME.rows(connection, since=since, until=until):
            for measure in measures_of(row["event_type"], severe=row["severe"], emergency=row["emergency"]):
                of(row).add(measure, row["exchange"], row["counted"])
    for row in await _OPENED_OVER_TIME.rows(connection, since=since, until=until):
        of(row).add(Measure.POSITIONS_OPENED, row["exchange"], row["counted"])
    for row in await _CLOSED_OVER_TIME.rows(connection, since=since, until=until):
        of(row).add(Measure.POSITIONS_CLOSED, row["exchange"], row["counted"])
    for row in await _AGED_OVER_TIME.rows(connection, since=since, until=until, aged_after=aged_after):
        of(row).add(Measure.AGED_DETECTED, row["exchange"], row["counted"])
    return [hour.totals() for hour in hours]
