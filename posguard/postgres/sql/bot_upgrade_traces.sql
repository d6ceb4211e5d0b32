-- What target `bot` leaves on the bot's tables: its columns and its trigger.
SELECT 'column monitoring.positions.' || attname
FROM pg_catalog.pg_attribute
WHERE
    attrelid = to_regclass('monitoring.positions')
    AND attname IN ('core_managed', 'version', 'request_key')
    AND NOT attisdropped
UNION ALL
SELECT 'trigger ' || tgname
FROM pg_catalog.pg_trigger
WHERE tgrelid = to_regclass('monitoring.positions') AND tgname LIKE 'posguard%%'
