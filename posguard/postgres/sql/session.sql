-- What a session of ours starts with.

-- name: isolation$
SELECT current_setting('default_transaction_isolation');

-- name: export_snapshot$
-- The name under which another connection can see the same instant, for as long as this transaction lasts.
SELECT pg_export_snapshot();
