"""What the bot writes to monitoring.events in the demo world: the steps of each trade, and its own housekeeping. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from posguard.demo.records import EventRecord
from posguard.demo.trade import CLOSED_BEFORE, Trade

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

_TYPES = """
    position_created position_updated position_closed position_error
    order_placed order_filled order_cancelled order_error
    stop_loss_placed stop_loss_triggered stop_loss_updated stop_loss_error
    trailing_stop_created trailing_stop_activated trailing_stop_updated trailing_stop_sl_updated trailing_stop_removed
    sync_started sync_completed synchronization_started synchronization_completed
    phantom_position_detected phantom_position_closed missing_position_added quantity_mismatch_detected
    zombie_orders_detected zombie_order_cancelled position_duplicate_prevented positions_without_sl_detected
    emergency_stop_placed incomplete_position_detected wave_detected wave_completed
    signal_executed signal_execution_failed insufficient_funds
    bot_started bot_stopped error_occurred warning_raised
"""
EVENT_TYPES = tuple(_TYPES.split())
DUPLICATE_KEY = 'duplicate key value violates unique constraint "idx_unique_active_position"'


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a trade: so many milliseconds after the trade began."""

    after_ms: int
    event_type: str
    data: tuple[tuple[str, str], ...] = ()
    severity: str = "INFO"
    error: str | None = None
    trace: str | None = None


_SENT = (Step(240, "order_placed"), Step(500, "order_filled"))
_PROTECTED = (
    Step(1100, "stop_loss_placed"),
    Step(1300, "position_updated", (("status", "active"),)),
    Step(1400, "signal_executed"),
)
_UNSENT = {
    "failed": (
        Step(310, "order_error", severity="ERROR", error="Binance error -2019: Margin is insufficient."),
        Step(312, "insufficient_funds", severity="WARNING"),
        Step(330, "signal_execution_failed", severity="ERROR", error="entry order rejected"),
    ),
    "canceled": (Step(240, "order_placed"), Step(900, "order_cancelled")),
}
_ROLLED_BACK = (
    Step(1700, "stop_loss_error", severity="ERROR", error="SL attempt 3/3 failed"),
    Step(1900, "position_error", severity="ERROR", error="Atomic position creation failed: no stop-loss"),
)
_ENDINGS: dict[str, tuple[Step, ...]] = {
    "stop_loss": (Step(-280, "stop_loss_triggered", severity="WARNING"),),
    "trailing_stop": (
        Step(-90_000, "trailing_stop_activated"),
        Step(-60_000, "trailing_stop_updated"),
        Step(-59_500, "trailing_stop_sl_updated"),
        Step(-59_400, "stop_loss_updated"),
        Step(-280, "stop_loss_triggered"),
    ),
    "phantom": (
        Step(-900, "phantom_position_detected", severity="WARNING"),
        Step(-2, "phantom_position_closed"),
    ),
}


def events_of(trade: Trade, row_id: int) -> list[EventRecord]:
    """The events of one trade, in order of time; a trade that goes on has none of an ending."""
    return sorted(
        [*opening_events(trade, row_id), *ending_events(trade, row_id)], key=lambda event: event.created_at
    )


def opening_events(trade: Trade, row_id: int) -> list[EventRecord]:
    """The events from the first row to the protected position."""
    return [_event(trade, row_id, step, trade.created_at) for step in _opening(trade)]


def ending_events(trade: Trade, row_id: int) -> list[EventRecord]:
    """The events of the end; none while it goes on."""
    if trade.closed_at is None:
        return []
    return [_event(trade, row_id, step, trade.closed_at) for step in _ending(trade)]


def _opening(trade: Trade) -> Iterator[Step]:
    if not trade.told:
        return
    if trade.origin == "sync":
        yield Step(1, "missing_position_added", severity="WARNING")
    yield Step(
        2, "position_created", (("status", "pending_entry" if trade.origin == "signal" else "active"),)
    )
    if trade.origin == "sync":
        return
    if trade.status in _UNSENT:
        yield from _UNSENT[trade.status]
    elif trade.traded:
        yield from _SENT
        if trade.status == "rolled_back":
            yield from _ROLLED_BACK
        elif trade.stop_order:
            yield from _PROTECTED
    if trade.trailing and trade.stop_order:
        yield Step(1450, "trailing_stop_created")


def _ending(trade: Trade) -> Iterator[Step]:
    if not trade.told:
        return
    yield from _ENDINGS.get(trade.exit_reason or "", ())
    if trade.close_order and trade.exit_reason not in {"stop_loss", "phantom"}:
        yield Step(-500, "order_placed")
        yield Step(-int(CLOSED_BEFORE.total_seconds() * 1000), "order_filled")
        if trade.stop_order:
            yield Step(-200, "order_cancelled", (("why", "position closed"),))
    if trade.trailing and trade.stop_order:
        yield Step(-100, "trailing_stop_removed")
    if trade.traded:
        yield Step(0, "position_closed", (("reason", trade.exit_reason or ""),))


def _event(trade: Trade, row_id: int, step: Step, origin: datetime) -> EventRecord:
    data = {"symbol": trade.symbol, "side": trade.side, "quantity": str(trade.quantity), **dict(step.data)}
    order_id = trade.stop_order if step.event_type.startswith("stop_loss") else trade.entry_order
    return EventRecord(
        event_type=step.event_type,
        event_data=json.dumps(data),
        created_at=origin + timedelta(milliseconds=step.after_ms),
        correlation_id=f"open-{row_id}",
        position_id=row_id,
        order_id=order_id if step.event_type.startswith(("order", "stop_loss")) else None,
        symbol=trade.symbol,
        exchange=trade.market.exchange,
        severity=step.severity,
        error_message=step.error,
        stack_trace=step.trace,
    )


def duplicate_key_event(trade: Trade, row_id: int, at: datetime) -> EventRecord:
    """The duplicate-key error as the bot stores it when the activation of a row hits the unique index."""
    detail = f"Key (symbol, exchange)=({trade.symbol}, {trade.market.exchange}) already exists."
    text = f"{DUPLICATE_KEY}\nDETAIL:  {detail}"
    return EventRecord(
        event_type="position_error",
        event_data=json.dumps({"symbol": trade.symbol, "updates": {"status": "active"}}),
        created_at=at,
        correlation_id=f"open-{row_id}",
        position_id=row_id,
        symbol=trade.symbol,
        exchange=trade.market.exchange,
        severity="ERROR",
        error_message=text,
        stack_trace=f"asyncpg.exceptions.UniqueViolationError: {text}",
    )


def housekeeping(now: datetime, since: datetime, dice: random.Random) -> list[EventRecord]:
    """What the bot writes about itself: start, synchronisation, waves of signals, warnings; newest a few seconds old."""
    found = [
        EventRecord("bot_started", '{"mode": "testnet"}', since),
        *_restart(now - timedelta(hours=6, minutes=3)),
    ]
    for exchange in ("binance", "bybit"):
        found += _synchronisation(exchange, since, now)
    found += _waves(since, now, dice)
    found += _incidentals(since, now, dice)
    return found


def _restart(at: datetime) -> list[EventRecord]:
    seconds = timedelta(seconds=1)
    return [
        EventRecord("bot_stopped", '{"reason": "SIGTERM"}', at),
        EventRecord("bot_started", '{"mode": "testnet"}', at + 21 * seconds),
        EventRecord("incomplete_position_detected", '{"found": 1}', at + 22 * seconds, severity="WARNING"),
    ]


def _synchronisation(exchange: str, since: datetime, now: datetime) -> Iterator[EventRecord]:
    at, number = since + timedelta(seconds=40), 0
    while at < now - timedelta(seconds=10):
        word = "synchronization" if number % 4 == 0 else "sync"
        yield EventRecord(f"{word}_started", "{}", at, exchange=exchange)
        yield EventRecord(
            f"{word}_completed",
            '{"verified": true}',
            at + timedelta(milliseconds=640),
            exchange=exchange,
        )
        at, number = at + timedelta(minutes=5), number + 1


def _waves(since: datetime, now: datetime, dice: random.Random) -> Iterator[EventRecord]:
    at = since + timedelta(minutes=3, seconds=3)
    while at < now - timedelta(minutes=1):
        data = json.dumps({"signals": dice.randint(3, 12)})
        yield EventRecord("wave_detected", data, at)
        yield EventRecord("wave_completed", data, at + timedelta(seconds=dice.randint(8, 25)))
        at += timedelta(minutes=15)


_INCIDENTAL = (
    ("quantity_mismatch_detected", "WARNING", None),
    ("zombie_orders_detected", "WARNING", None),
    ("zombie_order_cancelled", "INFO", None),
    ("position_duplicate_prevented", "WARNING", None),
    ("positions_without_sl_detected", "CRITICAL", None),
    ("emergency_stop_placed", "WARNING", None),
    ("warning_raised", "WARNING", "Rate limit exceeded"),
    ("error_occurred", "ERROR", "Timestamp for this request is outside of the recvWindow."),
    ("error_occurred", "ERROR", "Position not found after 20s"),
)


def _incidentals(since: datetime, now: datetime, dice: random.Random) -> Iterator[EventRecord]:
    span = (now - since).total_seconds() - 600
    for number in range(27):
        kind, severity, error = _INCIDENTAL[number % len(_INCIDENTAL)]
        at = since + timedelta(seconds=300 + dice.random() * span)
        exchange = dice.choice(("binance", "bybit"))
        yield EventRecord(kind, "{}", at, exchange=exchange, severity=severity, error_message=error)
