-- name: columns
-- The columns of a table; none where it does not exist or may not be read.
SELECT attname AS name
FROM pg_catalog.pg_attribute
WHERE
    attrelid = to_regclass(:qualified_name::text)
    AND attnum > 0
    AND NOT attisdropped
    AND has_column_privilege(attrelid, attnum, 'SELECT');

-- name: be_quick$
-- No statement of this transaction may take longer than so many milliseconds; a shorter limit that is set already stays.
SELECT
    set_config(
        'statement_timeout', (CASE WHEN setting::int = 0 THEN :most ELSE least(setting::int, :most) END)::text, TRUE
    )
FROM pg_catalog.pg_settings
WHERE name = 'statement_timeout';

-- name: rows_by_status
-- Rows created in the window. A closed row lasted until it closed, an open one has lasted until now.
SELECT
    coalesce(status, 'NULL') AS status,
    count(*) AS count,
    min(created_at) AS first,
    max(created_at) AS last,
    avg(extract(EPOCH FROM coalesce(closed_at, :now) - coalesce(opened_at, created_at)))::float8 AS mean_seconds
FROM monitoring.positions
WHERE
    created_at > :now::timestamptz - :window::interval
    AND created_at <= :now
    AND (:exchange = '' OR lower(btrim(exchange)) = :exchange)
    AND (
        :symbol = ''
        OR upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
    )
GROUP BY status
ORDER BY count(*) DESC, coalesce(status, 'NULL');

-- name: errors_per_hour
-- One line per hour of the window, hours without an error too.
WITH
hours AS (
    SELECT
        generate_series(
            date_trunc('hour', :now::timestamptz) - :window::interval + interval '1 hour',
            date_trunc('hour', :now::timestamptz),
            interval '1 hour'
        ) AS hour
),

errors AS (
    SELECT
        date_trunc('hour', created_at) AS hour,
        count(*) AS errors
    FROM monitoring.events
    WHERE
        created_at >= date_trunc('hour', :now::timestamptz) - :window::interval + interval '1 hour'
        AND created_at <= :now
        AND (
            upper(coalesce(severity, '')) IN ('ERROR', 'CRITICAL')
            OR event_type LIKE '%\_error'
            OR event_type LIKE '%\_failed'
        )
        AND (:exchange = '' OR lower(btrim(exchange)) = :exchange)
        AND (
            :symbol = ''
            OR upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        )
    GROUP BY date_trunc('hour', created_at)
)

SELECT
    h.hour,
    coalesce(e.errors, 0) AS errors
FROM hours AS h
LEFT JOIN errors AS e ON h.hour = e.hour
ORDER BY h.hour;

-- name: rolled_back^
-- The share of rows created in the window that were rolled back, and how many of those for a duplicate.
SELECT
    count(*) AS rows,
    count(*) FILTER (WHERE status = 'rolled_back') AS rolled_back,
    count(*) FILTER (WHERE status = 'rolled_back' AND exit_reason ILIKE '%duplicate%') AS for_duplicates
FROM monitoring.positions
WHERE
    created_at > :now::timestamptz - :window::interval
    AND created_at <= :now
    AND (:exchange = '' OR lower(btrim(exchange)) = :exchange)
    AND (
        :symbol = ''
        OR upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
    );

-- name: duplicate_key_errors$
-- One error leaves several records within seconds: what follows another of its symbol by less than 10 s is the same one.
SELECT count(*) FILTER (WHERE gap IS NULL OR gap >= interval '10 seconds') AS errors
FROM (
    SELECT
        created_at - lag(created_at) OVER (PARTITION BY exchange, symbol ORDER BY created_at) AS gap
    FROM monitoring.events
    WHERE
        created_at > :now::timestamptz - :window::interval
        AND created_at <= :now
        AND (error_message ILIKE '%duplicate key%' OR event_data::text ILIKE '%duplicate key%')
        AND (:exchange = '' OR lower(btrim(exchange)) = :exchange)
        AND (
            :symbol = ''
            OR upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        )
) AS told;

-- name: open_latency^
-- From the row's creation to its first stop-loss: the time until an open is protected, in seconds.
SELECT
    count(*) AS opens,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99,
    max(seconds) AS max
FROM (
    SELECT extract(EPOCH FROM min(e.created_at) - p.created_at)::float8 AS seconds
    FROM monitoring.positions AS p
    INNER JOIN monitoring.events AS e
        ON p.id = e.position_id AND e.event_type = 'stop_loss_placed' AND e.created_at >= p.created_at
    WHERE
        p.created_at > :now::timestamptz - :window::interval
        AND p.created_at <= :now
        AND e.created_at > :now::timestamptz - :window::interval
        AND (:exchange = '' OR lower(btrim(p.exchange)) = :exchange)
        AND (
            :symbol = ''
            OR upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        )
    GROUP BY p.id, p.created_at
) AS protected;
