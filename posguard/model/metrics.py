"""What the monitor measures: the sixteen metrics, and where each comes from. Values only.

Counts of a window cover (at - window, at] by the times that the rows and lines bear, so that the minutes of a run neither
overlap nor leave a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

MINUTE = timedelta(minutes=1)
TEN_MINUTES = timedelta(minutes=10)
# Rows and lines that name no exchange.
UNNAMED = "unknown"


class Source(StrEnum):
    """Where a measure comes from."""

    DATABASE = "database"
    LOG = "log"


class Shape(StrEnum):
    """What kind of number a measure is: what stands at an instant, what happened in a window, or how long things took."""

    GAUGE = "gauge"
    COUNTER = "counter"
    LATENCY = "latency"


class Window(StrEnum):
    """What a reading covers."""

    NOW = "now"
    MINUTE = "last_minute"
    TEN_MINUTES = "last_ten_minutes"
    ALL_TIME = "all_time"


class Measure(StrEnum):
    """One number that is read; a metric has one of them, latency has two. Those of SUPPORTING belong to no metric."""

    POSITIONS_ACTIVE = "positions_active"
    POSITIONS_OPENED = "positions_opened"
    POSITIONS_CLOSED = "positions_closed"
    POSITIONS_UNPROTECTED = "positions_unprotected"
    STOP_LOSS_PLACED = "stop_loss_placed"
    STOP_LOSS_UPDATED = "stop_loss_updated"
    STOP_LOSS_TRIGGERED = "stop_loss_triggered"
    TRAILING_ACTIVATED = "trailing_stop_activated"
    TRAILING_UPDATED = "trailing_stop_updated"
    POSITIONS_AGED = "positions_aged"
    ZOMBIE_ORDERS = "zombie_orders"
    PRICE_UPDATES = "price_updates"
    API_ERRORS = "api_errors"
    WEBSOCKET_RECONNECTS = "websocket_reconnects"
    LATENCY_ENTRY = "latency_entry"
    LATENCY_STOP_LOSS = "latency_stop_loss"
    THROUGHPUT = "throughput"
    # of no metric of its own
    AGED_DETECTED = "aged_detected"
    STOP_LOSS_TRAILED = "stop_loss_trailed"
    CLOSED_ON_EXCHANGE = "closed_on_exchange"
    EMERGENCY_CLOSES = "emergency_closes"
    EMERGENCY_LOGGED = "emergency_logged"
    ERRORS = "errors"


@dataclass(frozen=True, slots=True)
class Metric:
    """One of the sixteen. `says` is what is counted, from which rows or lines; `unit` is of one reading."""

    id: str
    title: str
    unit: str
    source: Source
    shape: Shape
    measures: tuple[Measure, ...]
    says: str


def _metric(
    measure: Measure, title: str, says: str, *, log: bool = False, gauge: bool = False, unit: str = ""
) -> Metric:
    return Metric(
        measure.value,
        title,
        unit or measure.value.partition("_")[0],
        Source.LOG if log else Source.DATABASE,
        Shape.GAUGE if gauge else Shape.COUNTER,
        (measure,),
        says,
    )


METRICS: tuple[Metric, ...] = (
    _metric(
        Measure.POSITIONS_ACTIVE,
        "positions active",
        "open rows of monitoring.positions: every status but closed, failed, rolled_back and canceled",
        gauge=True,
    ),
    _metric(Measure.POSITIONS_OPENED, "positions opened", "rows of monitoring.positions by created_at"),
    _metric(
        Measure.POSITIONS_CLOSED,
        "positions closed",
        "rows of monitoring.positions with status closed, by closed_at",
    ),
    _metric(
        Measure.POSITIONS_UNPROTECTED,
        "positions unprotected",
        "open rows past the grace that record no stop-loss: by stop_loss_order_id, or where that is not kept by "
        "has_stop_loss and stop_loss_price",
        gauge=True,
    ),
    _metric(
        Measure.STOP_LOSS_PLACED,
        "stop-loss placed",
        "events stop_loss_placed of monitoring.events",
        unit="orders",
    ),
    _metric(
        Measure.STOP_LOSS_UPDATED,
        "stop-loss updated",
        "events stop_loss_updated of monitoring.events",
        unit="orders",
    ),
    _metric(
        Measure.STOP_LOSS_TRIGGERED,
        "stop-loss triggered",
        "events stop_loss_triggered of monitoring.events",
        unit="orders",
    ),
    _metric(
        Measure.TRAILING_ACTIVATED,
        "trailing stops activated",
        "events trailing_stop_activated of monitoring.events",
        unit="stops",
    ),
    _metric(
        Measure.TRAILING_UPDATED,
        "trailing stops updated",
        "events trailing_stop_updated of monitoring.events",
        unit="stops",
    ),
    _metric(
        Measure.POSITIONS_AGED,
        "aged positions",
        "open rows that began longer ago than POSGUARD_AGED_AFTER, by opened_at, else created_at",
        gauge=True,
    ),
    _metric(
        Measure.ZOMBIE_ORDERS,
        "zombie orders",
        "events zombie_orders_detected of monitoring.events: one for each time the bot reported some",
        unit="reports",
    ),
    _metric(
        Measure.PRICE_UPDATES,
        "price updates",
        "lines of the log of kind price_update",
        log=True,
        unit="lines",
    ),
    _metric(
        Measure.API_ERRORS,
        "API errors",
        "lines of the log of kinds api_error and rate_limit",
        log=True,
        unit="lines",
    ),
    _metric(
        Measure.WEBSOCKET_RECONNECTS,
        "websocket reconnects",
        "lines of the log of kind websocket_up that follow a websocket_down of the same exchange",
        log=True,
        unit="reconnects",
    ),
    Metric(
        "latency",
        "latency",
        "ms",
        Source.DATABASE,
        Shape.LATENCY,
        (Measure.LATENCY_ENTRY, Measure.LATENCY_STOP_LOSS),
        "from a row's created_at to the first event order_filled, and to the first stop_loss_placed, of its position_id, "
        "by the time of that event; one that took longer than ten minutes counts in no window",
    ),
    _metric(
        Measure.THROUGHPUT, "throughput", "rows of monitoring.events by created_at", unit="events a minute"
    ),
)


@dataclass(frozen=True, slots=True)
class Supporting:
    """A number beside the sixteen that the monitor reads too."""

    measure: Measure
    title: str
    source: Source
    says: str


SUPPORTING: tuple[Supporting, ...] = (
    Supporting(
        Measure.AGED_DETECTED,
        "positions that became aged",
        Source.DATABASE,
        "rows that passed the age in the window while they were open",
    ),
    Supporting(
        Measure.STOP_LOSS_TRAILED,
        "stop-loss updates by trailing stops",
        Source.DATABASE,
        "events trailing_stop_sl_updated of monitoring.events",
    ),
    Supporting(
        Measure.CLOSED_ON_EXCHANGE,
        "positions reported closed",
        Source.DATABASE,
        "events position_closed and phantom_position_closed of monitoring.events",
    ),
    Supporting(
        Measure.EMERGENCY_CLOSES,
        "emergency closes",
        Source.DATABASE,
        "events order_filled of monitoring.events whose event_data says emergency_close",
    ),
    Supporting(
        Measure.EMERGENCY_LOGGED,
        "emergency closes in the log",
        Source.LOG,
        "lines of the log of kind emergency_close",
    ),
    Supporting(
        Measure.ERRORS,
        "errors",
        Source.DATABASE,
        "events of severity ERROR or CRITICAL, or whose type ends in _error or _failed",
    ),
)
SOURCES: Mapping[Measure, Source] = {
    **{measure: metric.source for metric in METRICS for measure in metric.measures},
    **{one.measure: one.source for one in SUPPORTING},
}
TITLES: Mapping[Measure, str] = {
    **{measure: metric.title for metric in METRICS for measure in metric.measures},
    **{one.measure: one.title for one in SUPPORTING},
    Measure.LATENCY_ENTRY: "latency of an entry",
    Measure.LATENCY_STOP_LOSS: "latency of a stop-loss",
}
GAUGES = (Measure.POSITIONS_ACTIVE, Measure.POSITIONS_UNPROTECTED, Measure.POSITIONS_AGED)
LATENCIES = (Measure.LATENCY_ENTRY, Measure.LATENCY_STOP_LOSS)
COUNTERS = tuple(measure for measure in Measure if measure not in {*GAUGES, *LATENCIES})
_BY_EVENT: Mapping[str, Measure] = {
    "stop_loss_placed": Measure.STOP_LOSS_PLACED,
    "stop_loss_updated": Measure.STOP_LOSS_UPDATED,
    "stop_loss_triggered": Measure.STOP_LOSS_TRIGGERED,
    "trailing_stop_activated": Measure.TRAILING_ACTIVATED,
    "trailing_stop_updated": Measure.TRAILING_UPDATED,
    "trailing_stop_sl_updated": Measure.STOP_LOSS_TRAILED,
    "zombie_orders_detected": Measure.ZOMBIE_ORDERS,
    "position_closed": Measure.CLOSED_ON_EXCHANGE,
    "phantom_position_closed": Measure.CLOSED_ON_EXCHANGE,
}
# What rows of monitoring.events are counted in.
OF_EVENTS: tuple[Measure, ...] = (
    *dict.fromkeys(_BY_EVENT.values()),
    Measure.EMERGENCY_CLOSES,
    Measure.ERRORS,
    Measure.THROUGHPUT,
)


def measures_of(event_type: str, *, severe: bool, emergency: bool) -> tuple[Measure, ...]:
    """The measures that a row of monitoring.events counts in; severe: its severity is ERROR or CRITICAL."""
    found = [Measure.THROUGHPUT]
    if event_type in _BY_EVENT:
        found.append(_BY_EVENT[event_type])
    if severe or event_type.endswith(("_error", "_failed")):
        found.append(Measure.ERRORS)
    if emergency:
        found.append(Measure.EMERGENCY_CLOSES)
    return tuple(found)
