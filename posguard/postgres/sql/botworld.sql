-- The bot's tables as the demo world fills them and the demo bot writes them. Nothing else may run these.

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

-- name: open_rows
-- The demo bot's own open rows, by id.
SELECT
    id, symbol, exchange, side, quantity, entry_price, status, created_at,
    stop_loss_price, exchange_order_id, has_trailing_stop
FROM monitoring.positions
WHERE
    status IN ('pending_entry', 'entry_placed', 'pending_sl', 'active')
    AND id <> ALL (:planted::integer [])
ORDER BY id;

-- name: stop_order$
-- The venue's id of the stop-loss that was recorded last for a row.
SELECT order_id
FROM monitoring.orders
WHERE position_id = :position_id AND type = 'stop_market'
ORDER BY id DESC
LIMIT 1;

-- name: insert_position$
-- A new row on its way; returns its id.
INSERT INTO monitoring.positions (
    symbol, exchange, side, quantity, entry_price, current_price, status, opened_at, created_at, updated_at, leverage,
    signal_id
) VALUES (
    :symbol, :exchange, :side, :quantity, :price, :price, 'pending_entry', :at, :at, :at, 10, :signal_id
)
RETURNING id;

-- name: entry_filled!
-- The entry was filled.
UPDATE monitoring.positions
SET
    status = 'entry_placed', exchange_order_id = :order_id, entry_price = :price, current_price = :price,
    fees = :fees, updated_at = :at
WHERE id = :id AND status = 'pending_entry';

-- name: activated!
-- The stop-loss lives; the row is whole.
UPDATE monitoring.positions
SET
    status = 'active', has_stop_loss = true, stop_loss_price = :stop, stop_loss = :stop,
    has_trailing_stop = :trailing, updated_at = :at
WHERE id = :id AND status IN ('pending_entry', 'entry_placed', 'pending_sl');

-- name: given_up!
-- Nothing was bought; the row ends.
UPDATE monitoring.positions
SET status = 'failed', closed_at = :at, updated_at = :at, exit_reason = 'entry not placed'
WHERE id = :id AND status = 'pending_entry';

-- name: closed!
-- The venue is flat; the row ends.
UPDATE monitoring.positions
SET
    status = 'closed', closed_at = :at, updated_at = :at, exit_reason = :reason, current_price = :price,
    realized_pnl = :profit, pnl = :profit, unrealized_pnl = null, trailing_activated = :reason = 'trailing_stop'
WHERE id = :id AND status = 'active';

-- name: order_ended!
-- The stop-loss of a row that ended.
UPDATE monitoring.orders
SET status = 'canceled', updated_at = :at
WHERE order_id = :order_id AND status = 'open';

-- name: trailing_ended!
-- The trailing stop of a row that ended.
DELETE FROM monitoring.trailing_stop_state
WHERE position_id = :id;

-- name: prices_moved!
-- New prices of open rows; arrays of equal length.
UPDATE monitoring.positions AS p
SET
    current_price = moved.price,
    unrealized_pnl = (moved.price - p.entry_price) * p.quantity * CASE p.side WHEN 'long' THEN 1 ELSE -1 END,
    updated_at = :at
FROM unnest(:ids::integer [], :prices::numeric []) AS moved (id, price)
WHERE p.id = moved.id AND p.status = 'active';

-- name: trailing_moved!
-- The prices that trailing stops have seen; arrays of equal length.
UPDATE monitoring.trailing_stop_state AS t
SET
    highest_price = greatest(t.highest_price, moved.price),
    lowest_price = least(t.lowest_price, moved.price),
    last_update_time = :at
FROM unnest(:ids::integer [], :prices::numeric []) AS moved (id, price)
WHERE t.position_id = moved.id;
