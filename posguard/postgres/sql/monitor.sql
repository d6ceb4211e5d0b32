-- What the monitor reads of the bot's tables, each part by index. All of it runs in one REPEATABLE READ, READ ONLY transaction.

-- name: instant^
-- The server's clock; the oldest transaction that is still open, and the next that will be; the newest ids.
SELECT
    clock_timestamp() AS now,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS coming;

-- name: last_position$
SELECT max(id) FROM monitoring.positions;

-- name: last_event$
SELECT max(id) FROM monitoring.events;

-- name: heard$
-- When the last event was written.
SELECT max(created_at) FROM monitoring.events
WHERE created_at <= :at;

-- name: ordered$
-- Whether the four terminal statuses stand in the order that open_rows goes by.
SELECT 'canceled'::varchar < 'closed' AND 'closed'::varchar < 'failed' AND 'failed'::varchar < 'rolled_back';

-- name: open_rows
-- The open rows by exchange. They are found by the ranges between the four terminal statuses, which an index over status serves
-- and the server can estimate; NOT IN it takes for nearly all rows. They are read through to_jsonb, so that columns which a
-- deployment lacks are NULL. Whether a row records a stop-loss is decided as PositionRow.records_stop does. crossed_minute and
-- crossed count those that became aged in the window.
WITH
stop_column AS (
    SELECT bool_or(starts_with(coalesce(col_description(attrelid, attnum), ''), 'posguard')) AS added
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass('monitoring.positions') AND attname = 'stop_loss_order_id' AND NOT attisdropped
),

open_rows AS (
    SELECT
        p.id,
        p.symbol,
        to_jsonb(p) AS j,
        coalesce(lower(btrim(p.exchange)), '') AS exchange,
        coalesce(p.status, '') AS status
    FROM monitoring.positions AS p
    WHERE
        p.status IS NULL
        OR p.status < 'canceled'
        OR (p.status > 'canceled' AND p.status < 'closed')
        OR (p.status > 'closed' AND p.status < 'failed')
        OR (p.status > 'failed' AND p.status < 'rolled_back')
        OR p.status > 'rolled_back'
),

judged AS (
    SELECT
        o.id,
        o.exchange,
        o.symbol,
        o.status,
        coalesce((o.j ->> 'opened_at')::timestamptz, (o.j ->> 'created_at')::timestamptz) AS since,
        CASE
            WHEN o.j ? 'stop_loss_order_id' AND (
                NOT stop_column.added
                OR coalesce((o.j ->> 'core_managed')::boolean, false)
                OR coalesce(o.j ->> 'stop_loss_order_id', '') <> ''
            )
                THEN coalesce(o.j ->> 'stop_loss_order_id', '') = ''
            ELSE NOT (coalesce((o.j ->> 'has_stop_loss')::boolean, false) AND o.j ->> 'stop_loss_price' IS NOT NULL)
        END AS bare
    FROM open_rows AS o
    CROSS JOIN stop_column
),

known AS (
    SELECT
        *,
        bare AND coalesce(since <= :at::timestamptz - :grace::interval, true) AS naked
    FROM judged
)

SELECT
    exchange,
    count(*) AS active,
    count(*) FILTER (WHERE naked) AS unprotected,
    count(*) FILTER (WHERE since < :at::timestamptz - :aged_after::interval) AS aged,
    count(*) FILTER (
        WHERE since < :at::timestamptz - :aged_after::interval
        AND since >= :at::timestamptz - :aged_after::interval - interval '1 minute'
    ) AS crossed_minute,
    count(*) FILTER (
        WHERE since < :at::timestamptz - :aged_after::interval
        AND since >= :at::timestamptz - :aged_after::interval - interval '10 minutes'
    ) AS crossed,
    coalesce(
        jsonb_agg(
            jsonb_build_object('position_id', id, 'symbol', symbol, 'status', status, 'since', since) ORDER BY id
        ) FILTER (WHERE naked),
        '[]'
    ) AS naked
FROM known
GROUP BY exchange;

-- name: opened
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    count(*) FILTER (WHERE created_at > :at::timestamptz - interval '1 minute') AS minute,
    count(*) AS ten_minutes
FROM monitoring.positions
WHERE created_at > :at::timestamptz - interval '10 minutes' AND created_at <= :at
GROUP BY coalesce(lower(btrim(exchange)), '');

-- name: ended
-- What was closed, and what had become aged in the window before it ended.
WITH
ended AS (
    SELECT
        closed_at,
        status,
        coalesce(lower(btrim(exchange)), '') AS exchange,
        coalesce(opened_at, created_at) + :aged_after::interval AS aged_at
    FROM monitoring.positions
    WHERE
        closed_at > :at::timestamptz - interval '10 minutes'
        AND coalesce(status, '') IN ('closed', 'failed', 'rolled_back', 'canceled')
)

SELECT
    exchange,
    count(*) FILTER (
        WHERE status = 'closed' AND closed_at <= :at AND closed_at > :at::timestamptz - interval '1 minute'
    ) AS minute,
    count(*) FILTER (WHERE status = 'closed' AND closed_at <= :at) AS ten_minutes,
    count(*) FILTER (
        WHERE aged_at < closed_at AND aged_at < :at AND aged_at >= :at::timestamptz - interval '1 minute'
    ) AS crossed_minute,
    count(*) FILTER (
        WHERE aged_at < closed_at AND aged_at < :at AND aged_at >= :at::timestamptz - interval '10 minutes'
    ) AS crossed
FROM ended
GROUP BY exchange;

-- name: happened
-- The events of the last minute and the last ten, by type.
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    event_type,
    upper(coalesce(severity, '')) IN ('ERROR', 'CRITICAL') AS severe,
    event_type = 'order_filled' AND coalesce(event_data ->> 'emergency_close', 'false') <> 'false' AS emergency,
    count(*) FILTER (WHERE created_at > :at::timestamptz - interval '1 minute') AS minute,
    count(*) AS ten_minutes
FROM monitoring.events
WHERE created_at > :at::timestamptz - interval '10 minutes' AND created_at <= :at
GROUP BY 1, 2, 3, 4;

-- name: latencies
-- How long it took from a row's creation to its first fill and its first stop-loss, by the time of that event.
WITH
begun AS (
    SELECT
        id,
        created_at,
        coalesce(lower(btrim(exchange)), '') AS exchange
    FROM monitoring.positions
    WHERE
        created_at > :at::timestamptz - interval '10 minutes' - :window::interval
        AND created_at <= :at
),

firsts AS (
    SELECT
        b.exchange,
        e.event_type,
        min(e.created_at) AS ended,
        (extract(EPOCH FROM min(e.created_at) - b.created_at) * 1000)::float8 AS took
    FROM begun AS b
    INNER JOIN monitoring.events AS e ON b.id = e.position_id AND e.created_at >= b.created_at
    WHERE
        e.created_at > :at::timestamptz - interval '10 minutes' - :window::interval
        AND e.created_at <= :at
        AND e.event_type IN ('order_filled', 'stop_loss_placed')
    GROUP BY b.id, b.exchange, b.created_at, e.event_type
)

SELECT
    event_type,
    CASE WHEN grouping(exchange) = 0 THEN exchange END AS exchange,
    count(*) AS ended,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY took) AS percentiles
FROM firsts
WHERE ended > :at::timestamptz - :window::interval AND took <= 600000
GROUP BY GROUPING SETS ((event_type, exchange), (event_type));

-- name: events_behind
-- The events of ids behind one that is counted already; of those, how many lie up to the id that is settled next.
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    event_type,
    upper(coalesce(severity, '')) IN ('ERROR', 'CRITICAL') AS severe,
    event_type = 'order_filled' AND coalesce(event_data ->> 'emergency_close', 'false') <> 'false' AS emergency,
    count(*) FILTER (WHERE id <= :settles) AS settled,
    count(*) AS counted
FROM monitoring.events
WHERE id > :after AND id <= :up_to
GROUP BY 1, 2, 3, 4;

-- name: positions_behind
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    count(*) FILTER (WHERE id <= :settles) AS settled,
    count(*) AS counted
FROM monitoring.positions
WHERE id > :after AND id <= :up_to
GROUP BY coalesce(lower(btrim(exchange)), '');

-- name: closings_behind
-- What ended after the time that is counted already: closed rows, and rows that ended aged.
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    count(*) FILTER (WHERE status = 'closed' AND closed_at <= :settles) AS closed_settled,
    count(*) FILTER (WHERE status = 'closed') AS closed_counted,
    count(*) FILTER (
        WHERE closed_at > coalesce(opened_at, created_at) + :aged_after::interval AND closed_at <= :settles
    ) AS aged_settled,
    count(*) FILTER (WHERE closed_at > coalesce(opened_at, created_at) + :aged_after::interval) AS aged_counted
FROM monitoring.positions
WHERE
    closed_at > :after
    AND coalesce(status, '') IN ('closed', 'failed', 'rolled_back', 'canceled')
GROUP BY coalesce(lower(btrim(exchange)), '');

-- name: over_time
-- The events between two moments, by type and by whole hours from the first one on.
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    event_type,
    upper(coalesce(severity, '')) IN ('ERROR', 'CRITICAL') AS severe,
    event_type = 'order_filled' AND coalesce(event_data ->> 'emergency_close', 'false') <> 'false' AS emergency,
    floor(extract(EPOCH FROM created_at - :since::timestamptz) / 3600)::int AS hour,
    count(*) AS counted
FROM monitoring.events
WHERE created_at > :since AND created_at <= :until
GROUP BY 1, 2, 3, 4, 5;

-- name: opened_over_time
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    floor(extract(EPOCH FROM created_at - :since::timestamptz) / 3600)::int AS hour,
    count(*) AS counted
FROM monitoring.positions
WHERE created_at > :since AND created_at <= :until
GROUP BY 1, 2;

-- name: closed_over_time
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    floor(extract(EPOCH FROM closed_at - :since::timestamptz) / 3600)::int AS hour,
    count(*) AS counted
FROM monitoring.positions
WHERE closed_at > :since AND closed_at <= :until AND status = 'closed'
GROUP BY 1, 2;

-- name: aged_over_time
-- Rows that became aged between two moments while they were open.
SELECT
    coalesce(lower(btrim(exchange)), '') AS exchange,
    floor(
        extract(EPOCH FROM coalesce(opened_at, created_at) + :aged_after::interval - :since::timestamptz) / 3600
    )::int AS hour,
    count(*) AS counted
FROM monitoring.positions
WHERE
    (
        closed_at > :since
        OR coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    )
    AND coalesce(opened_at, created_at) + :aged_after::interval > :since
    AND coalesce(opened_at, created_at) + :aged_after::interval < :until
    AND (closed_at IS NULL OR closed_at > coalesce(opened_at, created_at) + :aged_after::interval)
GROUP BY 1, 2;

-- name: indexes
-- The sound indexes of the bot's tables that a query can be led by: table, first column, whether it holds a part of the rows.
SELECT
    t.relname AS table_name,
    a.attname AS leads,
    x.indpred IS NOT NULL AS is_partial
FROM pg_catalog.pg_index AS x
INNER JOIN pg_catalog.pg_class AS t ON x.indrelid = t.oid
LEFT JOIN pg_catalog.pg_attribute AS a ON x.indrelid = a.attrelid AND x.indkey[0] = a.attnum AND a.attnum > 0
WHERE
    x.indrelid IN (to_regclass('monitoring.positions'), to_regclass('monitoring.events'))
    AND x.indisvalid
    AND x.indisready;
