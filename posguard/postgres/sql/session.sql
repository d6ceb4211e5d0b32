-- What a session of ours starts with.

-- name: isolation$
SELECT current_setting('default_transaction_isolation');
