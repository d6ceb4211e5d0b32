-- The present database, and posguard's tables with the rows each holds, counted now.
SELECT
    current_database() AS database,
    c.relname AS name,
    (
        xpath(
            '/row/n/text()',
            query_to_xml('SELECT count(*) AS n FROM posguard.' || quote_ident(c.relname), FALSE, TRUE, '')
        )
    )[1]::text::bigint AS held
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'posguard' AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_version'
ORDER BY c.relname
