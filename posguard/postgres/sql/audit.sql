-- What an audit asks of a window of time beside the sections of the analysis: what happened hour by hour, and the rows that are evidence.
-- Every query says in posguard/postgres/audit.py which columns it needs, and is left out where they are absent.

-- name: positions_by_hour
-- One line an hour, the first and the last cut to the window. What was open at the hour's end is told by the rows' own times.
WITH hours AS (
    SELECT
        greatest(h, :start::timestamptz) AS since,
        least(h + interval '1 hour', :until::timestamptz) AS until
    FROM generate_series(
        date_trunc('hour', :start::timestamptz, 'UTC'), :until::timestamptz - interval '1 microsecond', interval '1 hour'
    ) AS h
),

begun AS (
    SELECT
        date_trunc('hour', created_at, 'UTC') AS hour,
        count(*) AS opened
    FROM monitoring.positions
    WHERE created_at >= :start AND created_at < :until
    GROUP BY 1
),

ended AS (
    SELECT
        date_trunc('hour', closed_at, 'UTC') AS hour,
        count(*) FILTER (WHERE status = 'closed') AS closed,
        count(*) FILTER (WHERE status = 'rolled_back') AS rolled_back,
        count(*) FILTER (WHERE status IN ('failed', 'canceled')) AS broken_off
    FROM monitoring.positions
    WHERE closed_at >= :start AND closed_at < :until
    GROUP BY 1
),

standing AS (
    SELECT
        created_at,
        CASE
            WHEN status IN ('closed', 'failed', 'rolled_back', 'canceled') THEN coalesce(closed_at, updated_at, created_at)
        END AS gone_at
    FROM monitoring.positions
    WHERE
        created_at < :until
        AND (
            coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
            OR closed_at >= :start
            OR (closed_at IS NULL AND updated_at >= :start)
        )
),

-- what came into the window is there from its first hour on; each hour adds what was created in it and takes away what ended
changes AS (
    SELECT
        hour,
        sum(number) AS number
    FROM (
        SELECT
            greatest(date_trunc('hour', created_at, 'UTC'), date_trunc('hour', :start::timestamptz, 'UTC')) AS hour,
            1 AS number
        FROM standing
        UNION ALL
        SELECT
            greatest(
                date_trunc('hour', gone_at, 'UTC'),
                date_trunc('hour', created_at, 'UTC'),
                date_trunc('hour', :start::timestamptz, 'UTC')
            ),
            -1
        FROM standing
        WHERE gone_at < :until
    ) AS each
    GROUP BY hour
)

SELECT
    h.since,
    h.until,
    coalesce(b.opened, 0) AS opened,
    coalesce(e.closed, 0) AS closed,
    coalesce(e.rolled_back, 0) AS rolled_back,
    coalesce(e.broken_off, 0) AS broken_off,
    coalesce(sum(c.number) OVER (ORDER BY h.since), 0)::bigint AS open_at_end
FROM hours AS h
LEFT JOIN begun AS b ON date_trunc('hour', h.since, 'UTC') = b.hour
LEFT JOIN ended AS e ON date_trunc('hour', h.since, 'UTC') = e.hour
LEFT JOIN changes AS c ON date_trunc('hour', h.since, 'UTC') = c.hour
ORDER BY h.since;

-- name: broken_off
-- Openings that broke off in the window, by the reason that their rows give, with the first ones' ids.
SELECT
    status,
    exit_reason AS reason,
    count(*) AS count,
    (array_agg(id ORDER BY closed_at, id))[1 : 10] AS ids
FROM monitoring.positions
WHERE closed_at >= :start AND closed_at < :until AND status IN ('rolled_back', 'failed', 'canceled')
GROUP BY status, exit_reason
ORDER BY count(*) DESC, status, exit_reason
LIMIT 100;

-- name: pnl_by_hour
-- What the positions closed in each hour brought, as their rows say.
SELECT
    date_trunc('hour', closed_at, 'UTC') AS hour,
    sum(realized_pnl) AS realized
FROM monitoring.positions
WHERE closed_at >= :start AND closed_at < :until AND status = 'closed' AND realized_pnl IS NOT NULL
GROUP BY 1
ORDER BY 1;

-- name: events_by_hour
SELECT
    date_trunc('hour', created_at, 'UTC') AS hour,
    event_type,
    count(*) AS count
FROM monitoring.events
WHERE created_at >= :start AND created_at < :until
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: events_by_kind
-- How often each kind of event was written, with the first ones' ids.
SELECT
    event_type,
    count(*) AS count,
    min(created_at) AS first,
    max(created_at) AS last,
    (array_agg(id ORDER BY created_at, id))[1 : 10] AS ids
FROM monitoring.events
WHERE created_at >= :start AND created_at < :until
GROUP BY event_type
ORDER BY event_type;

-- name: error_groups
-- Errors of one wording, digits apart, the most frequent first.
SELECT
    coalesce(event_type, '') AS kind,
    min(error_message) AS sample,
    count(*) AS count,
    min(created_at) AS first,
    max(created_at) AS last,
    bool_or(upper(coalesce(severity, '')) = 'CRITICAL') AS critical,
    (array_agg(id ORDER BY created_at, id))[1 : 10] AS ids,
    (array_agg(DISTINCT symbol) FILTER (WHERE symbol IS NOT NULL))[1 : 10] AS symbols,
    array_agg(DISTINCT lower(btrim(exchange))) FILTER (WHERE exchange IS NOT NULL) AS exchanges,
    (array_agg(stack_trace ORDER BY created_at, id) FILTER (WHERE stack_trace IS NOT NULL))[1] AS trace
FROM monitoring.events
WHERE
    created_at >= :start
    AND created_at < :until
    AND error_message IS NOT NULL
    AND btrim(error_message) <> ''
GROUP BY event_type, regexp_replace(error_message, '[0-9]+', '#', 'g')
ORDER BY count(*) DESC, min(created_at)
LIMIT 200;

-- name: closed_and_open
-- Rows that stand open although the bot's own last word about them was that they closed.
WITH last_word AS (
    SELECT DISTINCT ON (position_id)
        position_id,
        id,
        created_at,
        event_type
    FROM monitoring.events
    WHERE
        created_at >= :start
        AND created_at < :until
        AND event_type IN ('position_created', 'position_updated', 'position_closed')
        AND position_id IS NOT NULL
    ORDER BY position_id ASC, created_at DESC, id DESC
)

SELECT
    p.id,
    p.symbol,
    lower(btrim(p.exchange)) AS exchange,
    p.status,
    w.created_at AS at,
    w.id AS event_id
FROM last_word AS w
INNER JOIN monitoring.positions AS p ON w.position_id = p.id
WHERE
    w.event_type = 'position_closed'
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
ORDER BY p.id
LIMIT 200;

-- name: runs_between
-- The passes that began in the window, the oldest first; filtered ones too.
SELECT id FROM posguard.runs
WHERE job = 'reconcile' AND started_at >= :start AND started_at < :until
ORDER BY id
LIMIT 2000;

-- name: suites_between$
-- The newest run of the window that has suite results.
SELECT max(r.id)
FROM posguard.runs AS r
WHERE
    r.started_at >= :start
    AND r.started_at < :until
    AND EXISTS (SELECT FROM posguard.suite_results AS s WHERE s.run_id = r.id);

-- name: races_between
SELECT
    f.id AS finding_id,
    r.race
FROM posguard.log_races AS r
INNER JOIN posguard.findings AS f ON r.fingerprint = f.fingerprint
WHERE r.at >= :start AND r.at < :until
ORDER BY r.at;

-- name: logs_between
-- What is loaded of each source in the window.
SELECT
    source,
    count(*) AS events,
    min(at) AS first,
    max(at) AS last
FROM posguard.log_events
WHERE at >= :start AND at < :until
GROUP BY source
ORDER BY source;
