-- The database itself, now: the window does not matter to it.

-- name: database
-- Counters since the statistics were reset, of this database.
SELECT
    current_setting('server_version') AS version,
    pg_database_size(datname) AS size_bytes,
    (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = d.datname) AS connections,
    current_setting('max_connections')::int AS max_connections,
    xact_commit AS commits,
    xact_rollback AS rollbacks,
    (blks_hit::numeric / nullif(blks_hit + blks_read, 0))::float8 AS cache_hit_share,
    deadlocks,
    temp_files,
    temp_bytes,
    stats_reset AS since
FROM pg_catalog.pg_stat_database AS d
WHERE datname = current_database();

-- name: tables
-- Tables of the bot and of posguard, the largest first. Dead rows that vacuum has not taken away yet are the bloat that the server counts.
SELECT
    schemaname AS schema,
    relname AS name,
    pg_total_relation_size(relid) AS total_bytes,
    pg_table_size(relid) AS table_bytes,
    pg_indexes_size(relid) AS index_bytes,
    n_live_tup AS live_rows,
    n_dead_tup AS dead_rows,
    (n_dead_tup::numeric / nullif(n_live_tup + n_dead_tup, 0))::float8 AS dead_share,
    seq_scan AS sequential_scans,
    coalesce(idx_scan, 0) AS index_scans,
    greatest(last_vacuum, last_autovacuum) AS last_vacuum,
    greatest(last_analyze, last_autoanalyze) AS last_analyze
FROM pg_catalog.pg_stat_user_tables
WHERE schemaname IN ('monitoring', 'posguard')
ORDER BY pg_total_relation_size(relid) DESC, schemaname, relname;

-- name: indexes
-- Indexes of the tables of the bot, those that no query used first, then the largest.
SELECT
    s.relname AS table_name,
    s.indexrelname AS name,
    pg_relation_size(s.indexrelid) AS bytes,
    s.idx_scan AS scans,
    s.idx_tup_read AS rows_read,
    x.indisunique AS is_unique,
    x.indisvalid AS valid,
    pg_get_indexdef(s.indexrelid) AS definition
FROM pg_catalog.pg_stat_user_indexes AS s
INNER JOIN pg_catalog.pg_index AS x ON s.indexrelid = x.indexrelid
WHERE s.schemaname = 'monitoring'
ORDER BY s.idx_scan = 0 DESC, pg_relation_size(s.indexrelid) DESC, s.relname, s.indexrelname;

-- name: statements
-- The statements of this database that took the most time, by pg_stat_statements. The texts of other roles need pg_read_all_stats.
SELECT
    r.rolname AS role,
    left(regexp_replace(s.query, '\s+', ' ', 'g'), 200) AS query,
    s.calls,
    s.total_exec_time / 1000 AS total_seconds,
    s.mean_exec_time / 1000 AS mean_seconds,
    s.max_exec_time / 1000 AS max_seconds,
    s.rows
FROM pg_stat_statements AS s
INNER JOIN pg_catalog.pg_database AS d ON s.dbid = d.oid AND d.datname = current_database()
LEFT JOIN pg_catalog.pg_roles AS r ON s.userid = r.oid
ORDER BY s.total_exec_time DESC
LIMIT 20;

-- name: locks
-- Sessions of this database that wait for a lock, and those that keep a transaction open for more than a minute.
SELECT
    pid,
    application_name AS application,
    usename AS role,
    state,
    pg_blocking_pids(pid) AS blocked_by,
    date_part('epoch', clock_timestamp() - xact_start) AS transaction_seconds,
    date_part('epoch', clock_timestamp() - state_change) AS state_seconds,
    wait_event_type,
    left(regexp_replace(query, '\s+', ' ', 'g'), 200) AS query
FROM pg_catalog.pg_stat_activity
WHERE
    datname = current_database()
    AND pid <> pg_backend_pid()
    AND (
        wait_event_type = 'Lock'
        OR clock_timestamp() - xact_start > interval '1 minute'
    )
ORDER BY xact_start, pid;

-- name: have_room^
-- For this transaction: room to sort and group a long window in memory, and no compiling of queries that run once.
SELECT
    set_config('work_mem', '128MB', TRUE),
    set_config('jit', 'off', TRUE);
