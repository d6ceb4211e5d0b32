"""How the bot words each step, version by version: what the generator of logs draws from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the bot in its wordings: what kind of event it is, at which level, from which module."""

    kind: str
    module: str
    level: str
    words: tuple[str, ...]


_CORE = "core.atomic_position_manager"
_REPO = "database.repository"
_SYNC = "core.position_synchronizer"
_STOP = "core.stop_loss_manager"
_TRAIL = "protection.trailing_stop"
_WAVE = "core.signal_processor"
_STREAM = "websocket.binance_stream"
_EXCHANGE = "core.exchange_manager"

STEPS: dict[str, Step] = {
    "started": Step("process_started", "main", "INFO", ("🤖 Bot process started pid={pid} host=trader-1", "Process started, pid={pid}")),
    "locked": Step("process_lock", "main", "INFO", ("🔒 Process lock acquired (pid={pid})", "Process lock acquired, pid={pid}")),
    "stopped": Step("process_stopped", "main", "INFO", ("Process stopped pid={pid}", "Bot process stopped pid={pid}")),
    "wave": Step("wave", _WAVE, "INFO", ("🌊 Wave detected! Processing {n} signals for {ts}",)),
    "signal": Step("signal", _WAVE, "INFO", ("📈 Executing signal {i}/{n}: {sym}", "Executing signal {i}/{n}: {sym}")),
    "skipped": Step("signal_duplicate", _WAVE, "INFO", ("⏭️ Signal {i} ({sym}) is duplicate: Position already exists",)),
    "opening": Step("opening", _CORE, "INFO", ("🚀 Opening position ATOMICALLY: {sym} {side} {qty}", "Opening position {sym} {side} {qty} on {ex}", "Opening position for {sym}")),
    "creating": Step("inserting", _CORE, "INFO", ("📝 Creating position record for {sym}", "create_position() called for {sym}", "Creating position record for {sym} on {ex}")),
    "inserting": Step("inserting", _REPO, "INFO", ("Executing INSERT for {sym}, quantity={qty}",)),
    "created": Step("created", _REPO, "INFO", ("✅ Created position #{id} for {sym}", "✅ Position record created: ID={id}", "INSERT completed, returned position_id={id} for {sym}")),
    "saved": Step("saved", _CORE, "INFO", ("💾 Position saved: {sym} (id={id})", "Position saved #{id} {sym}")),
    "exists": Step("already_exists", _REPO, "WARNING", ("⚠️ Position {sym} already exists in DB (id={id}, status=active)",)),
    "exists_on": Step("already_exists", _REPO, "WARNING", ("Position already exists for {sym} on {ex}",)),
    "placing": Step("entry_placing", _CORE, "INFO", ("📤 Placing entry order for {sym}",)),
    "placed": Step("entry_placed", _CORE, "INFO", ("✅ Entry order placed: {oid}", "New order placed: {oid} {sym} {buy} {qty}")),
    "filled": Step("order_filled", _EXCHANGE, "INFO", ("MARKET order executed: {oid}", "✅ Order filled: {oid} {sym}")),
    "to_entry": Step("updated", _REPO, "INFO", ("update_position(id={id}, updates={{'status': 'entry_placed', 'exchange_order_id': '{oid}'}})", "Updating position #{id} to entry_placed")),
    "to_stop": Step("updated", _REPO, "INFO", ("update_position(id={id}, updates={{'status': 'pending_sl'}})", "Updating position #{id} to pending_sl")),
    "to_active": Step("updated", _REPO, "INFO", ("update_position(id={id}, updates={{'status': 'active', 'stop_loss_price': {price}}})", "Updating position #{id} to active")),
    "activated": Step("activated", _CORE, "INFO", ("✅ Position #{id} successfully activated", "🎉 Position {sym} is ACTIVE with protection")),
    "stop_placing": Step("stop_placing", _STOP, "INFO", ("🛡️ Placing stop-loss for {sym} at {price}",)),
    "stop_placed": Step("stop_placed", _STOP, "INFO", ("✅ Stop-loss placed successfully", "Stop Loss order created: {oid}", "✅ Stop loss set for {sym} at {price}")),
    "stop_failed": Step("stop_failed", _STOP, "WARNING", ("❌ Failed to set stop loss for {sym}: timed out", "SL attempt 1/3 failed")),
    "stop_hit": Step("stop_triggered", _STOP, "WARNING", ("🛑 STOP LOSS TRIGGERED for {sym}", "Stop-loss triggered for {sym} at {price}")),
    "stop_moved": Step("stop_updated", _STOP, "INFO", ("Stop-loss updated for {sym} to {price}",)),
    "trailing_on": Step("trailing_activated", _TRAIL, "INFO", ("📈 Trailing stop activated for {sym} at {price}",)),
    "trailing_moved": Step("trailing_updated", _TRAIL, "INFO", ("SL moved for {sym} to {price}", "Trailing stop updated for {sym} to {price}", "Moving stop to breakeven at 1.5% profit")),
    "trailing_back": Step("trailing_restored", _TRAIL, "INFO", ("✅ {sym}: TS state restored from DB",)),
    "trailing_failed": Step("stop_failed", _TRAIL, "WARNING", ("❌ SL update failed for {sym}",)),
    "closed": Step("closed", _SYNC, "INFO", ("Position closed on exchange: {sym}", "Closed orphaned position: {sym}")),
    "syncing": Step("sync_started", _SYNC, "INFO", ("🔄 Syncing positions from {ex}...", "Position sync started for {ex}", "🔄 Synchronizing positions with exchanges...")),
    "sync_found": Step("sync_found", _SYNC, "INFO", ("Found {n} positions on {ex}",)),
    "sync_added": Step("sync_added", _SYNC, "INFO", ("➕ Added new position: {sym}",)),
    "sync_known": Step("sync_found", _SYNC, "INFO", ("♻️ Restored existing position from DB: {sym} (id={id})",)),
    "sync_done": Step("sync_completed", _SYNC, "INFO", ("✅ Periodic sync completed",)),
    "phantom": Step("phantom", _SYNC, "WARNING", ("👻 PHANTOM position (not on exchange): {sym}", "Found {n} positions in DB but not on {ex}")),
    "unprotected": Step("unprotected", _SYNC, "WARNING", ("⚠️ Found {n} positions without stop losses",)),
    "exposed": Step("unprotected", _CORE, "CRITICAL", ("\n🚨 CRITICAL: Position without SL detected, closing immediately!", "🚨 CRITICAL: Position without SL detected, closing immediately!")),
    "alert": Step("unprotected", _CORE, "CRITICAL", ("🚨 ALERT: Open position without SL may exist on exchange!",)),
    "rollback": Step("rollback", _CORE, "WARNING", ("🔄 Rolling back position for {sym}, state={state}",)),
    "rollback_found": Step("rollback", _CORE, "INFO", ("✅ Position found on attempt 1/20",)),
    "rollback_failed": Step("rollback_failed", _CORE, "ERROR", ("❌ Rollback failed: the exchange did not answer",)),
    "emergency": Step("emergency_close", _CORE, "INFO", ("✅ Emergency close executed: {oid}",)),
    "not_found": Step("not_found", _CORE, "ERROR", ("❌ Position {sym} not found after 20 attempts!", "Position not found after 20s")),
    "failed": Step("creation_failed", _CORE, "ERROR", ("❌ Atomic position creation failed: the exchange did not answer",)),
    "duplicate": Step("duplicate_error", _REPO, "ERROR", ('❌ Failed to update position #{id}: duplicate key value violates unique constraint "idx_unique_active_position"\nDETAIL:  Key (symbol, exchange)=({sym}, {ex}) already exists.',)),
    "duplicate_flat": Step("duplicate_error", _CORE, "ERROR", ('❌ Atomic position creation failed: duplicate key value violates unique constraint "idx_unique_active_position"\\nDETAIL:  Key (symbol, exchange)=({sym}, {ex}) already exists.',)),
    "duplicate_trace": Step("duplicate_error", _WAVE, "ERROR", ('Error executing signal\nTraceback (most recent call last):\n  File "/bot/core/atomic_position_manager.py", line 412, in open_position\n    logger.info(f"✅ Created position #{{position_id}} for {{symbol}}")\n  File "/bot/database/repository.py", line 198, in update_position\n    await connection.execute(query, *values)\nasyncpg.exceptions.UniqueViolationError: duplicate key value violates unique constraint "idx_unique_active_position"\nDETAIL:  Key (symbol, exchange)=({sym}, {ex}) already exists.',)),
    "recovery": Step("recovery", "main", "INFO", ("🔍 Checking for incomplete positions...", "Found {n} incomplete positions")),
    "recovering": Step("recovery", _CORE, "INFO", ("Recovering position {sym} in state {state}",)),
    "recovered": Step("recovery", _CORE, "INFO", ("✅ Recovered position {sym}",)),
    "aged": Step("aged", "core.aged_position_manager", "WARNING", ("⏰ Aged position detected: {sym}", "Processing {n} aged positions")),
    "zombie": Step("zombie", "core.zombie_manager", "WARNING", ("🧟 Found {n} zombie orders total", "✅ Cancelled limit order {oid}", "Zombie order found: {oid}")),
    "price": Step("price_update", _STREAM, "INFO", ("Price update: {sym} {price}",)),
    "limited": Step("rate_limit", _EXCHANGE, "WARNING", ("🚦 Rate limit exceeded",)),
    "refused": Step("api_error", _EXCHANGE, "ERROR", ("❌ Binance error -1021: Timestamp for this request is outside of the recvWindow.", "bybit retCode=10001, retMsg=params error", "API error -2019: Margin is insufficient.")),
    "down": Step("websocket_down", _STREAM, "WARNING", ("⚠️ WebSocket disconnected", "🔁 WebSocket reconnecting to {ex}...")),
    "up": Step("websocket_up", _STREAM, "INFO", ("✅ WebSocket connected",)),
    "took": Step("latency", "utils.metrics", "INFO", ("Entry order for {sym} took {ms} ms", "Stop-loss for {sym} took {seconds} s")),
    "broken": Step("error", "utils.tasks", "ERROR", ("Task exception was never retrieved", 'Unhandled exception\nTraceback (most recent call last):\n  File "/bot/utils/tasks.py", line 12, in run\n    raise ValueError("Position closed on exchange: {sym}")\nValueError: Position closed on exchange: {sym}')),
}  # fmt: skip

# Lines that are no events.
NOISE: tuple[tuple[str, str, str], ...] = (
    ("DEBUG", _STREAM, "book ticker {sym} bid={price} ask={price} seq={oid}"),
    ("DEBUG", _STREAM, "depth frame {sym} levels=20 latency_us={oid}"),
    ("DEBUG", "core.event_bus", "dispatch market_tick to 4 listeners in 0.21 ms"),
    ("INFO", "core.risk_manager", "exposure check {sym}: 412.5 of 2000 USDT, margin ratio 0.18"),
    ("DEBUG", _EXCHANGE, "GET /fapi/v2/balance weight=5 used=118/2400"),
    ("INFO", "utils.health", "heartbeat ok - loop lag 3 ms - rss 212 MB"),
    ("DEBUG", "core.signal_processor", "score {sym} week=0.71 month=0.64 - below threshold"),
    ("INFO", "core.risk_manager", "проверка маржи по {sym}: достаточно 💰"),
)
# Nor are these, though they hold an event's words: quoted in JSON, as another log's line, in a sentence.
QUOTES: tuple[tuple[str, str, str], ...] = (
    (
        "DEBUG",
        "core.event_bus",
        '{{"type": "log", "text": "✅ Created position #{oid} for {sym}", "level": "INFO"}}',
    ),
    (
        "DEBUG",
        "utils.audit",
        'replayed "2025-10-22 10:00:00,000 - core - INFO - Opening position ATOMICALLY: {sym} long 5"',
    ),
    ("DEBUG", "utils.audit", "operator asked why Position saved came late for {sym}"),
)


def step_words(name: str, wording: int) -> str:
    """The words of a step in a version."""
    words = STEPS[name].words
    return words[wording % len(words)]
