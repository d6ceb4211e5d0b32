"""What the monitor reads: all database measures of one moment, from one consistent look at the bot's tables, by index."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from posguard.errors import SchemaError
from posguard.model.metrics import (
    LATENCIES,
    MINUTE,
    OF_EVENTS,
    TEN_MINUTES,
    UNNAMED,
    Measure,
    Window,
    measures_of,
)
from posguard.model.monitoring import Reading, Spread, Unprotected, unsourced
from posguard.postgres.monitorcounts import Tally, all_time
from posguard.postgres.queries import Statement, queries
from posguard.postgres.statistics import EVENTS, POSITIONS, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posguard.model.monitor_counters import Counter, Part

_NEEDED = ("id", "symbol", "exchange", "status", "created_at", "opened_at", "closed_at")
_OF_EVENTS = ("id", "event_type", "event_data", "position_id", "exchange", "severity", "created_at")
_STOPS = ("stop_loss_order_id", "has_stop_loss")
# Rows without a stop-loss that are named, by id; all of them are counted.
NAMED = 200
_ENDS: Mapping[str, Measure] = {
    "order_filled": Measure.LATENCY_ENTRY,
    "stop_loss_placed": Measure.LATENCY_STOP_LOSS,
}
_LENGTHS: Mapping[Window, timedelta] = {Window.MINUTE: MINUTE, Window.TEN_MINUTES: TEN_MINUTES}

_INSTANT = Statement("monitor", "instant")
_HEARD = Statement("monitor", "heard")
_OPEN_ROWS = Statement("monitor", "open_rows")
_OPENED = Statement("monitor", "opened")
_ENDED = Statement("monitor", "ended")
_HAPPENED = Statement("monitor", "happened")
_LATENCIES = Statement("monitor", "latencies")


@dataclass(frozen=True, slots=True)
class Limits:
    """Ages that the measures depend on: from when on a row has to record a stop-loss, and from when on it is aged."""

    grace: timedelta
    aged_after: timedelta


@dataclass(frozen=True, slots=True)
class Sources:
    """What of the bot's tables cannot be read, and why."""

    missing: Mapping[Measure, str] = field(default_factory=dict)

    @property
    def events(self) -> bool:
        """Whether the events can be read."""
        return Measure.THROUGHPUT not in self.missing


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw. heard is when the last event was written; counters are as they are after the look."""

    now: datetime
    readings: Mapping[Window, Mapping[Measure, Reading]]
    unprotected: tuple[Unprotected, ...]
    counters: Mapping[Part, Counter]
    heard: datetime | None


async def find_sources(connection: Any) -> Sources:
    """What can be read here. Raises SchemaError where it is not the bot's database."""
    of_positions = await columns(connection, POSITIONS)
    lacking = [name for name in _NEEDED if name not in of_positions]
    if lacking:
        raise SchemaError(
            f"{POSITIONS} has no column {', '.join(lacking)} that may be read. Nothing was done.",
            hint="`posguard check` says what this role may read; `posguard db roles --role monitor` prints the grants.",
        )
    if not await queries("monitor").ordered(connection):
        raise SchemaError(
            "This database sorts the statuses in an order of its own, by which open rows cannot be found. Nothing was done."
        )
    missing: dict[Measure, str] = {}
    if not set(_STOPS) & of_positions:
        missing[Measure.POSITIONS_UNPROTECTED] = f"{POSITIONS} records no stop-loss"
    of_events = await columns(connection, EVENTS)
    lacking = [name for name in _OF_EVENTS if name not in of_events]
    if lacking:
        why = f"{EVENTS} has no column {', '.join(lacking)} that may be read"
        missing |= dict.fromkeys((*OF_EVENTS, *LATENCIES), why)
    return Sources(missing)


async def look(
    connection: Any, at: datetime, limits: Limits, sources: Sources, counters: Mapping[Part, Counter]
) -> Seen:
    """All measures whose windows end at a moment. The connection's transaction has to be REPEATABLE READ.

    All-time counts of a part with too much behind it are unknown until `monitorcounts.catch_up` was there. Raises
    DatabaseUnavailableError.
    """
    instant = await _INSTANT.row(connection)
    now = Tally()
    windows = {window: Tally() for window in _LENGTHS}
    unprotected = await _open_rows(connection, at, limits, now, windows)
    await _positions(connection, at, limits, windows)
    latencies: dict[Window, dict[Measure, Reading]] = {window: {} for window in _LENGTHS}
    heard = None
    if sources.events:
        await _events(connection, at, windows)
        heard = (await _HEARD.row(connection, at=at))[0]
        for window, length in _LENGTHS.items():
            latencies[window] = await _latencies(connection, at, length)
    ever, after = await all_time(
        connection, instant, counters, now, at=at, aged_after=limits.aged_after, events=sources.events
    )
    readings: dict[Window, dict[Measure, Reading]] = {
        Window.NOW: now.readings(
            (Measure.POSITIONS_ACTIVE, Measure.POSITIONS_UNPROTECTED, Measure.POSITIONS_AGED)
        ),
        **{window: {**tally.readings(_OF_WINDOWS), **latencies[window]} for window, tally in windows.items()},
        Window.ALL_TIME: ever,
    }
    _a_minute(readings[Window.TEN_MINUTES])
    for told in readings.values():
        told.update({measure: unsourced(why) for measure, why in sources.missing.items() if measure in told})
    for window in _LENGTHS:
        readings[window].update({m: unsourced(sources.missing[m]) for m in LATENCIES if m in sources.missing})
    return Seen(instant["now"], readings, unprotected, after, heard)


_OF_WINDOWS = (
    Measure.POSITIONS_OPENED,
    Measure.POSITIONS_CLOSED,
    Measure.AGED_DETECTED,
    *OF_EVENTS,
)


async def _open_rows(
    connection: Any, at: datetime, limits: Limits, now: Tally, windows: Mapping[Window, Tally]
) -> tuple[Unprotected, ...]:
    unprotected: list[Unprotected] = []
    for row in await _OPEN_ROWS.rows(connection, at=at, grace=limits.grace, aged_after=limits.aged_after):
        name = row["exchange"] or UNNAMED
        now.add(Measure.POSITIONS_ACTIVE, name, row["active"])
        now.add(Measure.POSITIONS_UNPROTECTED, name, row["unprotected"])
        now.add(Measure.POSITIONS_AGED, name, row["aged"])
        windows[Window.MINUTE].add(Measure.AGED_DETECTED, name, row["crossed_minute"])
        windows[Window.TEN_MINUTES].add(Measure.AGED_DETECTED, name, row["crossed"])
        unprotected += [
            Unprotected(
                one["position_id"],
                row["exchange"],
                one["symbol"],
                one["status"],
                datetime.fromisoformat(one["since"]) if one["since"] else None,
            )
            for one in row["naked"]
        ]
    return tuple(sorted(unprotected, key=lambda one: one.position_id)[:NAMED])


async def _positions(connection: Any, at: datetime, limits: Limits, windows: Mapping[Window, Tally]) -> None:
    minute, ten = windows[Window.MINUTE], windows[Window.TEN_MINUTES]
    for row in await _OPENED.rows(connection, at=at):
        minute.add(Measure.POSITIONS_OPENED, row["exchange"], row["minute"])
        ten.add(Measure.POSITIONS_OPENED, row["exchange"], row["ten_minutes"])
    for row in await _ENDED.rows(connection, at=at, aged_after=limits.aged_after):
        minute.add(Measure.POSITIONS_CLOSED, row["exchange"], row["minute"])
        ten.add(Measure.POSITIONS_CLOSED, row["exchange"], row["ten_minutes"])
        minute.add(Measure.AGED_DETECTED, row["exchange"], row["crossed_minute"])
        ten.add(Measure.AGED_DETECTED, row["exchange"], row["crossed"])


async def _events(connection: Any, at: datetime, windows: Mapping[Window, Tally]) -> None:
    for row in await _HAPPENED.rows(connection, at=at):
        for measure in measures_of(row["event_type"], severe=row["severe"], emergency=row["emergency"]):
            windows[Window.MINUTE].add(measure, row["exchange"], row["minute"])
            windows[Window.TEN_MINUTES].add(measure, row["exchange"], row["ten_minutes"])


async def latencies(connection: Any, at: datetime, length: timedelta) -> dict[Measure, Reading]:
    """How long entries and stop-losses took that ended in (at - length, at]."""
    totals: dict[Measure, Spread] = {}
    by_exchange: dict[Measure, dict[str, Spread]] = {measure: {} for measure in LATENCIES}
    for row in await _LATENCIES.rows(connection, at=at, window=length):
        measure = _ENDS[row["event_type"]]
        spread = Spread(row["ended"], *row["percentiles"])
        if row["exchange"] is None:
            totals[measure] = spread
        else:
            by_exchange[measure][row["exchange"] or UNNAMED] = spread
    return {measure: Reading(totals.get(measure, Spread(0)), by_exchange[measure]) for measure in LATENCIES}


_latencies = latencies


def _a_minute(ten_minutes: dict[Measure, Reading]) -> None:
    """Throughput is by the minute in each window."""
    found = ten_minutes[Measure.THROUGHPUT]
    ten_minutes[Measure.THROUGHPUT] = Reading(
        found.number / 10, {name: (found.of(name) or 0) / 10 for name in found.by_exchange}
    )


async def server_time(connection: Any) -> datetime:
    """The server's clock, aware UTC."""
    now: datetime = (await _INSTANT.row(connection))["now"]
    return now


async def missing_indexes(connection: Any) -> tuple[str, ...]:
    """The indexes without which a look reads whole tables, by the names that target `bot` of the upgrade gives them."""
    found = [record async for record in queries("monitor").indexes(connection)]
    led = {(record["table_name"], record["leads"]) for record in found if not record["is_partial"]}
    return tuple(name for name, table, column in _LED_BY if (table, column) not in led)


_LED_BY = (
    ("posguard_positions_by_status", "positions", "status"),
    ("posguard_positions_by_creation", "positions", "created_at"),
    ("posguard_positions_by_closing", "positions", "closed_at"),
    ("posguard_events_by_time", "events", "created_at"),
)
