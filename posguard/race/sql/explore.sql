-- The explorer's own statements on a database that it made itself.

-- name: blockers^
-- Which server processes hold what another one waits for.
SELECT pg_blocking_pids(:pid) AS pids;

-- name: cut$
-- Ends a connection and comes back when it is gone, its locks with it.
SELECT pg_terminate_backend(:pid, 10000);

-- name: age!
-- Every lease ran out, and as long ago as an order of its owner may still have been executed.
UPDATE monitoring.positions
SET lease_until = clock_timestamp() - interval '1 hour'
WHERE lease_until IS NOT NULL;

-- name: age_nothing!
-- The bot's old tables know no leases.
SELECT 1;

-- name: clear_old#
DELETE FROM monitoring.positions;

-- name: clear_upgraded#
-- No trigger is to record that rows go.
SET session_replication_role = replica;
DELETE FROM monitoring.positions;
DELETE FROM posguard.transitions;
DELETE FROM posguard.protection_gaps;
DELETE FROM posguard.alert_outbox;
DELETE FROM posguard.cleanup_actions;
DELETE FROM posguard.plan_lines;
DELETE FROM posguard.plans;
SET session_replication_role = origin;

-- name: tidy_old!
VACUUM monitoring.positions;

-- name: tidy_upgraded!
VACUUM monitoring.positions, posguard.transitions, posguard.protection_gaps, posguard.alert_outbox, posguard.plans,
posguard.plan_lines, posguard.cleanup_actions;

-- name: rows_old
SELECT
    p.id,
    p.status,
    p.quantity,
    p.created_at AS began,
    coalesce(p.closed_at, p.updated_at) AS changed,
    false AS attention,
    md5(to_jsonb(p)::text) AS digest
FROM monitoring.positions AS p
ORDER BY p.id;

-- name: rows_upgraded
-- A row is flagged only where its alert is in the outbox.
SELECT
    p.id,
    p.status,
    p.quantity,
    p.inserted_at AS began,
    coalesce(p.closed_at, p.updated_at) AS changed,
    p.needs_attention AND EXISTS (
        SELECT FROM posguard.alert_outbox AS a
        WHERE a.position_id = p.id
    ) AS attention,
    concat_ws(' ', p.status, p.version, p.quantity, p.stop_loss_order_id, p.needs_attention) AS digest
FROM monitoring.positions AS p
ORDER BY p.id;
