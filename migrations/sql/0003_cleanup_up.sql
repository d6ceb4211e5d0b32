-- What the cleanup records: plans, what became of each line, and every step it took. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.plans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE CHECK (code ~ '^[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}$'),
    digest text NOT NULL CHECK (digest <> ''),
    mode text NOT NULL CHECK (mode IN (
        'unprotected', 'duplicates', 'orphaned-db', 'incomplete', 'mismatch', 'zombies', 'orphaned-ex', 'all'
    )),
    options jsonb NOT NULL,
    database_fingerprint text NOT NULL CHECK (database_fingerprint <> ''),
    worlds jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL CHECK (created_by <> ''),
    source text NOT NULL CHECK (source IN ('cli', 'airflow')),
    expires_at timestamptz NOT NULL,
    left_out jsonb NOT NULL DEFAULT '[]',
    inconclusive jsonb NOT NULL DEFAULT '[]',
    notes jsonb NOT NULL DEFAULT '[]',
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'applying', 'applied', 'partly')),
    started_at timestamptz,
    started_by text,
    finished_at timestamptz,
    backup text NOT NULL DEFAULT '',
    backup_checksum text NOT NULL DEFAULT '',
    CHECK (expires_at > created_at),
    CHECK ((state = 'planned') = (started_at IS NULL)),
    CHECK ((state IN ('applied', 'partly')) = (finished_at IS NOT NULL)),
    CHECK ((started_at IS NULL) = (started_by IS NULL))
);
COMMENT ON TABLE posguard.plans IS 'One row per cleanup plan; its code carries out this plan and nothing else. What it says never changes.';
CREATE INDEX plans_by_time ON posguard.plans (created_at DESC);

CREATE TABLE posguard.plan_lines (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id bigint NOT NULL REFERENCES posguard.plans (id),
    number bigint NOT NULL CHECK (number > 0),
    mode text NOT NULL,
    action text NOT NULL CHECK (action IN (
        'retire', 'close_row', 'fail_row', 'finish_row', 'take_quantity', 'place_stop', 'close_position', 'cancel_orders',
        'adopt'
    )),
    exchange text NOT NULL,
    account text NOT NULL,
    symbol text NOT NULL,
    position_side text NOT NULL,
    row_id bigint,
    decision text NOT NULL CHECK (decision <> ''),
    detail jsonb NOT NULL,
    reversible boolean NOT NULL,
    state text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'intended', 'done', 'skipped', 'failed', 'unresolved')),
    reason text NOT NULL DEFAULT '',
    verified boolean,
    made_row bigint,
    lease_owner text,
    lease_until timestamptz,
    fencing bigint NOT NULL DEFAULT 0 CHECK (fencing >= 0),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (plan_id, number),
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK (state NOT IN ('skipped', 'failed', 'unresolved') OR reason <> ''),
    CHECK (verified IS NULL OR state = 'done')
);
COMMENT ON TABLE posguard.plan_lines IS 'The lines of a plan and what became of each; a line that ended is never taken up again.';
-- A row is changed by one line of a plan at most.
CREATE UNIQUE INDEX plan_lines_one_per_row ON posguard.plan_lines (plan_id, row_id) WHERE row_id IS NOT NULL;
CREATE INDEX plan_lines_unresolved ON posguard.plan_lines (state) WHERE state IN ('intended', 'unresolved');

CREATE TABLE posguard.cleanup_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id bigint NOT NULL REFERENCES posguard.plans (id),
    line_id bigint REFERENCES posguard.plan_lines (id),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    login text NOT NULL DEFAULT session_user,
    event text NOT NULL CHECK (event IN (
        'started', 'backup', 'intent', 'outcome', 'changed', 'verified', 'skipped', 'failed', 'unresolved', 'finished',
        'restored'
    )),
    client_order_id text,
    row_id bigint,
    before jsonb,
    after jsonb,
    detail jsonb NOT NULL DEFAULT '{}',
    CHECK (event <> 'intent' OR client_order_id IS NOT NULL),
    CHECK (event <> 'changed' OR (row_id IS NOT NULL AND after IS NOT NULL))
);
COMMENT ON TABLE posguard.cleanup_actions IS 'Every step of every cleanup: who, when, what was sent and what came of it, rows before and after. Only ever added to.';
CREATE INDEX cleanup_actions_by_plan ON posguard.cleanup_actions (plan_id, id);
-- An order is meant once; a row is changed once by a line.
CREATE UNIQUE INDEX cleanup_actions_one_intent ON posguard.cleanup_actions (client_order_id) WHERE event = 'intent';
CREATE UNIQUE INDEX cleanup_actions_one_change ON posguard.cleanup_actions (line_id) WHERE event = 'changed';

CREATE FUNCTION posguard.guard_plan() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF OLD.state IN ('applied', 'partly') THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'plans_used_once',
            MESSAGE = concat('plan ', OLD.id, ' has been carried out and stays as it is');
    END IF;
    IF OLD.state = 'applying' AND NEW.state = 'planned'
        OR (OLD.code, OLD.digest, OLD.mode, OLD.options, OLD.database_fingerprint, OLD.worlds, OLD.created_at, OLD.expires_at)
        IS DISTINCT FROM
        (NEW.code, NEW.digest, NEW.mode, NEW.options, NEW.database_fingerprint, NEW.worlds, NEW.created_at, NEW.expires_at)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'plans_never_change',
            MESSAGE = concat('what plan ', OLD.id, ' says never changes');
    END IF;
    RETURN NEW;
END
$function$;
CREATE TRIGGER guard_plan BEFORE UPDATE ON posguard.plans FOR EACH ROW EXECUTE FUNCTION posguard.guard_plan();

CREATE FUNCTION posguard.guard_plan_line() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF OLD.state IN ('done', 'skipped', 'failed') AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'plan_lines_end_once',
            MESSAGE = concat('line ', OLD.number, ' of plan ', OLD.plan_id, ' has ended as ', OLD.state);
    END IF;
    IF OLD.state <> 'planned' AND NEW.state = 'planned' OR NEW.fencing < OLD.fencing
        OR (OLD.plan_id, OLD.number, OLD.action, OLD.row_id, OLD.decision, OLD.detail)
        IS DISTINCT FROM (NEW.plan_id, NEW.number, NEW.action, NEW.row_id, NEW.decision, NEW.detail)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'plan_lines_never_change',
            MESSAGE = concat('what line ', OLD.number, ' of plan ', OLD.plan_id, ' says never changes');
    END IF;
    NEW.changed_at := clock_timestamp();
    RETURN NEW;
END
$function$;
CREATE TRIGGER guard_plan_line BEFORE UPDATE ON posguard.plan_lines
FOR EACH ROW EXECUTE FUNCTION posguard.guard_plan_line();

CREATE FUNCTION posguard.keep_record() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'check_violation', CONSTRAINT = 'record_is_kept',
        MESSAGE = concat('posguard.', TG_TABLE_NAME, ' is only ever added to');
END
$function$;
CREATE TRIGGER keep_record BEFORE UPDATE OR DELETE ON posguard.cleanup_actions
FOR EACH ROW EXECUTE FUNCTION posguard.keep_record();
CREATE TRIGGER keep_record BEFORE DELETE ON posguard.plans FOR EACH ROW EXECUTE FUNCTION posguard.keep_record();
CREATE TRIGGER keep_record BEFORE DELETE ON posguard.plan_lines FOR EACH ROW EXECUTE FUNCTION posguard.keep_record();
