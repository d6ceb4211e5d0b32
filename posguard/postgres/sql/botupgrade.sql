-- Target bot: what the way there and back reads, and its record. The statements that change the bot's tables are in
-- migrations/sql/bot_*.sql.

-- name: is_direct$
-- A setting that only the start-up of a direct connection can have brought to the server.
SELECT coalesce(current_setting('posguard.direct', true), '') = :nonce;

-- name: settle
-- No limit of the role's or the database's ends a build halfway; a client that died is noticed and its build ended.
SELECT set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '1s' ELSE '0' END, false)
FROM pg_catalog.pg_settings
WHERE
    name IN (
        'lock_timeout', 'statement_timeout', 'transaction_timeout', 'idle_session_timeout',
        'client_connection_check_interval'
    )
UNION ALL
SELECT set_config('idle_in_transaction_session_timeout', '5s', false);

-- name: try_turn$
-- Migrators of the bot's tables take turns. Polled, not waited for: who waits in a statement holds a snapshot, and the build
-- of the one whose turn it is would wait for that.
SELECT pg_try_advisory_lock(7305808869229538405);

-- name: turn_holder^
SELECT l.pid, coalesce(a.application_name, '') AS app
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON l.pid = a.pid
WHERE
    l.locktype = 'advisory'
    AND l.granted
    AND l.objsubid = 1
    AND (l.classid::bigint << 32) | l.objid::bigint = 7305808869229538405
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database());

-- name: is_the_bots$
SELECT to_regclass('monitoring.positions') IS NOT NULL;

-- name: standing^
SELECT
    current_database() AS database,
    current_user AS login,
    current_setting('server_version_num')::int AS version,
    pg_is_in_recovery() AS standby,
    c.relkind = 'r' AS plain,
    pg_get_userbyid(c.relowner) AS owner,
    pg_has_role(c.relowner, 'USAGE') AND coalesce(pg_has_role(e.relowner, 'USAGE'), true) AS owns,
    has_schema_privilege('monitoring', 'CREATE')
    AND has_schema_privilege('posguard', 'CREATE')
    AND has_table_privilege('posguard.transitions', 'INSERT')
    AND has_table_privilege('posguard.bot_upgrade_steps', 'SELECT, INSERT, UPDATE, DELETE') AS may_record,
    (
        SELECT convalidated FROM pg_catalog.pg_constraint
        WHERE conrelid = c.oid AND conname = 'posguard_known_status'
    ) AS check_valid,
    ARRAY(
        SELECT tgname::text FROM pg_catalog.pg_trigger
        WHERE tgrelid = c.oid AND tgname LIKE 'posguard%' AND tgenabled = 'O'
        ORDER BY tgname
    ) AS triggers
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_class AS e ON e.oid = to_regclass('monitoring.events')
WHERE c.oid = to_regclass('monitoring.positions');

-- name: columns
SELECT
    c.relname::text AS table_name,
    a.attname::text AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS required,
    pg_get_expr(d.adbin, d.adrelid) AS standard
FROM pg_catalog.pg_attribute AS a
INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
LEFT JOIN pg_catalog.pg_attrdef AS d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE
    a.attrelid IN (to_regclass('monitoring.positions'), to_regclass('monitoring.events'))
    AND a.attnum > 0
    AND NOT a.attisdropped;

-- name: indexes
-- `columns` are the key columns in order, NULL where one is an expression.
SELECT
    c.relname::text AS name,
    t.relname::text AS table_name,
    i.indisvalid AND i.indisready AND i.indislive AS sound,
    i.indisunique AS is_unique,
    i.indisprimary OR EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k
        WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
    ) AS is_constraint,
    pg_get_expr(i.indpred, i.indrelid) AS predicate,
    pg_get_indexdef(c.oid) AS definition,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(i.indkey::int2 []) WITH ORDINALITY AS k (attnum, place)
        LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
        WHERE k.place <= i.indnkeyatts
        ORDER BY k.place
    ) AS columns
FROM pg_catalog.pg_index AS i
INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
INNER JOIN pg_catalog.pg_class AS t ON i.indrelid = t.oid
WHERE i.indrelid IN (to_regclass('monitoring.positions'), to_regclass('monitoring.events'))
ORDER BY c.relname;

-- name: index_is_sound$
SELECT i.indisvalid AND i.indisready AND i.indislive
FROM pg_catalog.pg_index AS i
INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'monitoring' AND c.relname = :name;

-- name: arbiter$
-- The plan of an insertion that yields to an open row of its key: it names the index that decides, and there is no plan
-- without a valid one. DB-2: the predicate stands here in literals, as in every statement that means this index.
EXPLAIN (FORMAT JSON)
INSERT INTO monitoring.positions (symbol, exchange, side, quantity, entry_price)
SELECT '', '', '', 0, 0
WHERE false
ON CONFLICT (
    lower(btrim(exchange) COLLATE "C"),
    account,
    upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"),
    position_side
) WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
DO NOTHING;

-- name: open_rows
-- Open rows with what their key will be; account is the one asked where the column is not there yet.
WITH
keyed AS (
    SELECT
        p.id,
        p.status::text AS status,
        to_jsonb(p) AS j,
        coalesce(lower(btrim(p.exchange) COLLATE "C"), '') AS exchange,
        coalesce(
            upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"), ''
        ) AS symbol
    FROM monitoring.positions AS p
    WHERE coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
),

legged AS (
    SELECT
        *,
        coalesce(j ->> 'account', :account) AS account,
        coalesce(j ->> 'position_side', 'both') AS position_side
    FROM keyed
)

SELECT
    id,
    status,
    exchange,
    symbol,
    account,
    position_side,
    j ->> 'symbol' AS raw_symbol,
    j ->> 'quantity' AS quantity,
    coalesce((j ->> 'core_managed')::boolean, false) AS core_managed,
    coalesce((j ->> 'opened_at')::timestamptz, (j ->> 'created_at')::timestamptz) AS since,
    clock_timestamp() AS now
FROM legged
ORDER BY exchange, symbol, account, position_side, id;

-- name: twice_active
-- Rows that the bot's first unique index would not take together.
SELECT
    symbol,
    exchange,
    array_agg(id ORDER BY id) AS ids
FROM monitoring.positions
WHERE status = 'active'
GROUP BY symbol, exchange
HAVING count(*) > 1
ORDER BY exchange, symbol;

-- name: losses
-- For each of the named columns the rows in which it holds more than its constant default.
SELECT
    held.key AS name,
    count(*) AS filled
FROM monitoring.positions AS p
CROSS JOIN jsonb_each(to_jsonb(p)) AS held
WHERE held.key = ANY(:names::text []) AND held.value IS DISTINCT FROM coalesce(:defaults::jsonb -> held.key, 'null')
GROUP BY held.key
ORDER BY held.key;

-- name: steps
SELECT step, digest, detail, finished_at FROM posguard.bot_upgrade_steps ORDER BY started_at, step;

-- name: begin_step!
INSERT INTO posguard.bot_upgrade_steps (step)
VALUES (current_setting('posguard.step'))
ON CONFLICT (step) DO UPDATE SET started_at = clock_timestamp(), actor = session_user, finished_at = NULL;

-- name: finish_step!
UPDATE posguard.bot_upgrade_steps
SET digest = current_setting('posguard.digest'), finished_at = clock_timestamp()
WHERE step = current_setting('posguard.step');

-- name: undo_step!
DELETE FROM posguard.bot_upgrade_steps
WHERE step IN (current_setting('posguard.step'), current_setting('posguard.step') || '_valid');

-- name: keep_detail!
-- What is kept stays: a second run finds less than the first did.
UPDATE posguard.bot_upgrade_steps
SET detail = :detail::jsonb || detail
WHERE step = current_setting('posguard.step');

-- name: drop_statement$
SELECT format('DROP INDEX CONCURRENTLY IF EXISTS monitoring.%I', :name::text);

-- name: name_step$
SELECT
    set_config('posguard.step', :step, false),
    set_config('posguard.digest', :digest, false),
    set_config('posguard.account', :account, false);

-- name: in_the_way
-- Transactions that a concurrent build or drop on a table would wait for: those that hold it, and those with an old snapshot.
SELECT
    a.pid,
    coalesce(a.application_name, '') AS app,
    coalesce(a.state, '') AS state,
    coalesce(extract(EPOCH FROM clock_timestamp() - a.xact_start), 0)::float AS seconds
FROM pg_catalog.pg_stat_activity AS a
WHERE
    a.datname = current_database()
    AND a.backend_type = 'client backend'
    AND a.pid NOT IN (pg_backend_pid(), :builder)
    AND a.xact_start < clock_timestamp() - interval '1 second'
    AND (
        a.backend_xmin IS NOT NULL
        OR EXISTS (
            SELECT FROM pg_catalog.pg_locks AS l
            WHERE l.pid = a.pid AND l.granted AND l.relation = to_regclass(:table_name)
        )
    )
ORDER BY a.xact_start;

-- name: blocking
-- Whom a backend waits for; nobody: it is at work.
SELECT
    b.pid,
    coalesce(a.application_name, '') AS app,
    coalesce(a.state, '') AS state,
    coalesce(extract(EPOCH FROM clock_timestamp() - a.xact_start), 0)::float AS seconds
FROM unnest(pg_blocking_pids(:builder)) AS b (pid)
LEFT JOIN pg_catalog.pg_stat_activity AS a ON b.pid = a.pid;

-- name: holders
-- Who holds a table, and so keeps ALTER TABLE from it.
SELECT
    a.pid,
    coalesce(a.application_name, '') AS app,
    coalesce(a.state, '') AS state,
    coalesce(extract(EPOCH FROM clock_timestamp() - a.xact_start), 0)::float AS seconds
FROM pg_catalog.pg_locks AS l
INNER JOIN pg_catalog.pg_stat_activity AS a ON l.pid = a.pid
WHERE l.granted AND l.relation = 'monitoring.positions'::regclass AND l.pid NOT IN (pg_backend_pid(), :builder)
ORDER BY a.xact_start;

-- name: cancel$
SELECT pg_cancel_backend(:builder);

-- name: added_stop_order$
-- Whether the column stop_loss_order_id is one that the upgrade added.
SELECT coalesce((
    SELECT s.detail -> 'added' ? 'stop_loss_order_id'
    FROM posguard.bot_upgrade_steps AS s
    WHERE s.step = 'columns'
), false);

-- name: fill_stop_orders
-- Open rows without a stop order's id take the one that the venue showed; nothing that is recorded is replaced.
UPDATE monitoring.positions AS p
SET stop_loss_order_id = live.order_id
FROM unnest(:ids::bigint [], :order_ids::text []) AS live (id, order_id)
WHERE
    p.id = live.id
    AND p.stop_loss_order_id IS NULL
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
RETURNING p.id;
