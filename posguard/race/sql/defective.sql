-- The statements of the bot's old code, each as it was sent. Their faults are kept on purpose.

-- name: lock!
-- The key comes from a hash that is salted for each process.
SELECT pg_advisory_xact_lock(:key);

-- name: active_row$
-- The existence check: rows in an intermediate status are invisible to it.
SELECT id
FROM monitoring.positions
WHERE symbol = :symbol AND exchange = :exchange AND status = 'active'
ORDER BY id
LIMIT 1;

-- name: insert$
-- A row is born active.
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price, status, exchange_order_id)
VALUES (:symbol, :exchange, :side, :quantity, :entry_price, 'active', :order_id)
RETURNING id;

-- name: placed!
-- No lock, and no look at the status it replaces.
UPDATE monitoring.positions
SET status = 'entry_placed', exchange_order_id = :order_id, updated_at = clock_timestamp()
WHERE id = :id;

-- name: activate!
UPDATE monitoring.positions
SET status = 'active', has_stop_loss = true, stop_loss_price = :trigger, updated_at = clock_timestamp()
WHERE id = :id;

-- name: end!
UPDATE monitoring.positions
SET status = :status, exit_reason = :reason, closed_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = :id;

-- name: unfinished
-- What recovery and the clean-up look at.
SELECT id, symbol, exchange, side, quantity, entry_price, status, stop_loss_price
FROM monitoring.positions
WHERE exchange = :exchange AND status IN ('pending_entry', 'entry_placed', 'pending_sl')
ORDER BY id;

-- name: active_rows
SELECT id, symbol
FROM monitoring.positions
WHERE exchange = :exchange AND status = 'active'
ORDER BY id;
