-- Target bot, step `columns`: what the core needs on the bot's rows. Runs as one transaction, in one round trip: the table is
-- locked for milliseconds. Every default is a constant, so no row is rewritten; the defaults that differ from row to row are
-- set afterwards and hold for new rows only. What this adds is noted for the way back; what was there before is not ours.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

LOCK TABLE monitoring.positions IN ACCESS EXCLUSIVE MODE;

UPDATE posguard.bot_upgrade_steps
SET
    detail = detail || jsonb_build_object('before', (
        SELECT jsonb_agg(attname::text)
        FROM pg_catalog.pg_attribute
        WHERE attrelid = 'monitoring.positions'::regclass AND attnum > 0 AND NOT attisdropped
    ))
WHERE step = 'columns';

DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE monitoring.positions ADD COLUMN IF NOT EXISTS account text NOT NULL DEFAULT %L',
        current_setting('posguard.account')
    );
END
$$;

ALTER TABLE monitoring.positions
ADD COLUMN IF NOT EXISTS position_side text NOT NULL DEFAULT 'both',
ADD COLUMN IF NOT EXISTS core_managed boolean NOT NULL DEFAULT false,
ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0,
ADD COLUMN IF NOT EXISTS request_key text,
ADD COLUMN IF NOT EXISTS entry_client_id text,
ADD COLUMN IF NOT EXISTS stop_client_id text,
-- squawk-ignore prefer-bigint-over-int
ADD COLUMN IF NOT EXISTS attempt integer,
ADD COLUMN IF NOT EXISTS lease_owner text,
ADD COLUMN IF NOT EXISTS lease_until timestamptz,
ADD COLUMN IF NOT EXISTS fencing bigint NOT NULL DEFAULT 0,
ADD COLUMN IF NOT EXISTS needs_attention boolean NOT NULL DEFAULT false,
ADD COLUMN IF NOT EXISTS attention_reason text,
ADD COLUMN IF NOT EXISTS origin text,
-- squawk-ignore prefer-bigint-over-int
ADD COLUMN IF NOT EXISTS backend_pid integer,
ADD COLUMN IF NOT EXISTS app_name text,
ADD COLUMN IF NOT EXISTS inserted_at timestamptz,
ADD COLUMN IF NOT EXISTS unprotected_since timestamptz,
-- squawk-ignore prefer-text-field
ADD COLUMN IF NOT EXISTS stop_loss_order_id varchar(100);

ALTER TABLE monitoring.positions
ALTER COLUMN backend_pid SET DEFAULT pg_backend_pid(),
ALTER COLUMN app_name SET DEFAULT current_setting('application_name'),
ALTER COLUMN inserted_at SET DEFAULT clock_timestamp();

UPDATE posguard.bot_upgrade_steps
SET
    detail = (detail - 'before') || jsonb_build_object('added', coalesce(detail -> 'added', '[]') || coalesce((
        SELECT jsonb_agg(attname::text ORDER BY attnum)
        FROM pg_catalog.pg_attribute
        WHERE
            attrelid = 'monitoring.positions'::regclass
            AND attnum > 0
            AND NOT attisdropped
            AND NOT detail -> 'before' ? attname::text
    ), '[]'))
WHERE step = 'columns';

-- The comment tells whoever reads the table, posguard's own queries too, that the bot's old code does not keep such a column.
DO $$
DECLARE
    ours text;
BEGIN
    FOR ours IN
        SELECT jsonb_array_elements_text(detail -> 'added') FROM posguard.bot_upgrade_steps WHERE step = 'columns'
    LOOP
        EXECUTE format('COMMENT ON COLUMN monitoring.positions.%I IS %L', ours, 'posguard: added for the trading core');
    END LOOP;
END
$$;
