-- What acts on the corrected core's rows from outside in a race.

-- name: fail_unsent!
-- A clean-up by hand that looks at no lease: the core has to find that its row is gone before it sends.
UPDATE monitoring.positions
SET status = 'failed', exit_reason = 'cleaned up', closed_at = clock_timestamp()
WHERE status = 'pending_entry' AND symbol ~ '^TEST[0-9]*USDT$';

-- name: unfinished$
-- Whether a row is still on its way and nobody was told.
SELECT EXISTS (
    SELECT FROM monitoring.positions WHERE status = ANY(:statuses::text []) AND NOT needs_attention
);
