-- The bot's tables in a made-up database, as the demo world fills them. Nothing else may run these.

-- name: bot_tables
-- The relations of the bot's schema that hold rows or show them.
SELECT relname
FROM pg_catalog.pg_class
WHERE relnamespace = to_regnamespace('monitoring') AND relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY relname;

-- name: holds_rows$
-- Whether any of the four tables holds a row.
SELECT
    EXISTS (SELECT FROM monitoring.positions)
    OR EXISTS (SELECT FROM monitoring.orders)
    OR EXISTS (SELECT FROM monitoring.events)
    OR EXISTS (SELECT FROM monitoring.trailing_stop_state);

-- name: mark$
-- The comment on the bot's schema; null where there is none.
SELECT obj_description(to_regnamespace('monitoring'), 'pg_namespace');

-- name: hold_mark$
-- Keeps the text of the mark for write_mark, in this transaction.
SELECT set_config('posguard.mark', :mark, true);

-- name: write_mark!
-- Writes the text kept by hold_mark as comment on the bot's schema.
DO $$ BEGIN EXECUTE format('COMMENT ON SCHEMA monitoring IS %L', current_setting('posguard.mark')); END $$;

-- name: empty_tables!
-- Empties the bot's tables and starts their serials anew.
TRUNCATE monitoring.positions, monitoring.orders, monitoring.events, monitoring.trailing_stop_state RESTART IDENTITY;

-- name: forget_runs!
-- Empties what posguard recorded of an earlier demo world, where its schema stands.
DO $$ BEGIN EXECUTE (
    SELECT coalesce('TRUNCATE ' || string_agg(format('posguard.%I', relname), ', '), 'SELECT')
    FROM pg_catalog.pg_class
    WHERE relnamespace = to_regnamespace('posguard') AND relkind = 'r' AND relname <> 'schema_version'
); END $$;

-- name: raise_serial$
-- The next position gets an id above the highest one.
SELECT setval(pg_get_serial_sequence('monitoring.positions', 'id'), (SELECT max(id) FROM monitoring.positions));

-- name: change_positions*!
-- A position of a world in motion goes on: its stop, and its end.
UPDATE monitoring.positions
SET
    status = :status, has_stop_loss = :has_stop_loss, stop_loss_price = :stop_loss_price, closed_at = :closed_at,
    exit_reason = :exit_reason, updated_at = :updated_at
WHERE id = :id;
