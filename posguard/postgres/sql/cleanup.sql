-- What a cleanup changes in the bot's table, row by row. Nothing is deleted. Columns that a deployment may lack have statements of
-- their own, run only where they are.

-- name: lock_rows
-- The rows by id, held until the transaction ends; leased: the trading core is at work on it.
SELECT
    p.id,
    to_jsonb(p)::text AS whole,
    coalesce((to_jsonb(p) ->> 'lease_until')::timestamptz > clock_timestamp(), false) AS leased
FROM monitoring.positions AS p
WHERE p.id = ANY(:ids::bigint [])
ORDER BY p.id
FOR UPDATE;

-- name: rows
-- The rows by id, whole.
SELECT to_jsonb(p)::text AS whole FROM monitoring.positions AS p WHERE p.id = ANY(:ids::bigint []) ORDER BY p.id;

-- name: say_who$
-- Who changes, from where and why, for the record that the bot's upgraded table keeps.
SELECT
    set_config('posguard.actor', :actor, true),
    set_config('posguard.origin', 'manual', true),
    set_config('posguard.reason', :reason, true);

-- name: set_status!
UPDATE monitoring.positions SET status = :status WHERE id = :id;

-- name: set_stop_order!
UPDATE monitoring.positions SET stop_loss_order_id = :order_id WHERE id = :id;

-- name: set_account!
UPDATE monitoring.positions SET account = :value WHERE id = :id;

-- name: set_position_side!
UPDATE monitoring.positions SET position_side = :value WHERE id = :id;

-- name: set_origin!
UPDATE monitoring.positions SET origin = :value WHERE id = :id;

-- name: change_row$
-- The columns that `said` names, and the time of the change.
WITH said AS (SELECT :said::jsonb AS c)

UPDATE monitoring.positions AS p
SET
    status = CASE WHEN c ? 'status' THEN c ->> 'status' ELSE p.status END,
    exit_reason = CASE WHEN c ? 'exit_reason' THEN c ->> 'exit_reason' ELSE p.exit_reason END,
    closed_at = CASE
        WHEN c ->> 'closed_at' = '(now)' THEN clock_timestamp()
        WHEN c ? 'closed_at' THEN (c ->> 'closed_at')::timestamptz
        ELSE p.closed_at
    END,
    quantity = CASE WHEN c ? 'quantity' THEN (c ->> 'quantity')::numeric ELSE p.quantity END,
    has_stop_loss = CASE WHEN c ? 'has_stop_loss' THEN (c ->> 'has_stop_loss')::boolean ELSE p.has_stop_loss END,
    stop_loss_price = CASE
        WHEN c ? 'stop_loss_price' THEN (c ->> 'stop_loss_price')::numeric ELSE p.stop_loss_price
    END,
    updated_at = clock_timestamp()
FROM said
WHERE p.id = :id
RETURNING to_jsonb(p)::text;

-- name: adopt_row$
-- A new open row, unless an open one of its market is there or any unique index refuses it: then nothing.
INSERT INTO monitoring.positions (
    symbol, exchange, side, quantity, entry_price, status, opened_at, has_stop_loss, stop_loss_price
)
SELECT
    c ->> 'symbol',
    c ->> 'exchange',
    c ->> 'side',
    (c ->> 'quantity')::numeric,
    (c ->> 'entry_price')::numeric,
    c ->> 'status',
    CASE WHEN c ->> 'opened_at' = '(now)' THEN clock_timestamp() ELSE (c ->> 'opened_at')::timestamptz END,
    (c ->> 'has_stop_loss')::boolean,
    (c ->> 'stop_loss_price')::numeric
FROM (SELECT :said::jsonb AS c) AS said
ON CONFLICT DO NOTHING
RETURNING id;

-- name: announce_restore$
-- Says that this transaction takes a recorded change of the row back, for the guard of rows that the core manages.
SELECT posguard.announce_restore(:plan_id, :row_id);

-- name: restore_row$
SELECT posguard.restore_row(:row_id, :was::text::jsonb);

-- name: recorded
-- What a plan changed and nobody has taken back yet, the last change first.
SELECT
    a.line_id,
    l.number,
    a.row_id,
    a.before::text AS before,
    a.after::text AS after
FROM posguard.cleanup_actions AS a
INNER JOIN posguard.plan_lines AS l ON a.line_id = l.id
WHERE
    a.plan_id = :plan_id
    AND a.event = 'changed'
    AND NOT EXISTS (
        SELECT FROM posguard.cleanup_actions AS r
        WHERE r.line_id = a.line_id AND r.event = 'restored'
    )
ORDER BY a.id DESC;

-- name: open_rows_of
-- The open rows of a market, whole. The ranges let an index over status serve, as in open_positions.
SELECT to_jsonb(p)::text AS whole
FROM monitoring.positions AS p
WHERE
    coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    AND (
        p.status IS NULL
        OR p.status < 'canceled'
        OR (p.status > 'canceled' AND p.status < 'closed')
        OR (p.status > 'closed' AND p.status < 'failed')
        OR (p.status > 'failed' AND p.status < 'rolled_back')
        OR p.status > 'rolled_back'
        OR ('canceled'::varchar < 'closed' AND 'closed'::varchar < 'failed' AND 'failed'::varchar < 'rolled_back') IS NOT TRUE
    )
    AND lower(btrim(p.exchange)) = lower(btrim(:exchange))
    AND upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C")
    = upper(translate(split_part(:symbol::text, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C");
