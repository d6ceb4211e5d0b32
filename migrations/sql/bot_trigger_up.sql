-- Target bot, step `transitions`. The bot keeps running on its old code: on its rows nothing here may raise, between entry and
-- stop least of all, not even where the record cannot be written; what goes wrong there goes to the server's log. A row that
-- the core manages takes legal changes only, and its record is written or the change is not made.
--
-- All functions read the row as jsonb: a column that a deployment lacks, or drops later, is null and no error.

SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- What makes a row another one for whoever decides by it. Prices, PnL and times of change never count.
CREATE OR REPLACE FUNCTION posguard.decision_columns(j jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN jsonb_build_object(
    'symbol', j -> 'symbol',
    'exchange', j -> 'exchange',
    'account', j -> 'account',
    'position_side', j -> 'position_side',
    'status', j -> 'status',
    'side', j -> 'side',
    'quantity', j -> 'quantity',
    'entry_price', j -> 'entry_price',
    'exchange_order_id', j -> 'exchange_order_id',
    'stop_loss_order_id', j -> 'stop_loss_order_id',
    'stop_loss_price', j -> 'stop_loss_price',
    'stop_loss', j -> 'stop_loss',
    'has_stop_loss', j -> 'has_stop_loss',
    'core_managed', j -> 'core_managed',
    'request_key', j -> 'request_key',
    'entry_client_id', j -> 'entry_client_id',
    'stop_client_id', j -> 'stop_client_id',
    'attempt', j -> 'attempt'
);

-- Before a row is written: legal changes only on rows the core manages; `version` counts the changes of decision columns and
-- takes no other value.
CREATE OR REPLACE FUNCTION posguard.guard_position() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    managed boolean := false;
    legal boolean;
BEGIN
    BEGIN
        IF TG_OP = 'INSERT' THEN
            managed := NEW.core_managed;
            legal := NEW.status IN ('pending_entry', 'pending_sl', 'active');
        ELSE
            managed := OLD.core_managed OR NEW.core_managed;
            legal := OLD.status IS NOT DISTINCT FROM NEW.status OR (OLD.status, NEW.status) IN (
                ('pending_entry', 'submitting'),
                ('pending_entry', 'failed'),
                ('pending_entry', 'rolled_back'),
                ('pending_entry', 'canceled'),
                ('submitting', 'entry_placed'),
                ('submitting', 'unresolved'),
                ('submitting', 'failed'),
                ('submitting', 'rolled_back'),
                ('entry_placed', 'pending_sl'),
                ('entry_placed', 'closing'),
                ('entry_placed', 'unresolved'),
                ('entry_placed', 'closed'),
                ('entry_placed', 'failed'),
                ('entry_placed', 'rolled_back'),
                ('pending_sl', 'active'),
                ('pending_sl', 'closing'),
                ('pending_sl', 'unresolved'),
                ('pending_sl', 'closed'),
                ('pending_sl', 'rolled_back'),
                ('active', 'pending_sl'),
                ('active', 'closing'),
                ('active', 'unresolved'),
                ('active', 'closed'),
                ('closing', 'pending_sl'),
                ('closing', 'active'),
                ('closing', 'unresolved'),
                ('closing', 'closed'),
                ('closing', 'rolled_back'),
                ('unresolved', 'entry_placed'),
                ('unresolved', 'pending_sl'),
                ('unresolved', 'active'),
                ('unresolved', 'closing'),
                ('unresolved', 'closed'),
                ('unresolved', 'failed'),
                ('unresolved', 'rolled_back')
            );
            NEW.version := OLD.version + CASE
                WHEN posguard.decision_columns(to_jsonb(OLD)) IS DISTINCT FROM posguard.decision_columns(to_jsonb(NEW))
                    THEN 1
                ELSE 0
            END;
        END IF;
        IF managed AND legal IS NOT TRUE THEN
            RAISE EXCEPTION USING
                ERRCODE = 'check_violation',
                CONSTRAINT = 'posguard_legal_transition',
                SCHEMA = 'monitoring',
                TABLE = 'positions',
                MESSAGE = format(
                    'position %s is managed by the core and may not become %s%s',
                    NEW.id,
                    coalesce(NEW.status, 'NULL'),
                    CASE WHEN TG_OP = 'UPDATE' THEN ' from ' || coalesce(OLD.status, 'NULL') ELSE ' at its birth' END
                );
        END IF;
    EXCEPTION WHEN OTHERS THEN
        IF managed THEN
            RAISE;
        END IF;
        RAISE LOG 'posguard: a row of monitoring.positions was let through unguarded: %', SQLERRM;
    END;
    RETURN NEW;
END
$function$;

-- After a row was written: the record. A short lock_timeout, so that a table of posguard's that is locked delays no write of
-- the bot's. Whoever changes rows may say who, from where and why in the settings posguard.actor, .origin and .reason of its
-- transaction.
CREATE OR REPLACE FUNCTION posguard.record_transition() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '250ms'
AS $function$
DECLARE
    managed boolean := false;
    was jsonb;
    becomes jsonb;
    latest jsonb;
BEGIN
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            was := to_jsonb(OLD);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            becomes := to_jsonb(NEW);
        END IF;
        latest := coalesce(becomes, was);
        managed := (latest ->> 'core_managed')::boolean OR coalesce((was ->> 'core_managed')::boolean, false);
        INSERT INTO posguard.transitions (
            position_id, operation, from_status, to_status, version, origin, actor, at, backend_pid, app, reason,
            core_managed, changed
        )
        VALUES (
            (latest ->> 'id')::bigint,
            lower(TG_OP),
            was ->> 'status',
            becomes ->> 'status',
            (latest ->> 'version')::bigint,
            coalesce(
                nullif(current_setting('posguard.origin', true), ''),
                CASE WHEN TG_OP = 'INSERT' THEN becomes ->> 'origin' END
            ),
            coalesce(nullif(current_setting('posguard.actor', true), ''), session_user),
            clock_timestamp(),
            pg_backend_pid(),
            current_setting('application_name'),
            coalesce(
                nullif(current_setting('posguard.reason', true), ''),
                CASE
                    WHEN becomes ->> 'exit_reason' IS DISTINCT FROM was ->> 'exit_reason' THEN becomes ->> 'exit_reason'
                    WHEN becomes ->> 'attention_reason' IS DISTINCT FROM was ->> 'attention_reason'
                        THEN becomes ->> 'attention_reason'
                END
            ),
            coalesce(managed, false),
            coalesce(
                (
                    SELECT jsonb_object_agg(c.key, jsonb_build_array(posguard.decision_columns(was) -> c.key, c.value))
                    FROM jsonb_each(posguard.decision_columns(becomes)) AS c
                    WHERE coalesce(posguard.decision_columns(was) -> c.key, 'null') IS DISTINCT FROM c.value
                ),
                '{}'
            )
        );
    EXCEPTION WHEN OTHERS THEN
        IF managed THEN
            RAISE;
        END IF;
        RAISE LOG 'posguard: a change of monitoring.positions was not recorded: %', SQLERRM;
    END;
    RETURN NULL;
END
$function$;

-- Made by a superuser, the functions would run as one. The owner of posguard's tables may write them, and that is enough.
DO $$
DECLARE
    tables_owner text;
BEGIN
    SELECT pg_get_userbyid(relowner)
    INTO tables_owner
    FROM pg_catalog.pg_class
    WHERE oid = 'posguard.transitions'::regclass;
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AND tables_owner <> current_user THEN
        EXECUTE format('ALTER FUNCTION posguard.guard_position() OWNER TO %I', tables_owner);
        EXECUTE format('ALTER FUNCTION posguard.record_transition() OWNER TO %I', tables_owner);
        EXECUTE format('ALTER FUNCTION posguard.decision_columns(jsonb) OWNER TO %I', tables_owner);
    END IF;
END
$$;

DROP TRIGGER IF EXISTS posguard_guard ON monitoring.positions;
DROP TRIGGER IF EXISTS posguard_transition ON monitoring.positions;
DROP TRIGGER IF EXISTS posguard_transition_update ON monitoring.positions;
CREATE TRIGGER posguard_guard BEFORE INSERT OR UPDATE ON monitoring.positions
FOR EACH ROW EXECUTE FUNCTION posguard.guard_position();
CREATE TRIGGER posguard_transition AFTER INSERT OR DELETE ON monitoring.positions
FOR EACH ROW EXECUTE FUNCTION posguard.record_transition();
-- A tick of prices changes no version and costs no record.
CREATE TRIGGER posguard_transition_update AFTER UPDATE ON monitoring.positions
FOR EACH ROW WHEN (
    old.version IS DISTINCT FROM new.version OR old.needs_attention IS DISTINCT FROM new.needs_attention
) EXECUTE FUNCTION posguard.record_transition();
