-- What `posguard check` asks of a database. Reads the catalogue, and of the bot's rows only how many are open by exchange.

-- name: server^
SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    current_database() AS database,
    current_user AS role,
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
    pg_is_in_recovery() AS standby,
    has_database_privilege(current_database(), 'CREATE') AS may_create,
    pg_database_size(current_database()) AS size,
    clock_timestamp() AS clock;

-- name: clock$
SELECT clock_timestamp();

-- name: tables
-- The bot's tables and posguard's: columns, and what the present role may do. Partitions are reached through their table.
SELECT
    n.nspname AS schema,
    c.relname AS name,
    has_schema_privilege(n.oid, 'USAGE') AS reachable,
    has_table_privilege(c.oid, 'SELECT') AS readable,
    has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AS writable,
    has_table_privilege(c.oid, 'INSERT,UPDATE,DELETE,TRUNCATE') AS changeable,
    array(
        SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
    ) AS columns
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname IN ('monitoring', 'posguard') AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND NOT c.relispartition
ORDER BY n.nspname, c.relname;

-- name: unique_indexes
-- The unique indexes of monitoring.positions, invalid ones too: an index that was built while duplicates existed holds nothing.
SELECT
    i.relname AS name,
    x.indisvalid AS valid,
    pg_get_indexdef(x.indexrelid) AS definition
FROM pg_catalog.pg_index AS x
INNER JOIN pg_catalog.pg_class AS i ON x.indexrelid = i.oid
INNER JOIN pg_catalog.pg_class AS c ON x.indrelid = c.oid
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'monitoring' AND c.relname = 'positions' AND x.indisunique AND NOT x.indisprimary
ORDER BY i.relname;

-- name: open_by_exchange
-- The ranges let an index over status serve, as in open_positions.
SELECT
    coalesce(lower(btrim(p.exchange)), '') AS exchange,
    count(*) AS open_rows
FROM monitoring.positions AS p
WHERE
    coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    AND (
        p.status IS NULL
        OR p.status < 'canceled'
        OR (p.status > 'canceled' AND p.status < 'closed')
        OR (p.status > 'closed' AND p.status < 'failed')
        OR (p.status > 'failed' AND p.status < 'rolled_back')
        OR p.status > 'rolled_back'
        OR ('canceled'::varchar < 'closed' AND 'closed'::varchar < 'failed' AND 'failed'::varchar < 'rolled_back') IS NOT TRUE
    )
GROUP BY 1
ORDER BY 1;
