-- The analysis of a window in 14 sections (posguard.postgres.analysis): here what the rows tell; analysis_events.sql has what the
-- events tell, analysis_health.sql the database itself. Reads only. Parameters: since and until (the window, since included and
-- until not), aged (from which age an open row counts as aged) and listed (how many rows a list shows at most).
--
-- A column that a deployment may lack is asked for inside a LATERAL query without naming the table, beside a subquery that holds
-- NULL under the same name: PostgreSQL takes the column where there is one and that NULL where there is none.

-- name: overview
-- What was created and what ended in the window, and what was open at its end.
SELECT
    coalesce(sum(opened), 0)::bigint AS opened,
    coalesce(sum(closed), 0)::bigint AS closed,
    coalesce(sum(opened) FILTER (WHERE status = 'rolled_back'), 0)::bigint AS rolled_back,
    coalesce(sum(opened) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
    coalesce(sum(opened) FILTER (WHERE status = 'canceled'), 0)::bigint AS canceled,
    coalesce(sum(still_open), 0)::bigint AS open_at_end,
    count(DISTINCT upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"))
        FILTER (WHERE opened > 0) AS symbols,
    count(DISTINCT lower(btrim(exchange))) FILTER (WHERE opened > 0) AS exchanges,
    min(first_opened) AS first_opened,
    max(last_opened) AS last_opened
FROM (
    SELECT
        exchange,
        symbol,
        status,
        count(*) FILTER (
            WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
        ) AS opened,
        count(*) FILTER (
            WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
        ) AS closed,
        count(*) FILTER (
            WHERE coalesce(created_at < :until::timestamptz, TRUE) AND (
                coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
                OR closed_at >= :until::timestamptz
            )
        ) AS still_open,
        min(created_at) FILTER (
            WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
        ) AS first_opened,
        max(created_at) FILTER (
            WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
        ) AS last_opened
    FROM monitoring.positions
    GROUP BY exchange, symbol, status
) AS spelled;

-- name: by_exchange
-- The same by exchange, with the share of the rows created in the window that were rolled back.
SELECT
    lower(btrim(exchange)) AS exchange,
    sum(opened)::bigint AS opened,
    sum(closed)::bigint AS closed,
    coalesce(sum(opened) FILTER (WHERE status = 'rolled_back'), 0)::bigint AS rolled_back,
    coalesce(sum(opened) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
    coalesce(sum(opened) FILTER (WHERE status = 'canceled'), 0)::bigint AS canceled,
    sum(still_open)::bigint AS open_at_end,
    count(DISTINCT upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"))
        FILTER (WHERE opened > 0) AS symbols,
    (
        coalesce(sum(opened) FILTER (WHERE status = 'rolled_back'), 0) / nullif(sum(opened), 0)
    )::float8 AS rolled_back_share
FROM (
    SELECT
        exchange,
        symbol,
        status,
        count(*) FILTER (
            WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
        ) AS opened,
        count(*) FILTER (
            WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
        ) AS closed,
        count(*) FILTER (
            WHERE coalesce(created_at < :until::timestamptz, TRUE) AND (
                coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
                OR closed_at >= :until::timestamptz
            )
        ) AS still_open
    FROM monitoring.positions
    GROUP BY exchange, symbol, status
) AS spelled
GROUP BY 1
HAVING sum(opened) > 0 OR sum(closed) > 0 OR sum(still_open) > 0
ORDER BY 1;

-- name: by_status
-- Rows created in the window. A row that ended lasted until its time of closing, an open one has lasted until the end of the window.
SELECT
    status,
    coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled') AS is_open,
    coalesce(status, '') IN (
        'pending_entry', 'submitting', 'entry_placed', 'pending_sl', 'active', 'closing', 'unresolved',
        'closed', 'failed', 'rolled_back', 'canceled'
    ) AS known,
    count(*) AS count,
    (count(*) / sum(count(*)) OVER ())::float8 AS share,
    min(created_at) AS first,
    max(created_at) AS last,
    avg(date_part('epoch', coalesce(
        closed_at,
        CASE
            WHEN coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled') THEN :until::timestamptz
        END
    ) - coalesce(p.opened_at, p.created_at))) AS mean_seconds
FROM (SELECT NULL::timestamptz AS opened_at) AS absent
CROSS JOIN LATERAL (
    SELECT
        status,
        created_at,
        closed_at,
        opened_at
    FROM monitoring.positions
    WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
) AS p
GROUP BY status
ORDER BY count(*) DESC, status;

-- name: lifecycle
-- How long positions lasted that closed in the window, by exchange and in all. A row that closed before it opened is a fault.
SELECT
    CASE WHEN grouping(exchange) = 1 THEN 'all' ELSE exchange END AS exchange,
    count(*) AS count,
    min(seconds) AS min,
    avg(seconds) AS mean,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99,
    max(seconds) AS max
FROM (SELECT NULL::timestamptz AS opened_at) AS absent
CROSS JOIN LATERAL (
    SELECT
        lower(btrim(exchange)) AS exchange,
        date_part('epoch', closed_at - coalesce(opened_at, created_at)) AS seconds
    FROM monitoring.positions
    WHERE
        status = 'closed'
        AND closed_at >= :since::timestamptz
        AND closed_at < :until::timestamptz
        AND closed_at >= coalesce(opened_at, created_at)
) AS p
GROUP BY ROLLUP (exchange)
HAVING count(*) > 0
ORDER BY grouping(exchange) DESC, exchange;

-- name: lifecycle_faults
-- Rows of the window whose times or status cannot be right, by fault.
SELECT
    fault,
    count(*) AS count,
    array(
        SELECT unnest(array_agg(id ORDER BY id)) LIMIT 20
    ) AS ids
FROM (SELECT NULL::timestamptz AS opened_at, NULL::timestamptz AS updated_at) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        unnest(array_remove(ARRAY[
            CASE WHEN closed_at < coalesce(opened_at, created_at) THEN 'closed before it was opened' END,
            CASE WHEN status = 'closed' AND closed_at IS NULL THEN 'closed without a time' END,
            CASE
                WHEN
                    closed_at IS NOT NULL
                    AND coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
                    THEN 'open with a time of closing'
            END,
            CASE WHEN updated_at < created_at THEN 'updated before it was created' END,
            CASE WHEN status IS NULL THEN 'no status' END,
            CASE
                WHEN
                    status NOT IN (
                        'pending_entry', 'submitting', 'entry_placed', 'pending_sl', 'active', 'closing', 'unresolved',
                        'closed', 'failed', 'rolled_back', 'canceled'
                    )
                    THEN 'unknown status'
            END,
            CASE
                WHEN
                    status IN ('pending_entry', 'submitting', 'entry_placed', 'pending_sl')
                    AND created_at < :until::timestamptz - interval '1 hour'
                    THEN 'unfinished for more than an hour'
            END
        ], NULL)) AS fault
    FROM monitoring.positions
    WHERE
        (created_at >= :since::timestamptz AND created_at < :until::timestamptz)
        OR (closed_at >= :since::timestamptz AND closed_at < :until::timestamptz)
        OR (
            created_at < :until::timestamptz
            AND coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
        )
) AS p
GROUP BY fault
ORDER BY count(*) DESC, fault;

-- name: unprotected
-- Open rows for which the database records no stop-loss, oldest first: by the order id where the bot keeps one, else by flag and
-- price. A column stop_loss_order_id that posguard added says so in its comment; the old code of the bot does not fill it.
WITH
stop_column AS (
    SELECT NOT bool_or(starts_with(coalesce(col_description(attrelid, attnum), ''), 'posguard')) AS of_the_bot
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass('monitoring.positions') AND attname = 'stop_loss_order_id' AND NOT attisdropped
)

SELECT
    id,
    lower(btrim(exchange)) AS exchange,
    symbol,
    side,
    quantity,
    status,
    coalesce(p.opened_at, p.created_at) AS since,
    date_part('epoch', :until::timestamptz - coalesce(p.opened_at, p.created_at)) AS age_seconds,
    p.has_stop_loss,
    p.stop_loss_price,
    count(*) OVER () AS total
FROM (
    SELECT
        NULL::text AS stop_loss_order_id,
        NULL::boolean AS has_stop_loss,
        NULL::numeric AS stop_loss_price,
        NULL::boolean AS core_managed,
        NULL::timestamptz AS opened_at
) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        exchange,
        symbol,
        side,
        quantity,
        status,
        created_at,
        opened_at,
        has_stop_loss,
        stop_loss_price,
        stop_loss_order_id,
        core_managed
    FROM monitoring.positions
    WHERE
        coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
        AND coalesce(created_at < :until::timestamptz, TRUE)
) AS p
WHERE
    coalesce(p.stop_loss_order_id, '') = ''
    AND (
        coalesce((SELECT of_the_bot FROM stop_column), FALSE)
        OR coalesce(p.core_managed, FALSE)
        OR NOT coalesce(p.has_stop_loss, FALSE)
        OR p.stop_loss_price IS NULL
    )
ORDER BY since, id
LIMIT :listed::int;

-- name: stop_distance
-- How far the stop of a row lies from its entry in percent of the entry, a positive number on the losing side, by exchange and in
-- all. The stop of a trailing row moves to the winning side by right, so that such rows do not count.
SELECT
    CASE WHEN grouping(exchange) = 1 THEN 'all' ELSE exchange END AS exchange,
    count(*) AS rows,
    count(*) FILTER (WHERE distance <= 0) AS winning_side,
    min(distance) AS min,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY distance) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY distance) AS p95,
    max(distance) AS max
FROM (SELECT NULL::boolean AS trailing_activated) AS absent
CROSS JOIN LATERAL (
    SELECT
        lower(btrim(exchange)) AS exchange,
        (
            CASE WHEN lower(side) IN ('long', 'buy') THEN 1 ELSE -1 END
            * (entry_price - stop_loss_price) / entry_price * 100
        )::float8 AS distance
    FROM monitoring.positions
    WHERE
        created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
        AND stop_loss_price IS NOT NULL
        AND entry_price <> 0
        AND lower(side) IN ('long', 'buy', 'short', 'sell')
        AND NOT coalesce(trailing_activated, FALSE)
) AS p
GROUP BY ROLLUP (exchange)
HAVING count(*) > 0
ORDER BY grouping(exchange) DESC, exchange;

-- name: trailing_states
-- Trailing stops that exist now, by exchange and state.
SELECT
    exchange,
    state,
    count(*) AS count,
    count(*) FILTER (WHERE is_activated) AS activated,
    coalesce(sum(t.update_count), 0)::bigint AS updates,
    max(t.last_update_time) AS last_update
FROM (SELECT NULL::integer AS update_count, NULL::timestamptz AS last_update_time) AS absent
CROSS JOIN LATERAL (
    SELECT
        lower(btrim(exchange)) AS exchange,
        state,
        is_activated,
        update_count,
        last_update_time
    FROM monitoring.trailing_stop_state
) AS t
GROUP BY exchange, state
ORDER BY exchange, state;

-- name: trailing_faults
-- Trailing stops that cannot be right.
SELECT
    t.id,
    t.position_id,
    lower(btrim(t.exchange)) AS exchange,
    t.symbol,
    fault,
    count(*) OVER () AS total
FROM (SELECT NULL::text AS stop_order_id, NULL::timestamptz AS activated_at) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        position_id,
        exchange,
        symbol,
        is_activated,
        side,
        current_stop_price,
        highest_price,
        lowest_price,
        stop_order_id,
        activated_at
    FROM monitoring.trailing_stop_state
) AS t
LEFT JOIN monitoring.positions AS p ON t.position_id = p.id
CROSS JOIN LATERAL unnest(array_remove(ARRAY[
    CASE WHEN p.id IS NULL THEN 'its position does not exist' END,
    CASE WHEN p.status IN ('closed', 'failed', 'rolled_back', 'canceled') THEN 'its position has ended' END,
    CASE WHEN t.is_activated AND t.stop_order_id IS NULL THEN 'activated without a stop order' END,
    CASE WHEN t.is_activated AND t.activated_at IS NULL THEN 'activated without a time' END,
    CASE
        WHEN lower(t.side) IN ('long', 'buy') AND t.current_stop_price >= t.highest_price THEN 'stop above the highest price'
    END,
    CASE
        WHEN lower(t.side) IN ('short', 'sell') AND t.current_stop_price <= t.lowest_price
            THEN 'stop below the lowest price'
    END
], NULL)) AS fault
ORDER BY t.id, fault
LIMIT :listed::int;

-- name: races
-- Rows of one key that lived at the same time, or were created within ten seconds of one another: each row of the window beside
-- the earlier row of its key that lived longest or, where that had ended, the one just before it. A row that ended without a
-- time of closing lived until its last change. The longs and shorts of a hedged account are two keys.
WITH
lives AS MATERIALIZED (
    SELECT
        id,
        created_at,
        ARRAY[coalesce(exchange, ''), coalesce(symbol, ''), coalesce(p.account, ''), coalesce(p.position_side, '')] AS spelled,
        CASE
            WHEN coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled') THEN 'infinity'
            ELSE coalesce(closed_at, p.updated_at, created_at)
        END AS lives_until
    FROM (
        SELECT
            NULL::text AS account,
            NULL::text AS position_side,
            NULL::timestamptz AS updated_at
    ) AS absent
    CROSS JOIN LATERAL (
        SELECT
            id,
            status,
            created_at,
            closed_at,
            updated_at,
            exchange,
            symbol,
            account,
            position_side
        FROM monitoring.positions
        WHERE
            created_at < :until::timestamptz
            AND (
                created_at >= :since::timestamptz - interval '10 seconds'
                OR coalesce(closed_at, updated_at) >= :since::timestamptz
                OR coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
            )
    ) AS p
),

-- each spelling of a key is brought into its one form once, and not for every row
keys AS (
    SELECT
        spelled,
        dense_rank() OVER (
            ORDER BY
                lower(btrim(spelled[1])),
                spelled[3],
                upper(translate(split_part(spelled[2], ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"),
                coalesce(nullif(lower(spelled[4]), ''), 'both')
        )::int AS key
    FROM (SELECT DISTINCT spelled FROM lives) AS each
),

keyed AS MATERIALIZED (
    SELECT
        l.id,
        l.created_at,
        l.lives_until,
        k.key
    FROM lives AS l
    INNER JOIN keys AS k ON l.spelled = k.spelled
),

found AS (
    SELECT
        *,
        longest > created_at AS overlaps,
        count(*) OVER () AS total
    FROM (
        SELECT
            *,
            lag(id) OVER by_key AS before_id,
            lag(created_at) OVER by_key AS before_at,
            max(lives_until) OVER (
                PARTITION BY key ORDER BY created_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS longest
        FROM keyed
        WINDOW by_key AS (PARTITION BY key ORDER BY created_at, id)
    ) AS paired
    WHERE
        created_at >= :since::timestamptz
        AND (longest > created_at OR created_at - before_at < interval '10 seconds')
    ORDER BY created_at, id
    LIMIT :listed::int
),

-- which row it was that lived longest: of several the one with the largest id
longest AS (
    SELECT
        s.id,
        max(k.id) AS before_id
    FROM found AS s
    INNER JOIN keyed AS k
        ON s.key = k.key AND s.longest = k.lives_until AND (k.created_at, k.id) < (s.created_at, s.id)
    WHERE s.overlaps
    GROUP BY s.id
)

SELECT
    lower(btrim(b.exchange)) AS exchange,
    upper(translate(split_part(b.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") AS symbol,
    f.id AS first_id,
    s.id AS second_id,
    f.created_at AS first_at,
    s.created_at AS second_at,
    date_part('epoch', s.created_at - f.created_at) AS gap_seconds,
    CASE
        WHEN s.overlaps
            THEN greatest(
                date_part('epoch', least(s.longest, s.lives_until, :until::timestamptz) - s.created_at), 0
            )
        ELSE 0
    END::float8 AS overlap_seconds,
    f.status AS first_status,
    b.status AS second_status,
    s.total
FROM found AS s
LEFT JOIN longest AS l ON s.id = l.id
INNER JOIN monitoring.positions AS b ON s.id = b.id
INNER JOIN monitoring.positions AS f ON f.id = coalesce(l.before_id, s.before_id)
ORDER BY s.created_at, s.id;

-- name: pnl
-- Profit and loss of what closed in the window, by exchange and in all; rows that record none are counted apart. The drawdown is
-- the deepest fall of the running sum below its own highest point, which begins at 0. By exchange and in all each have an order
-- of their own, in which they are summed and grouped without being sorted again.
WITH
closed AS MATERIALIZED (
    SELECT
        id,
        closed_at,
        lower(btrim(exchange)) AS exchange,
        coalesce(p.realized_pnl, p.pnl) AS profit,
        p.fees
    FROM (SELECT NULL::numeric AS realized_pnl, NULL::numeric AS pnl, NULL::numeric AS fees) AS absent
    CROSS JOIN LATERAL (
        SELECT
            id,
            closed_at,
            exchange,
            realized_pnl,
            pnl,
            fees
        FROM monitoring.positions
        WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
    ) AS p
)

SELECT
    'all' AS exchange,
    count(*) AS closed,
    count(*) FILTER (WHERE profit IS NULL) AS without_pnl,
    count(*) FILTER (WHERE profit > 0) AS wins,
    count(*) FILTER (WHERE profit < 0) AS losses,
    sum(profit) AS total,
    sum(fees) AS fees,
    avg(profit) AS mean,
    min(profit) AS worst,
    (percentile_disc(0.5) WITHIN GROUP (ORDER BY profit)) AS p50,
    max(profit) AS best,
    max(greatest(peak, 0) - running) AS drawdown,
    0 AS place
FROM (
    SELECT
        profit,
        fees,
        running,
        max(running) OVER (ORDER BY closed_at, id ROWS UNBOUNDED PRECEDING) AS peak
    FROM (
        SELECT
            *,
            sum(coalesce(profit, 0)) OVER (ORDER BY closed_at, id ROWS UNBOUNDED PRECEDING) AS running
        FROM closed
    ) AS summed
) AS ranked
HAVING count(*) > 0
UNION ALL
SELECT
    exchange,
    count(*) AS closed,
    count(*) FILTER (WHERE profit IS NULL) AS without_pnl,
    count(*) FILTER (WHERE profit > 0) AS wins,
    count(*) FILTER (WHERE profit < 0) AS losses,
    sum(profit) AS total,
    sum(fees) AS fees,
    avg(profit) AS mean,
    min(profit) AS worst,
    (percentile_disc(0.5) WITHIN GROUP (ORDER BY profit)) AS p50,
    max(profit) AS best,
    max(greatest(peak, 0) - running) AS drawdown,
    1 AS place
FROM (
    SELECT
        exchange,
        profit,
        fees,
        running,
        max(running) OVER (PARTITION BY exchange ORDER BY closed_at, id ROWS UNBOUNDED PRECEDING) AS peak
    FROM (
        SELECT
            *,
            sum(coalesce(profit, 0)) OVER (
                PARTITION BY exchange ORDER BY closed_at, id ROWS UNBOUNDED PRECEDING
            ) AS running
        FROM closed
    ) AS summed
) AS ranked
GROUP BY exchange
ORDER BY place, exchange;

-- name: pnl_by_reason
-- The same by the reason of the exit.
SELECT
    p.exit_reason AS reason,
    count(*) AS closed,
    count(*) FILTER (WHERE coalesce(p.realized_pnl, p.pnl) > 0) AS wins,
    sum(coalesce(p.realized_pnl, p.pnl)) AS total,
    avg(coalesce(p.realized_pnl, p.pnl)) AS mean
FROM (SELECT NULL::numeric AS realized_pnl, NULL::numeric AS pnl, NULL::text AS exit_reason) AS absent
CROSS JOIN LATERAL (
    SELECT
        exit_reason,
        realized_pnl,
        pnl
    FROM monitoring.positions
    WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
) AS p
GROUP BY p.exit_reason
ORDER BY count(*) DESC, p.exit_reason
LIMIT :listed::int;

-- name: pnl_by_symbol
-- The same by symbol, the largest losses first.
SELECT
    lower(btrim(exchange)) AS exchange,
    upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") AS symbol,
    sum(closed)::bigint AS closed,
    sum(wins)::bigint AS wins,
    sum(total) AS total
FROM (
    SELECT
        exchange,
        symbol,
        count(*) AS closed,
        count(*) FILTER (WHERE coalesce(p.realized_pnl, p.pnl) > 0) AS wins,
        sum(coalesce(p.realized_pnl, p.pnl)) AS total
    FROM (SELECT NULL::numeric AS realized_pnl, NULL::numeric AS pnl) AS absent
    CROSS JOIN LATERAL (
        SELECT
            exchange,
            symbol,
            realized_pnl,
            pnl
        FROM monitoring.positions
        WHERE status = 'closed' AND closed_at >= :since::timestamptz AND closed_at < :until::timestamptz
    ) AS p
    GROUP BY exchange, symbol
) AS spelled
GROUP BY 1, 2
ORDER BY sum(total) NULLS LAST, 1, 2
LIMIT :listed::int;

-- name: aged
-- Open rows that are older at the end of the window than positions should get, oldest first.
SELECT
    id,
    lower(btrim(exchange)) AS exchange,
    symbol,
    side,
    quantity,
    status,
    coalesce(p.opened_at, p.created_at) AS since,
    date_part('epoch', :until::timestamptz - coalesce(p.opened_at, p.created_at)) AS age_seconds,
    p.unrealized_pnl,
    count(*) OVER () AS total
FROM (SELECT NULL::timestamptz AS opened_at, NULL::numeric AS unrealized_pnl) AS absent
CROSS JOIN LATERAL (
    SELECT
        id,
        exchange,
        symbol,
        side,
        quantity,
        status,
        created_at,
        opened_at,
        unrealized_pnl
    FROM monitoring.positions
    WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
) AS p
WHERE coalesce(p.opened_at, p.created_at) < :until::timestamptz - :aged::interval
ORDER BY since, id
LIMIT :listed::int;

-- name: zombies
-- Orders that the database holds for live while their position has ended or does not exist. The statuses are compared as they are
-- spelled first: of these the planner knows how few are left.
SELECT
    o.id,
    o.order_id,
    lower(btrim(o.exchange)) AS exchange,
    o.symbol,
    o.type,
    o.side,
    o.size,
    o.status,
    o.position_id,
    p.status AS position_status,
    o.created_at,
    count(*) OVER () AS total
FROM monitoring.orders AS o
LEFT JOIN monitoring.positions AS p
    ON p.id = CASE WHEN o.position_id::text ~ '^[0-9]{1,9}$' THEN o.position_id::integer END
WHERE
    (o.status IS NULL OR o.status NOT IN ('filled', 'closed', 'canceled', 'cancelled', 'rejected', 'expired', 'failed'))
    AND coalesce(lower(o.status), '') NOT IN ('filled', 'closed', 'canceled', 'cancelled', 'rejected', 'expired', 'failed')
    AND coalesce(o.created_at < :until::timestamptz, TRUE)
    AND (p.id IS NULL OR p.status IN ('closed', 'failed', 'rolled_back', 'canceled'))
ORDER BY o.created_at, o.id
LIMIT :listed::int;

-- name: orders
-- Orders created in the window, by exchange, type and status. The seconds are those from creation to the last change.
SELECT
    lower(btrim(exchange)) AS exchange,
    type,
    status,
    count(*) AS count,
    sum(size) AS size,
    sum(o.filled) AS filled,
    avg(date_part('epoch', o.updated_at - created_at))::float8 AS mean_seconds
FROM (SELECT NULL::timestamptz AS updated_at, NULL::numeric AS filled) AS absent
CROSS JOIN LATERAL (
    SELECT
        exchange,
        type,
        status,
        size,
        filled,
        created_at,
        updated_at
    FROM monitoring.orders
    WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz
) AS o
GROUP BY 1, type, status
ORDER BY 1, type, status;

-- name: order_fees
-- Fees of the orders of the window, by currency.
SELECT
    lower(btrim(exchange)) AS exchange,
    fee_currency AS currency,
    count(*) AS orders,
    sum(fee) AS fees
FROM monitoring.orders
WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz AND fee IS NOT NULL
GROUP BY 1, fee_currency
ORDER BY 1, fee_currency;

-- name: order_faults
-- Orders of the window that cannot be right, by fault. Order ids that are there twice are looked for by their hash first.
WITH
twice AS (
    SELECT hashtextextended(order_id, 0) AS hash
    FROM monitoring.orders
    WHERE created_at >= :since::timestamptz AND created_at < :until::timestamptz AND order_id <> ''
    GROUP BY 1
    HAVING count(*) > 1
),

faults AS (
    SELECT
        id,
        unnest(array_remove(ARRAY[
            CASE WHEN filled > size THEN 'filled more than ordered' END,
            CASE
                WHEN lower(status) = 'filled' AND coalesce(filled, 0) < size THEN 'called filled with less than its size'
            END,
            CASE WHEN size <= 0 THEN 'no size' END,
            CASE WHEN coalesce(position_id::text, '') = '' THEN 'no position' END,
            CASE WHEN coalesce(order_id, '') = '' THEN 'no order id' END
        ], NULL)) AS fault
    FROM monitoring.orders
    WHERE
        created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
        -- those with none of the faults, nearly all, are left out before these are named
        AND (
            filled > size
            OR (coalesce(filled, 0) < size AND lower(status) = 'filled')
            OR size <= 0
            OR coalesce(position_id::text, '') = ''
            OR coalesce(order_id, '') = ''
        )
    UNION ALL
    SELECT
        unnest(array_agg(id)),
        'its order id is there twice'
    FROM monitoring.orders
    WHERE
        created_at >= :since::timestamptz
        AND created_at < :until::timestamptz
        AND order_id <> ''
        AND hashtextextended(order_id, 0) IN (SELECT hash FROM twice)
    GROUP BY exchange, symbol, order_id
    HAVING count(*) > 1
)

SELECT
    fault,
    count(*) AS count,
    array(
        SELECT unnest(array_agg(id ORDER BY id)) LIMIT 20
    ) AS ids
FROM faults
GROUP BY fault
ORDER BY count(*) DESC, fault;
