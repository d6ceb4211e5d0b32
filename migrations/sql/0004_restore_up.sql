-- Taking a cleanup back. A row that the core manages may leave a terminal status only this way: the transaction announces the row,
-- and the status it had before a recorded cleanup changed it; the guard of the bot's table lets exactly that through.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.restoring (
    transaction_id xid8 NOT NULL,
    position_id bigint NOT NULL,
    status text,
    plan_id bigint NOT NULL REFERENCES posguard.plans (id),
    login text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (transaction_id, position_id)
);
COMMENT ON TABLE posguard.restoring IS 'Rows that a restore has announced, each good for its own transaction. Written by posguard.announce_restore alone.';
-- Whoever may write every table of this schema may still not write this one: there is no policy to insert, change or delete by.
ALTER TABLE posguard.restoring ENABLE ROW LEVEL SECURITY;
CREATE POLICY anybody_may_look ON posguard.restoring FOR SELECT USING (true);
GRANT SELECT ON posguard.restoring TO PUBLIC;

CREATE FUNCTION posguard.announce_restore(of_plan bigint, of_row bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    had text;
BEGIN
    SELECT a.before ->> 'status'
    INTO STRICT had
    FROM posguard.cleanup_actions AS a
    WHERE a.plan_id = of_plan AND a.row_id = of_row AND a.event = 'changed' AND a.before IS NOT NULL;
    INSERT INTO posguard.restoring (transaction_id, position_id, status, plan_id, login)
    VALUES (pg_current_xact_id(), of_row, had, of_plan, session_user)
    ON CONFLICT DO NOTHING;
    RETURN had;
EXCEPTION WHEN no_data_found THEN
    RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'restore_of_a_recorded_change',
        MESSAGE = concat('plan ', of_plan, ' has not changed row ', of_row);
END
$function$;
REVOKE ALL ON FUNCTION posguard.announce_restore(bigint, bigint) FROM PUBLIC;

-- Writes a whole row as it was, under the caller's own privileges. Columns that the deployment has no longer are left out, those
-- that came since keep what they hold; version, time of change and the core's lease belong to the present.
CREATE FUNCTION posguard.restore_row(of_row bigint, was jsonb) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    named text;
    written text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
    INTO named
    FROM pg_attribute
    WHERE
        attrelid = 'monitoring.positions'::regclass
        AND attnum > 0
        AND NOT attisdropped
        AND attgenerated = ''
        AND was ? attname::text
        AND attname NOT IN ('id', 'version', 'updated_at', 'fencing', 'lease_owner', 'lease_until');
    EXECUTE concat(
        'UPDATE monitoring.positions AS p SET updated_at = clock_timestamp(), (', named, ') = (SELECT ', named,
        ' FROM jsonb_populate_record(NULL::monitoring.positions, $1)) WHERE p.id = $2 RETURNING to_jsonb(p)::text'
    )
    INTO written
    USING was, of_row;
    RETURN written;
END
$function$;
