-- What the database knows of one symbol around one time. Reads only.

-- name: rows_around
-- Rows of a canonical symbol that were made in a time, through to_jsonb so that columns which a deployment lacks are NULL. The bytes
-- of symbol and exchange tell two spellings apart that look alike.
SELECT
    p.id,
    p.symbol AS raw_symbol,
    encode(convert_to(p.symbol, 'UTF8'), 'hex') AS symbol_bytes,
    p.exchange,
    encode(convert_to(p.exchange, 'UTF8'), 'hex') AS exchange_bytes,
    to_jsonb(p) ->> 'side' AS side,
    to_jsonb(p) ->> 'quantity' AS quantity,
    to_jsonb(p) ->> 'status' AS status,
    nullif(to_jsonb(p) ->> 'exchange_order_id', '') AS exchange_order_id,
    p.created_at,
    (to_jsonb(p) ->> 'updated_at')::timestamptz AS updated_at,
    to_jsonb(p) ->> 'exit_reason' AS exit_reason
FROM monitoring.positions AS p
WHERE
    upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
    AND (:exchange = '' OR lower(btrim(p.exchange)) = :exchange)
    AND p.created_at BETWEEN :since AND :until
ORDER BY p.created_at, p.id
LIMIT 200;

-- name: has_table$
SELECT
    to_regclass(:qualified_name) IS NOT NULL
    AND coalesce(has_table_privilege(to_regclass(:qualified_name), 'SELECT'), false);

-- name: events_around
SELECT
    e.id,
    e.created_at AS at,
    e.event_type,
    e.position_id,
    e.symbol,
    e.exchange,
    concat_ws(' ', e.error_message, e.event_data::text) AS text
FROM monitoring.events AS e
WHERE
    e.created_at BETWEEN :since AND :until
    AND (
        upper(translate(split_part(e.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        OR e.position_id = ANY(:ids::bigint [])
    )
ORDER BY e.created_at, e.id
LIMIT 1000;

-- name: transitions_of
SELECT
    t.id,
    t.at,
    t.position_id,
    t.operation,
    t.from_status,
    t.to_status,
    t.backend_pid,
    t.app
FROM posguard.transitions AS t
WHERE t.position_id = ANY(:ids::bigint [])
ORDER BY t.id
LIMIT 1000;

-- name: triggers
-- The triggers of monitoring.positions that are not the server's own, with the function each calls.
SELECT
    g.tgname AS name,
    g.tgenabled <> 'D' AS enabled,
    n.nspname || '.' || f.proname AS calls,
    pg_get_triggerdef(g.oid) AS definition
FROM pg_catalog.pg_trigger AS g
INNER JOIN pg_catalog.pg_proc AS f ON g.tgfoid = f.oid
INNER JOIN pg_catalog.pg_namespace AS n ON f.pronamespace = n.oid
WHERE g.tgrelid = to_regclass('monitoring.positions') AND NOT g.tgisinternal
ORDER BY g.tgname;
