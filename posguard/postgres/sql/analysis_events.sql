-- What the events of a window tell; see analysis.sql for the parameters.

-- name: hours
-- Each hour of the window: its events, its errors, its longest silence, which counts where it ends (also before the first event
-- and after the last one), and the rows created and closed in it.
WITH
minutes AS (
    SELECT
        date_bin('1 minute', created_at, :since::timestamptz) AS minute,
        count(*) AS events,
        count(*) FILTER (
            WHERE (severity <> 'INFO' AND upper(severity COLLATE "C") IN ('ERROR', 'CRITICAL'))
            OR event_type LIKE '%\_error'
            OR event_type LIKE '%\_failed'
        ) AS errors,
        min(created_at) AS first_at,
        max(created_at) AS last_at
    FROM (
        -- Of a time that is cut to minutes the planner expects as many groups as there are times, and then none of several
        -- workers counts; of a union it expects few.
        SELECT
            created_at,
            severity,
            event_type
        FROM monitoring.events
        WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
        UNION ALL
        SELECT
            NULL,
            NULL,
            NULL
        WHERE FALSE
    ) AS happened
    GROUP BY 1
),

told AS (
    SELECT * FROM minutes
    UNION ALL
    SELECT
        date_bin('1 minute', :until::timestamptz - interval '1 microsecond', :since::timestamptz),
        0,
        0,
        :until::timestamptz,
        :until::timestamptz
    WHERE :since::timestamptz < :until::timestamptz
),

quiet AS (
    SELECT
        minute,
        events,
        errors,
        first_at - coalesce(lag(last_at) OVER (ORDER BY minute, first_at), :since::timestamptz) AS silence
    FROM told
),

by_hour AS (
    SELECT
        date_bin('1 hour', minute, :since::timestamptz) AS hour,
        sum(events)::bigint AS events,
        sum(errors)::bigint AS errors,
        max(silence) AS silence
    FROM quiet
    GROUP BY 1
),

created AS (
    SELECT
        date_bin('1 hour', created_at, :since::timestamptz) AS hour,
        count(*) AS opened
    FROM monitoring.positions
    WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
    GROUP BY 1
),

ended AS (
    SELECT
        date_bin('1 hour', closed_at, :since::timestamptz) AS hour,
        count(*) AS closed
    FROM monitoring.positions
    WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
    GROUP BY 1
)

SELECT
    hour,
    coalesce(opened, 0) AS opened,
    coalesce(closed, 0) AS closed,
    coalesce(events, 0) AS events,
    coalesce(errors, 0) AS errors,
    date_part('epoch', silence) AS longest_silence_seconds
FROM generate_series(
    :since::timestamptz, :until::timestamptz - interval '1 microsecond', interval '1 hour'
) AS h (hour)
LEFT JOIN by_hour USING (hour)
LEFT JOIN created USING (hour)
LEFT JOIN ended USING (hour)
ORDER BY hour;

-- name: never_protected
-- Rows of the window that were traded and ended though no stop-loss was ever recorded for them, neither in the row nor by an event.
SELECT
    p.id,
    lower(btrim(p.exchange)) AS exchange,
    p.symbol,
    p.status,
    p.created_at,
    p.closed_at,
    date_part('epoch', p.closed_at - p.created_at) AS seconds,
    count(*) OVER () AS total
FROM (
    SELECT
        NULL::text AS stop_loss_order_id,
        NULL::boolean AS has_stop_loss,
        NULL::numeric AS stop_loss_price,
        NULL::text AS exchange_order_id
) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        exchange,
        symbol,
        status,
        created_at,
        closed_at
    FROM monitoring.positions
    WHERE
        created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
        AND status IN ('closed', 'rolled_back')
        AND (status = 'closed' OR exchange_order_id IS NOT NULL)
        AND coalesce(stop_loss_order_id, '') = ''
        AND NOT coalesce(has_stop_loss, FALSE)
        AND stop_loss_price IS NULL
) AS p
WHERE
    NOT EXISTS (
        SELECT FROM monitoring.events AS e
        WHERE
            e.position_id = p.id
            AND e.event_type = 'stop_loss_placed'
            AND e.created_at >= :since::timestamptz
    )
ORDER BY p.created_at, p.id
LIMIT :listed::int;

-- name: stop_loss
-- What happened to stop-losses in the window, by exchange.
SELECT
    lower(btrim(exchange)) AS exchange,
    coalesce(sum(count) FILTER (WHERE event_type = 'stop_loss_placed'), 0)::bigint AS placed,
    coalesce(sum(count) FILTER (WHERE event_type = 'stop_loss_updated'), 0)::bigint AS updated,
    coalesce(sum(count) FILTER (WHERE event_type = 'stop_loss_triggered'), 0)::bigint AS triggered,
    coalesce(sum(count) FILTER (WHERE event_type = 'stop_loss_error'), 0)::bigint AS errors,
    coalesce(sum(count) FILTER (WHERE event_type = 'emergency_stop_placed'), 0)::bigint AS emergency_stops,
    coalesce(sum(count) FILTER (WHERE event_type = 'positions_without_sl_detected'), 0)::bigint AS found_without
FROM (
    SELECT
        exchange,
        event_type,
        count(*) AS count
    FROM monitoring.events
    WHERE
        event_type IN (
            'stop_loss_placed', 'stop_loss_updated', 'stop_loss_triggered', 'stop_loss_error', 'emergency_stop_placed',
            'positions_without_sl_detected'
        )
        AND created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
    GROUP BY exchange, event_type
) AS counted
GROUP BY 1
ORDER BY 1;

-- name: trailing_events
-- What happened to trailing stops in the window, by exchange.
SELECT
    lower(btrim(exchange)) AS exchange,
    coalesce(sum(count) FILTER (WHERE event_type = 'trailing_stop_created'), 0)::bigint AS created,
    coalesce(sum(count) FILTER (WHERE event_type = 'trailing_stop_activated'), 0)::bigint AS activated,
    coalesce(sum(count) FILTER (WHERE event_type = 'trailing_stop_updated'), 0)::bigint AS updated,
    coalesce(sum(count) FILTER (WHERE event_type = 'trailing_stop_sl_updated'), 0)::bigint AS stop_moved,
    coalesce(sum(count) FILTER (WHERE event_type = 'trailing_stop_removed'), 0)::bigint AS removed
FROM (
    SELECT
        exchange,
        event_type,
        count(*) AS count
    FROM monitoring.events
    WHERE
        event_type IN (
            'trailing_stop_created', 'trailing_stop_activated', 'trailing_stop_updated', 'trailing_stop_sl_updated',
            'trailing_stop_removed'
        )
        AND created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
    GROUP BY exchange, event_type
) AS counted
GROUP BY 1
ORDER BY 1;

-- name: trailing_rushes
-- Positions whose trailing stop moved the stop-loss again within a minute, most often first.
SELECT
    position_id,
    max(symbol) AS symbol,
    max(lower(btrim(exchange))) AS exchange,
    count(*) AS moves,
    count(*) FILTER (WHERE gap < interval '1 minute') AS within_a_minute,
    min(date_part('epoch', gap))::float8 AS shortest_seconds,
    count(*) OVER () AS total
FROM (
    SELECT
        position_id,
        symbol,
        exchange,
        created_at - lag(created_at) OVER (PARTITION BY position_id ORDER BY created_at) AS gap
    FROM monitoring.events
    WHERE
        event_type = 'trailing_stop_sl_updated'
        AND position_id IS NOT NULL
        AND created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
) AS moved
GROUP BY position_id
HAVING count(*) FILTER (WHERE gap < interval '1 minute') > 0
ORDER BY within_a_minute DESC, position_id
LIMIT :listed::int;

-- name: duplicate_key_errors
-- Duplicate-key errors. One error leaves several records within seconds: what follows another of its symbol by less than 10 s is
-- the same one.
SELECT
    min(created_at) AS at,
    lower(btrim(exchange)) AS exchange,
    symbol,
    min(position_id) AS position_id,
    count(*) AS records,
    count(*) OVER () AS total
FROM (
    SELECT
        created_at,
        exchange,
        symbol,
        position_id,
        count(*) FILTER (WHERE gap IS NULL OR gap >= interval '10 seconds')
            OVER (PARTITION BY exchange, symbol ORDER BY created_at, id) AS number
    FROM (
        SELECT
            id,
            created_at,
            exchange,
            symbol,
            position_id,
            created_at - lag(created_at) OVER (PARTITION BY exchange, symbol ORDER BY created_at, id) AS gap
        FROM monitoring.events
        WHERE
            created_at >= :since::timestamptz
            AND created_at < :until::timestamptz
            AND (
                error_message ILIKE '%duplicate key%'
                OR (
                    ((severity <> 'INFO' AND upper(severity COLLATE "C") IN ('ERROR', 'CRITICAL')) OR event_type LIKE '%\_error')
                    AND event_data::text ILIKE '%duplicate key%'
                )
            )
    ) AS spaced
) AS numbered
GROUP BY exchange, symbol, number
ORDER BY at, exchange, symbol
LIMIT :listed::int;

-- name: simultaneous
-- Changes of one position less than a second apart that two operations made, as their correlation ids tell.
SELECT
    position_id,
    lower(btrim(exchange)) AS exchange,
    symbol,
    before_at AS first_at,
    created_at AS second_at,
    date_part('epoch', created_at - before_at) AS gap_seconds,
    before_operation AS first_operation,
    correlation_id AS second_operation,
    count(*) OVER () AS total
FROM (
    SELECT
        position_id,
        exchange,
        symbol,
        created_at,
        correlation_id,
        lag(created_at) OVER by_position AS before_at,
        lag(correlation_id) OVER by_position AS before_operation
    FROM monitoring.events
    WHERE
        event_type IN ('position_updated', 'position_closed')
        AND position_id IS NOT NULL
        AND created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
    WINDOW by_position AS (PARTITION BY position_id ORDER BY created_at, id)
) AS paired
WHERE created_at - before_at < interval '1 second' AND before_operation <> correlation_id
ORDER BY created_at, position_id
LIMIT :listed::int;

-- name: errors
-- Errors of the window by kind of event, severity and exchange.
SELECT
    event_type,
    severity,
    lower(btrim(exchange)) AS exchange,
    count(*) AS count,
    count(DISTINCT position_id) AS positions,
    min(created_at) AS first,
    max(created_at) AS last
FROM monitoring.events
WHERE
    created_at >= :since::timestamptz
    AND created_at < :until::timestamptz
    AND (
        (severity <> 'INFO' AND upper(severity COLLATE "C") IN ('ERROR', 'CRITICAL'))
        OR event_type LIKE '%\_error'
        OR event_type LIKE '%\_failed'
    )
GROUP BY event_type, severity, 3
ORDER BY count(*) DESC, event_type, severity, 3;

-- name: error_messages
-- The wordings of these errors, their numbers left out, most frequent first: half of the list the most frequent, half the rarest.
SELECT
    message,
    code,
    count,
    first,
    last,
    event_id,
    total
FROM (
    SELECT
        *,
        count(*) OVER () AS total,
        row_number() OVER (ORDER BY count DESC, message) AS from_the_top,
        row_number() OVER (ORDER BY count, message DESC) AS from_the_end
    FROM (
        SELECT
            left(regexp_replace(split_part(error_message, E'\n', 1), '[0-9]+', '#', 'g'), 200) AS message,
            substring(error_message FROM '(?:retCode=|[Ee]rror )(-?[0-9]+)') AS code,
            count(*) AS count,
            min(created_at) AS first,
            max(created_at) AS last,
            min(id) AS event_id
        FROM monitoring.events
        WHERE
            created_at >= :since::timestamptz
            AND created_at < :until::timestamptz
            AND error_message <> ''
        GROUP BY 1, 2
    ) AS worded
) AS ranked
WHERE from_the_top <= (:listed::int + 1) / 2 OR from_the_end <= :listed::int / 2
ORDER BY count DESC, message, code;

-- name: latency
-- How long operations took: from the creation of a row to its steps, and of a synchronisation from start to end, by exchange and in
-- all. The five slowest over a second are named by their positions. Each position is one row with its four steps beside one
-- another, so that the rows are grouped once and each step's values alone are sorted.
WITH
firsts AS (
    SELECT
        position_id,
        min(created_at) FILTER (WHERE event_type = 'order_placed') AS placed_at,
        min(created_at) FILTER (WHERE event_type = 'order_filled') AS filled_at,
        min(created_at) FILTER (WHERE event_type = 'stop_loss_placed') AS stopped_at,
        min(created_at) FILTER (WHERE event_type = 'signal_executed') AS executed_at
    FROM monitoring.events
    WHERE
        event_type IN ('order_placed', 'order_filled', 'stop_loss_placed', 'signal_executed')
        AND position_id IS NOT NULL
        AND created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
    GROUP BY position_id
),

timed AS MATERIALIZED (
    SELECT
        p.id,
        p.exchange,
        CASE WHEN f.placed_at >= p.created_at THEN date_part('epoch', f.placed_at - p.created_at) END AS placed,
        CASE WHEN f.filled_at >= p.created_at THEN date_part('epoch', f.filled_at - p.created_at) END AS filled,
        CASE WHEN f.stopped_at >= p.created_at THEN date_part('epoch', f.stopped_at - p.created_at) END AS stopped,
        CASE WHEN f.executed_at >= p.created_at THEN date_part('epoch', f.executed_at - p.created_at) END AS executed
    FROM firsts AS f
    INNER JOIN monitoring.positions AS p ON f.position_id = p.id
    WHERE p.created_at >= :since::timestamptz AND p.created_at < :until::timestamptz
),

steps AS (
    SELECT
        grouping(exchange) AS in_all,
        exchange,
        count(placed) AS placed,
        min(placed) AS placed_min,
        avg(placed) AS placed_mean,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY placed) AS placed_percentiles,
        max(placed) AS placed_max,
        count(*) FILTER (WHERE placed > 1) AS placed_slow,
        count(filled) AS filled,
        min(filled) AS filled_min,
        avg(filled) AS filled_mean,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY filled) AS filled_percentiles,
        max(filled) AS filled_max,
        count(*) FILTER (WHERE filled > 1) AS filled_slow,
        count(stopped) AS stopped,
        min(stopped) AS stopped_min,
        avg(stopped) AS stopped_mean,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY stopped) AS stopped_percentiles,
        max(stopped) AS stopped_max,
        count(*) FILTER (WHERE stopped > 1) AS stopped_slow,
        count(executed) AS executed,
        min(executed) AS executed_min,
        avg(executed) AS executed_mean,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY executed) AS executed_percentiles,
        max(executed) AS executed_max,
        count(*) FILTER (WHERE executed > 1) AS executed_slow
    FROM (
        SELECT
            placed,
            filled,
            stopped,
            executed,
            lower(btrim(exchange)) AS exchange
        FROM timed
    ) AS named
    GROUP BY ROLLUP (exchange)
),

synchronised AS (
    SELECT
        grouping(exchange) AS in_all,
        exchange,
        count(*) AS count,
        min(seconds) AS min,
        avg(seconds) AS mean,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY seconds) AS percentiles,
        max(seconds) AS max,
        count(*) FILTER (WHERE seconds > 1) AS over_a_second
    FROM (
        SELECT
            lower(btrim(exchange)) AS exchange,
            date_part('epoch', next_at - created_at) AS seconds
        FROM (
            SELECT
                exchange,
                created_at,
                event_type,
                lead(created_at) OVER by_exchange AS next_at,
                lead(event_type) OVER by_exchange AS next_type
            FROM monitoring.events
            WHERE
                event_type IN (
                    'sync_started', 'sync_completed', 'synchronization_started', 'synchronization_completed'
                )
                AND created_at >= :since::timestamptz
                AND created_at < :until::timestamptz
            WINDOW by_exchange AS (PARTITION BY exchange ORDER BY created_at, id)
        ) AS spaced
        WHERE event_type LIKE '%\_started' AND next_type LIKE '%\_completed'
    ) AS synchronisations
    GROUP BY ROLLUP (exchange)
),

lines AS (
    SELECT
        l.operation,
        s.in_all,
        s.exchange,
        l.count,
        l.min,
        l.mean,
        l.percentiles,
        l.max,
        l.over_a_second
    FROM steps AS s
    CROSS JOIN LATERAL (
        VALUES
        ('entry placed', placed, placed_min, placed_mean, placed_percentiles, placed_max, placed_slow),
        ('entry filled', filled, filled_min, filled_mean, filled_percentiles, filled_max, filled_slow),
        ('stop-loss placed', stopped, stopped_min, stopped_mean, stopped_percentiles, stopped_max, stopped_slow),
        ('signal executed', executed, executed_min, executed_mean, executed_percentiles, executed_max, executed_slow)
    ) AS l (operation, count, min, mean, percentiles, max, over_a_second)
    UNION ALL
    SELECT
        'synchronisation',
        in_all,
        exchange,
        count,
        min,
        mean,
        percentiles,
        max,
        over_a_second
    FROM synchronised
),

slowest AS (
    SELECT
        'entry placed' AS operation,
        array(SELECT id FROM timed WHERE placed > 1 ORDER BY placed DESC, id LIMIT 5) AS ids
    UNION ALL
    SELECT
        'entry filled',
        array(SELECT id FROM timed WHERE filled > 1 ORDER BY filled DESC, id LIMIT 5)
    UNION ALL
    SELECT
        'stop-loss placed',
        array(SELECT id FROM timed WHERE stopped > 1 ORDER BY stopped DESC, id LIMIT 5)
    UNION ALL
    SELECT
        'signal executed',
        array(SELECT id FROM timed WHERE executed > 1 ORDER BY executed DESC, id LIMIT 5)
)

SELECT
    l.operation,
    CASE WHEN l.in_all = 1 THEN 'all' ELSE l.exchange END AS exchange,
    l.count,
    l.min,
    l.mean,
    l.percentiles[1] AS p50,
    l.percentiles[2] AS p95,
    l.percentiles[3] AS p99,
    l.max,
    l.over_a_second,
    CASE WHEN l.in_all = 1 THEN coalesce(s.ids, '{}') ELSE '{}' END AS slowest
FROM lines AS l
LEFT JOIN slowest AS s ON l.operation = s.operation
WHERE l.count > 0
ORDER BY 1, l.in_all DESC, l.exchange;
