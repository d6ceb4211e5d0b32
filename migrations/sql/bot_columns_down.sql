-- Target bot, way back of `columns`: drops what the upgrade added and nothing else.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

LOCK TABLE monitoring.positions IN ACCESS EXCLUSIVE MODE;

DO $$
DECLARE
    drops text;
BEGIN
    SELECT string_agg(format('DROP COLUMN %I', a.attname), ', ')
    INTO drops
    FROM posguard.bot_upgrade_steps AS s
    CROSS JOIN jsonb_array_elements_text(s.detail -> 'added') AS added (name)
    INNER JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = 'monitoring.positions'::regclass AND a.attname = added.name AND NOT a.attisdropped
    WHERE s.step = 'columns';
    IF drops IS NOT NULL THEN
        EXECUTE 'ALTER TABLE monitoring.positions ' || drops;
    END IF;
END
$$;
