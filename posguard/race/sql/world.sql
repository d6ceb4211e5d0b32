-- The database of a reproduction: is it one for tests, what stands in it, and clearing away.

-- name: mark$
-- The comment on the database.
SELECT shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = current_database();

-- name: database_name$
SELECT current_database();

-- name: tables
-- The bot's tables that exist.
SELECT c.relname AS name
FROM pg_catalog.pg_class AS c
WHERE
    c.relnamespace = to_regnamespace('monitoring')
    AND c.relkind IN ('r', 'p')
    AND c.relname IN ('positions', 'orders', 'events', 'trailing_stop_state');

-- name: has_bot_schema$
SELECT to_regnamespace('monitoring') IS NOT NULL;

-- name: has_own_schema$
SELECT to_regnamespace('posguard') IS NOT NULL;

-- name: index_stands$
-- Whether the unique index over all open statuses is in place and in force.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_index
    WHERE
        indexrelid = to_regclass('monitoring.posguard_one_open_position')
        AND indisunique AND indisvalid AND indisready
);

-- name: foreign_positions$
-- Rows that no reproduction made.
SELECT count(*) FROM monitoring.positions WHERE symbol !~ '^TEST[0-9]*USDT$';

-- name: foreign_orders$
SELECT count(*) FROM monitoring.orders WHERE coalesce(symbol, '') !~ '^TEST[0-9]*USDT$';

-- name: foreign_events$
SELECT count(*) FROM monitoring.events WHERE coalesce(symbol, '') !~ '^TEST[0-9]*USDT$';

-- name: foreign_trailing_stop_state$
SELECT count(*) FROM monitoring.trailing_stop_state WHERE symbol !~ '^TEST[0-9]*USDT$';

-- name: rows
-- The rows of some symbols, whatever columns the deployment has.
SELECT
    p.id,
    p.symbol,
    p.status,
    p.quantity,
    coalesce((to_jsonb(p) ->> 'inserted_at')::timestamptz, p.created_at) AS began,
    coalesce(p.closed_at, p.updated_at) AS changed,
    coalesce((to_jsonb(p) ->> 'needs_attention')::boolean, false) AS attention
FROM monitoring.positions AS p
WHERE p.symbol = ANY(:symbols::text [])
ORDER BY p.id;

-- name: delete_positions
DELETE FROM monitoring.positions WHERE symbol = ANY(:symbols::text []) RETURNING id;

-- name: delete_orders!
DELETE FROM monitoring.orders WHERE symbol = ANY(:symbols::text []);

-- name: delete_events!
DELETE FROM monitoring.events WHERE symbol = ANY(:symbols::text []);

-- name: delete_trailing_stop_state!
DELETE FROM monitoring.trailing_stop_state WHERE symbol = ANY(:symbols::text []);

-- name: delete_transitions!
DELETE FROM posguard.transitions WHERE position_id = ANY(:ids::bigint []);

-- name: delete_gaps!
DELETE FROM posguard.protection_gaps WHERE position_id = ANY(:ids::bigint []);

-- name: delete_alerts!
DELETE FROM posguard.alert_outbox WHERE position_id = ANY(:ids::bigint []);

-- name: drop_bot_tables!
DROP SCHEMA IF EXISTS monitoring CASCADE;

-- name: drop_own_schema!
DROP SCHEMA IF EXISTS posguard CASCADE;
