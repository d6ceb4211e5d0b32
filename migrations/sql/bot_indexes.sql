-- Target bot, the indexes; each statement runs by itself, outside any transaction, and is named as its index is.
-- No IF NOT EXISTS: it would accept an INVALID index that an interrupted build left. No timeouts: one that strikes in the
-- middle leaves such an index, which already refuses writes; a watchdog ends a build that waits too long, and drops it.
-- squawk-ignore-file ban-concurrent-index-creation-in-transaction, prefer-robust-stmts, require-lock-timeout, require-statement-timeout

-- name: posguard_one_open_position!
-- DB-1: at most one open row for each exchange, account, canonical symbol and leg. The predicate names what is closed, so that
-- a status added later, or NULL, cannot escape.
CREATE UNIQUE INDEX CONCURRENTLY posguard_one_open_position ON monitoring.positions (
    lower(btrim(exchange) COLLATE "C"),
    account,
    upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"),
    position_side
)
WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled');

-- name: posguard_one_request!
-- ORD-11: a request key names one attempt.
CREATE UNIQUE INDEX CONCURRENTLY posguard_one_request ON monitoring.positions (request_key)
WHERE request_key IS NOT NULL;

-- name: posguard_positions_by_status!
CREATE INDEX CONCURRENTLY posguard_positions_by_status ON monitoring.positions (status);

-- name: posguard_positions_by_creation!
CREATE INDEX CONCURRENTLY posguard_positions_by_creation ON monitoring.positions (created_at);

-- name: posguard_positions_by_closing!
CREATE INDEX CONCURRENTLY posguard_positions_by_closing ON monitoring.positions (closed_at);

-- name: posguard_events_by_time!
CREATE INDEX CONCURRENTLY posguard_events_by_time ON monitoring.events (created_at);

-- name: posguard_events_by_type!
CREATE INDEX CONCURRENTLY posguard_events_by_type ON monitoring.events (event_type, created_at);
