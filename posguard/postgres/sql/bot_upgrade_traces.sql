-- What target `bot` leaves on the bot's tables: its columns, its trigger, its check, its indexes. The percent signs are doubled
-- for the driver that runs this.
SELECT 'column monitoring.positions.' || attname
FROM pg_catalog.pg_attribute
WHERE
    attrelid = to_regclass('monitoring.positions')
    AND attname IN ('core_managed', 'request_key')
    AND NOT attisdropped
UNION ALL
SELECT 'trigger ' || tgname
FROM pg_catalog.pg_trigger
WHERE tgrelid = to_regclass('monitoring.positions') AND tgname LIKE 'posguard%%'
UNION ALL
SELECT 'check ' || conname
FROM pg_catalog.pg_constraint
WHERE conrelid = to_regclass('monitoring.positions') AND conname LIKE 'posguard%%'
UNION ALL
SELECT 'index ' || c.relname
FROM pg_catalog.pg_index AS i
INNER JOIN pg_catalog.pg_class AS c ON i.indexrelid = c.oid
WHERE
    i.indrelid IN (to_regclass('monitoring.positions'), to_regclass('monitoring.events'))
    AND c.relname LIKE 'posguard%%'
