-- What the demo bot reads and writes, in a made-up database only.

-- name: own_rows
-- Its open rows, which came of a signal, by id; planted rows are not its own.
SELECT
    id, symbol, exchange, side, quantity, entry_price, status, created_at, stop_loss_price, exchange_order_id,
    has_trailing_stop
FROM monitoring.positions
WHERE
    status IN ('pending_entry', 'entry_placed', 'pending_sl', 'active')
    AND id <> ALL(:planted::integer [])
    AND signal_id IS NOT NULL
ORDER BY id;

-- name: begin_position$
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
SET status = 'entry_placed', exchange_order_id = :order_id, updated_at = :at
WHERE id = :id AND status = 'pending_entry';

-- name: activate!
-- The stop-loss lives: the row is whole.
UPDATE monitoring.positions
SET
    status = 'active', has_stop_loss = true, stop_loss_price = :stop, stop_loss = :stop,
    has_trailing_stop = :trailing, updated_at = :at
WHERE id = :id AND status IN ('pending_entry', 'entry_placed', 'pending_sl');

-- name: give_up!
-- Nothing was bought: the row ends.
UPDATE monitoring.positions
SET status = 'failed', closed_at = :at, updated_at = :at, exit_reason = 'entry not placed'
WHERE id = :id AND status = 'pending_entry';

-- name: close_position!
-- The venue is flat: the row ends.
UPDATE monitoring.positions
SET
    status = 'closed', closed_at = :at, updated_at = :at, exit_reason = :reason, current_price = :price,
    realized_pnl = :profit, pnl = :profit, unrealized_pnl = NULL
WHERE id = :id AND status IN ('entry_placed', 'pending_sl', 'active');

-- name: end_stops!
-- The stop-loss orders of a row that ended.
UPDATE monitoring.orders
SET status = 'canceled', updated_at = :at
WHERE position_id = :id::integer::text AND type = 'stop_market' AND status = 'open';

-- name: end_trailing!
-- The trailing stop of a row that ended.
DELETE FROM monitoring.trailing_stop_state
WHERE position_id = :id;

-- name: move_prices!
-- New prices of open rows, in arrays of equal length.
UPDATE monitoring.positions AS p
SET
    current_price = moved.price,
    unrealized_pnl = (moved.price - p.entry_price) * p.quantity * CASE p.side WHEN 'long' THEN 1 ELSE -1 END,
    updated_at = :at
FROM unnest(:ids::integer [], :prices::numeric []) AS moved (id, price)
WHERE p.id = moved.id AND p.status = 'active';

-- name: move_trailing!
-- What the trailing stops have seen, in arrays of equal length.
UPDATE monitoring.trailing_stop_state AS t
SET
    highest_price = greatest(t.highest_price, moved.price),
    lowest_price = least(t.lowest_price, moved.price),
    last_update_time = :at
FROM unnest(:ids::integer [], :prices::numeric []) AS moved (id, price)
WHERE t.position_id = moved.id;
