-- The instant that other connections can join, and the columns that this deployment has. pg_attribute rather than
-- information_schema, which hides what the role may not read: a missing grant must not look like a missing column.
SELECT
    pg_export_snapshot() AS snapshot,
    now() AS as_of,
    ARRAY(
        SELECT n.nspname || '.' || c.relname || '.' || a.attname
        FROM pg_catalog.pg_attribute AS a
        INNER JOIN pg_catalog.pg_class AS c ON a.attrelid = c.oid
        INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
        WHERE
            n.nspname <> 'information_schema'
            AND NOT starts_with(n.nspname, 'pg_')
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND a.attnum > 0
            AND NOT a.attisdropped
    ) AS columns
