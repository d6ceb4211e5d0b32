-- The tables of the schema posguard, its version table and partitions left out.
SELECT c.relname
FROM pg_catalog.pg_class AS c
INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid
WHERE n.nspname = 'posguard' AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_version' AND NOT c.relispartition
ORDER BY c.relname
