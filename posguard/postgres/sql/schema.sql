-- name: has_version_table$
SELECT to_regclass('posguard.schema_version') IS NOT NULL;

-- name: version$
SELECT version_num FROM posguard.schema_version;
