-- name: start_run$
INSERT INTO posguard.runs (
    started_at, source, external_id, interval_start, interval_end, world, database_fingerprint,
    scope_exchange, scope_symbol, job
)
VALUES (
    :started_at, :source, :external_id, :interval_start, :interval_end, :world, :database_fingerprint,
    :scope_exchange, :scope_symbol, :job
)
RETURNING id;

-- name: finish_run!
UPDATE posguard.runs
SET
    finished_at = :finished_at,
    world = :world,
    outcome = :outcome,
    rows_read = :rows_read,
    rows_compared = :rows_compared,
    skipped = :skipped,
    counts = :counts,
    notes = :notes,
    statistics = :statistics
WHERE id = :id AND outcome = 'running';

-- name: finish_log_run!
UPDATE posguard.runs
SET finished_at = clock_timestamp(), outcome = 'problems', counts = :counts, notes = :notes
WHERE id = :id AND outcome = 'running';

-- name: fail_run!
UPDATE posguard.runs
SET finished_at = clock_timestamp(), outcome = 'failed', notes = :notes
WHERE id = :id AND outcome = 'running';

-- name: add_venue!
INSERT INTO posguard.run_venues (
    run_id, exchange, account, world, verdict, reasons, snapshots, positions, orders, clock_skew_ms, looked_at
)
VALUES (
    :run_id, :exchange, :account, :world, :verdict, :reasons, :snapshots, :positions, :orders, :clock_skew_ms,
    :looked_at
);

-- name: recent_runs
-- The passes, newest first; before is the id of the oldest one already shown.
SELECT
    r.*,
    coalesce(
        (
            SELECT jsonb_agg(to_jsonb(v) ORDER BY v.exchange, v.account)
            FROM posguard.run_venues AS v
            WHERE v.run_id = r.id
        ),
        '[]'
    ) AS venues
FROM posguard.runs AS r
WHERE r.job = 'reconcile' AND (:before::bigint IS NULL OR r.id < :before)
ORDER BY r.id DESC
LIMIT :limit;

-- name: run_by_id^
SELECT
    r.*,
    coalesce(
        (
            SELECT jsonb_agg(to_jsonb(v) ORDER BY v.exchange, v.account)
            FROM posguard.run_venues AS v
            WHERE v.run_id = r.id
        ),
        '[]'
    ) AS venues
FROM posguard.runs AS r
WHERE r.id = :id;

-- name: id_by_external_id$
-- The run of a scheduler's run; where it was tried more than once, one that ended before one that died, the newest first.
SELECT id
FROM posguard.runs
WHERE external_id = :external_id AND external_id <> ''
ORDER BY (outcome NOT IN ('running', 'failed')) DESC, id DESC
LIMIT 1;

-- name: may_read_control$
SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE');

-- name: system_identifier$
SELECT system_identifier::text FROM pg_catalog.pg_control_system();

-- name: database_identity$
SELECT oid::text || ':' || datname FROM pg_catalog.pg_database WHERE datname = current_database();

-- name: landmarks^
-- The newest run over everything that ended, and the last of those that was complete.
SELECT
    (
        SELECT id FROM posguard.runs
        WHERE job = 'reconcile' AND outcome <> 'running' AND scope_exchange = '' AND scope_symbol = ''
        ORDER BY id DESC LIMIT 1
    ) AS ended,
    (
        SELECT id FROM posguard.runs
        WHERE job = 'reconcile' AND outcome IN ('clean', 'problems') AND scope_exchange = '' AND scope_symbol = ''
        ORDER BY id DESC LIMIT 1
    ) AS complete;

-- name: id_of_dag_run$
-- The newest recorded run of a DAG run, clearings included: `run`, then `run#1`, `run#2` (Airflow allows no # in a run id).
SELECT max(id) FROM posguard.runs
WHERE external_id = :dag_run_id OR starts_with(external_id, :dag_run_id || '#');
