-- Target bot, step `transitions`. The bot keeps running on its old code: on its rows nothing here may raise, between entry and
-- stop least of all, not even where the record cannot be written; what goes wrong there goes to the server's log. A row that
-- the core manages takes legal changes only, and its record is written or the change is not made.
--
-- A column that a deployment lacks, or drops later, is null and no error.

SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- What makes a row another one for whoever decides by it. Prices, PnL and times of change never count.
CREATE OR REPLACE FUNCTION posguard.decision_columns() RETURNS text []
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[
    'symbol', 'exchange', 'account', 'position_side', 'status', 'side', 'quantity', 'entry_price', 'exchange_order_id',
    'stop_loss_order_id', 'stop_loss_price', 'stop_loss', 'has_stop_loss', 'core_managed', 'request_key',
    'entry_client_id', 'stop_client_id', 'attempt'
];

-- Whether this transaction takes a recorded cleanup of the row back to this status. Told by posguard.restoring, which only
-- posguard.announce_restore can write; a posguard of before it has none.
CREATE OR REPLACE FUNCTION posguard.is_restored(of_row bigint, to_status text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN EXISTS (
        SELECT FROM posguard.restoring AS r
        WHERE
            r.transaction_id = pg_current_xact_id_if_assigned()
            AND r.position_id = of_row
            AND r.status IS NOT DISTINCT FROM to_status
    );
EXCEPTION WHEN undefined_table OR insufficient_privilege THEN
    RETURN false;
END
$function$;

-- Before a row is written: legal changes only on rows the core manages; `version` counts the changes of decision columns and
-- takes no other value. The comparison names the columns, which is many times as fast as jsonb; a deployment that lacks one
-- takes the slower way.
CREATE OR REPLACE FUNCTION posguard.guard_position() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    managed boolean := false;
    legal boolean;
    was jsonb;
    becomes jsonb;
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
        END IF;
        IF managed AND legal IS NOT TRUE AND NOT posguard.is_restored(NEW.id, NEW.status) THEN
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
        IF TG_OP = 'UPDATE' THEN
            NEW.version := OLD.version + (
                OLD.status IS DISTINCT FROM NEW.status
                OR OLD.quantity IS DISTINCT FROM NEW.quantity
                OR OLD.entry_price IS DISTINCT FROM NEW.entry_price
                OR OLD.stop_loss_price IS DISTINCT FROM NEW.stop_loss_price
                OR OLD.stop_loss IS DISTINCT FROM NEW.stop_loss
                OR OLD.has_stop_loss IS DISTINCT FROM NEW.has_stop_loss
                OR OLD.exchange_order_id IS DISTINCT FROM NEW.exchange_order_id
                OR OLD.stop_loss_order_id IS DISTINCT FROM NEW.stop_loss_order_id
                OR OLD.entry_client_id IS DISTINCT FROM NEW.entry_client_id
                OR OLD.stop_client_id IS DISTINCT FROM NEW.stop_client_id
                OR OLD.attempt IS DISTINCT FROM NEW.attempt
                OR OLD.request_key IS DISTINCT FROM NEW.request_key
                OR OLD.core_managed IS DISTINCT FROM NEW.core_managed
                OR OLD.symbol IS DISTINCT FROM NEW.symbol
                OR OLD.exchange IS DISTINCT FROM NEW.exchange
                OR OLD.account IS DISTINCT FROM NEW.account
                OR OLD.position_side IS DISTINCT FROM NEW.position_side
                OR OLD.side IS DISTINCT FROM NEW.side
            )::int;
        END IF;
    EXCEPTION
        WHEN undefined_column THEN
            BEGIN
                IF TG_OP = 'UPDATE' THEN
                    was := to_jsonb(OLD);
                    becomes := to_jsonb(NEW);
                    NEW.version := OLD.version + (
                        SELECT bool_or(was -> k IS DISTINCT FROM becomes -> k)
                        FROM unnest(posguard.decision_columns()) AS k
                    )::int;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                IF managed THEN
                    RAISE;
                END IF;
                RAISE LOG 'posguard: a change of monitoring.positions was not counted: %', SQLERRM;
            END;
        WHEN OTHERS THEN
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
                    SELECT jsonb_object_agg(k, jsonb_build_array(was -> k, becomes -> k))
                    FROM unnest(posguard.decision_columns()) AS k
                    WHERE coalesce(was -> k, 'null') <> coalesce(becomes -> k, 'null')
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
        EXECUTE format('ALTER FUNCTION posguard.decision_columns() OWNER TO %I', tables_owner);
        EXECUTE format('ALTER FUNCTION posguard.is_restored(bigint, text) OWNER TO %I', tables_owner);
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
