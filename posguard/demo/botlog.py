"""The demo bot's log: the same eight hours that the demo world's rows and events tell, in the bot's own lines. Pure.

Its clock shows Dubai's time, four hours ahead of UTC, as the lines of a real host do. Both incidents stand in it: the duplicate-key error
of incident 1 with its several records and traceback, and of incident 2 what was left in the log then, one line that opens, two inserts, one line
that saves. One process runs at a time and says so, with its pid and its lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from posguard.demo.events import DUPLICATE_KEY
from posguard.demo.incidents import FIRST_ROW, LATER_TWIN_ROW, SECOND_ROW, TWIN_ROW
from posguard.settings import LogSource

if TYPE_CHECKING:
    from pathlib import Path

    from posguard.demo.records import EventRecord, PositionRecord
    from posguard.demo.world import DemoWorld

NAME, ZONE = "demo-bot", "Asia/Dubai"
FILE = "bot.log"
_PIDS = (41_822, 43_117)
_OPEN_BEFORE, _SAVED_AFTER = timedelta(milliseconds=655), timedelta(milliseconds=2_267)
_OPENING = "core.atomic_position_manager"
_REPOSITORY = "database.repository"
_SYNC = "core.position_synchronizer"
_SIGNALS = "core.signal_processor"


class Line(NamedTuple):
    """One record: when, by which module, at which level, and what it says."""

    at: datetime
    module: str
    level: str
    text: str


def log_source(folder: Path) -> LogSource:
    """The declared source of the demo's log."""
    return LogSource(name=NAME, paths=(str(folder.resolve() / "botlogs" / FILE),), zone=ZONE)


def write_log(world: DemoWorld, source: LogSource) -> None:
    """Writes the log where its source has it; the folder is made."""
    from pathlib import Path

    path = Path(source.paths[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log_text(world), encoding="utf-8")


def log_text(world: DemoWorld) -> str:
    """The log of a world, in order of time."""
    rows = {row.id: row for row in world.positions}
    told = [line for event in world.rows.events for line in _told(event, rows)]
    told += _processes(world)
    told.sort(key=lambda line: line.at)
    zone = ZoneInfo(ZONE)
    return "".join(_written(line, zone) for line in told)


def _written(line: Line, zone: ZoneInfo) -> str:
    at = line.at.astimezone(zone)
    return (
        f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d} - {line.module} - {line.level} - {line.text}\n"
    )


def _told(event: EventRecord, rows: dict[int, PositionRecord]) -> Iterator[Line]:
    tell = _TELL.get(event.event_type)
    row = rows.get(event.position_id or 0)
    if event.error_message and event.error_message.startswith(DUPLICATE_KEY):
        yield from _duplicate_key(event)
    elif event.event_type == "position_created" and row is not None:
        yield from _created(row)
    elif tell is not None:
        module, level, words = tell
        text = words(event, row)
        if text:
            yield Line(event.created_at, module, level, text)


def _created(row: PositionRecord) -> Iterator[Line]:
    at = row.created_at
    if row.id == SECOND_ROW or not row.signal_id:
        yield Line(at, _SYNC, "INFO", f"➕ Added new position: {row.symbol}")
        return
    if row.id != LATER_TWIN_ROW:
        side, quantity = row.side, f"{row.quantity.normalize():f}"
        signal = at - _OPEN_BEFORE - timedelta(milliseconds=9)
        yield Line(
            signal,
            _SIGNALS,
            "INFO",
            f"📈 Executing signal {row.id % 3 + 1}/3: {row.symbol} on {row.exchange}",
        )
        yield Line(
            at - _OPEN_BEFORE,
            _OPENING,
            "INFO",
            f"🚀 Opening position ATOMICALLY: {row.symbol} {side} {quantity}",
        )
    yield Line(
        at - timedelta(milliseconds=2),
        _REPOSITORY,
        "INFO",
        f"Executing INSERT for {row.symbol}, quantity={row.quantity.normalize():f}",
    )
    yield Line(at, _REPOSITORY, "INFO", f"INSERT completed, returned position_id={row.id} for {row.symbol}")
    if row.id == TWIN_ROW:
        yield Line(
            at + _SAVED_AFTER,
            "core.position_manager",
            "INFO",
            f"💾 Position saved: {row.symbol} (id={row.id})",
        )
    elif row.id != LATER_TWIN_ROW:
        yield Line(at, _OPENING, "INFO", f"✅ Position record created: ID={row.id}")


def _duplicate_key(event: EventRecord) -> Iterator[Line]:
    """One violation as the bot logs it: by the repository with the detail, twice on the way up, with a traceback."""
    at, symbol, detail = event.created_at, event.symbol, (event.error_message or "").partition("\n")[2]
    millisecond = timedelta(milliseconds=1)
    yield Line(at - millisecond, _REPOSITORY, "INFO", f"Updating position #{event.position_id} to active")
    yield Line(
        at,
        _REPOSITORY,
        "ERROR",
        f"❌ Failed to update position #{event.position_id}: {DUPLICATE_KEY}\n{detail}",
    )
    trace = (
        "Traceback (most recent call last):\n"
        '  File "core/atomic_position_manager.py", line 311, in open_position_atomic\n'
        "    await self.repository.update_position(position_id, status='active')\n"
        f"asyncpg.exceptions.UniqueViolationError: {DUPLICATE_KEY}\n{detail}"
    )
    yield Line(
        at + millisecond, _OPENING, "ERROR", f"❌ Atomic position creation failed: {DUPLICATE_KEY}\n{trace}"
    )
    yield Line(
        at + 3 * millisecond, _SIGNALS, "ERROR", f"❌ Error opening {symbol}: {DUPLICATE_KEY}\\n{detail}"
    )


def _processes(world: DemoWorld) -> Iterator[Line]:
    started = [e for e in world.rows.events if e.event_type == "bot_started"]
    stopped = [e for e in world.rows.events if e.event_type == "bot_stopped"]
    for pid, event in zip(_PIDS, started, strict=False):
        yield Line(event.created_at, "main", "INFO", f"🤖 Bot process started pid={pid} host=demo")
        yield Line(
            event.created_at + timedelta(milliseconds=4),
            "main",
            "INFO",
            f"🔒 Process lock acquired (pid={pid})",
        )
    for pid, event in zip(_PIDS, stopped, strict=False):
        yield Line(event.created_at, "main", "INFO", f"Process lock released (pid={pid})")
        yield Line(event.created_at, "main", "INFO", f"Bot process stopped pid={pid}")


Words = Callable[["EventRecord", "PositionRecord | None"], str]


def _data(event: EventRecord, name: str) -> str:
    found = json.loads(event.event_data)
    return str(found.get(name, "")) if isinstance(found, dict) else ""


def _updated(event: EventRecord, row: PositionRecord | None) -> str:
    status = _data(event, "status")
    if status == "active" and row is not None and row.id != FIRST_ROW:
        return f"✅ Position #{row.id} successfully activated"
    return f"Updating position #{event.position_id} to {status}" if status else ""


def _filled(event: EventRecord, row: PositionRecord | None) -> str:
    if _data(event, "emergency_close") or (
        row is not None and row.status == "rolled_back" and event.severity == "WARNING"
    ):
        return f"✅ Emergency close executed: {event.order_id or 'unknown'}"
    return f"✅ Order filled: {event.order_id or 'unknown'} {event.symbol}"


def _failed(event: EventRecord, row: PositionRecord | None) -> str:
    state = "pending_sl" if row is not None else "unknown"
    return f"🔄 Rolling back position for {event.symbol}, state={state}"


def _closed(event: EventRecord, row: PositionRecord | None) -> str:
    if _data(event, "status") == "rolled_back":
        return f"Updating position #{event.position_id} to rolled_back"
    return f"Position closed on exchange: {event.symbol}" if row is not None else ""


# What each of the bot's events reads like in its log; an event that is not here leaves no line.
_TELL: dict[str, tuple[str, str, Words]] = {
    "order_placed": (
        _OPENING,
        "INFO",
        lambda e, _: f"📋 New order placed: {e.order_id or 'unknown'} {e.symbol}",
    ),
    "order_filled": ("websocket.user_stream", "INFO", _filled),
    "order_error": (_OPENING, "ERROR", lambda e, _: f"❌ {e.error_message}"),
    "stop_loss_placed": ("core.stop_loss_manager", "INFO", lambda e, _: f"✅ Stop loss set for {e.symbol}"),
    "stop_loss_updated": ("core.stop_loss_manager", "INFO", lambda e, _: f"Stop-loss updated for {e.symbol}"),
    "stop_loss_error": ("core.stop_loss_manager", "ERROR", lambda e, _: f"❌ {e.error_message}"),
    "stop_loss_triggered": (
        "websocket.user_stream",
        "WARNING",
        lambda e, _: f"🛑 STOP LOSS TRIGGERED for {e.symbol}",
    ),
    "position_updated": (_REPOSITORY, "INFO", _updated),
    "position_error": (_OPENING, "WARNING", _failed),
    "position_closed": ("core.position_manager", "INFO", _closed),
    "trailing_stop_activated": (
        "protection.trailing_stop",
        "INFO",
        lambda e, _: f"📈 Trailing stop activated for {e.symbol}",
    ),
    "trailing_stop_updated": (
        "protection.trailing_stop",
        "INFO",
        lambda e, _: f"Trailing stop updated for {e.symbol}",
    ),
    "phantom_position_detected": (
        _SYNC,
        "WARNING",
        lambda e, _: f"👻 PHANTOM position (not on exchange): {e.symbol}",
    ),
    "sync_started": (_SYNC, "INFO", lambda e, _: f"Position sync started for {e.exchange}"),
    "synchronization_started": (_SYNC, "INFO", lambda e, _: f"🔄 Syncing positions from {e.exchange}..."),
    "sync_completed": (_SYNC, "INFO", lambda _e, _: "✅ Periodic sync completed"),
    "synchronization_completed": (_SYNC, "INFO", lambda _e, _: "✅ Periodic sync completed"),
    "wave_detected": (
        "signals.wave_monitor",
        "INFO",
        lambda e, _: (
            f"🌊 Wave detected! Processing {_data(e, 'signals')} signals for {e.created_at:%Y-%m-%dT%H:%M:00}"
        ),
    ),
    "positions_without_sl_detected": (
        _SYNC,
        "WARNING",
        lambda _e, _: "⚠️ Found 1 positions without stop losses",
    ),
    "zombie_orders_detected": (
        "core.zombie_manager",
        "WARNING",
        lambda _e, _: "🧟 Found 1 zombie orders total",
    ),
    "warning_raised": ("core.exchange_manager", "WARNING", lambda e, _: f"🚦 {e.error_message}"),
    "error_occurred": ("core.exchange_manager", "ERROR", lambda e, _: f"❌ {e.error_message}"),
}
