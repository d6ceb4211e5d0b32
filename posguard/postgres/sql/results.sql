-- name: store_result*!
-- Again for the same run replaces what a first try stored.
INSERT INTO posguard.suite_results (
    run_id, suite, expectation, title, severity, owner, result, rows_checked, failing, failing_keys, message, query
)
VALUES (
    :run_id, :suite, :expectation, :title, :severity, :owner, :result, :rows_checked, :failing, :failing_keys,
    :message, :query
)
ON CONFLICT (run_id, suite, expectation) DO UPDATE SET
    title = excluded.title,
    severity = excluded.severity,
    owner = excluded.owner,
    result = excluded.result,
    rows_checked = excluded.rows_checked,
    failing = excluded.failing,
    failing_keys = excluded.failing_keys,
    message = excluded.message,
    query = excluded.query;

-- name: results_of
-- What wants attention first: violations, then errors, by severity; then what passed.
SELECT suite, expectation, title, severity, owner, result, rows_checked, failing, failing_keys, message, query
FROM posguard.suite_results
WHERE run_id = :run_id
ORDER BY
    array_position(ARRAY['violation', 'error', 'pass', 'not_applicable'], result),
    array_position(ARRAY['critical', 'warning', 'info'], severity),
    id;

-- name: latest_run$
-- The newest run that has suite results; NULL where none has.
SELECT max(run_id) FROM posguard.suite_results;

-- name: history
-- The newest runs that have suite results, the oldest of them first; no expectations named means all.
SELECT r.id AS run_id, r.started_at AS at, s.suite, s.expectation, s.result, s.failing
FROM (
    SELECT id, started_at
    FROM posguard.runs AS ran
    WHERE EXISTS (SELECT FROM posguard.suite_results AS any_result WHERE any_result.run_id = ran.id)
    ORDER BY id DESC
    LIMIT :runs
) AS r
INNER JOIN posguard.suite_results AS s ON r.id = s.run_id
WHERE cardinality(:expectations::text []) = 0 OR s.expectation = ANY(:expectations::text [])
ORDER BY r.id, s.id;
