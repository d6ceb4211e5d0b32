-- What posguard last found, for a scrape: a handful of short reads by index.

-- name: newest_run^
-- The newest run over everything that ended.
SELECT id, started_at, finished_at, outcome, rows_compared, counts
FROM posguard.runs
WHERE job = 'reconcile' AND outcome <> 'running' AND scope_exchange = '' AND scope_symbol = ''
ORDER BY id DESC
LIMIT 1;

-- name: complete_at$
-- When the newest run that judged every venue ended.
SELECT finished_at
FROM posguard.runs
WHERE job = 'reconcile' AND outcome IN ('clean', 'problems') AND scope_exchange = '' AND scope_symbol = ''
ORDER BY id DESC
LIMIT 1;

-- name: venues_of
SELECT exchange, account, verdict = 'conclusive' AS conclusive, positions, orders, clock_skew_ms
FROM posguard.run_venues
WHERE run_id = :run_id
ORDER BY exchange, account;

-- name: unresolved_findings
-- Without those that somebody dismissed.
SELECT exchange, account, kind, severity, proof, count(*) AS findings
FROM posguard.findings
WHERE state IN ('open', 'acknowledged')
GROUP BY exchange, account, kind, severity, proof
ORDER BY exchange, account, kind, severity, proof;

-- name: suites
-- Of the newest run that has results.
SELECT suite, severity, result, count(*) AS expectations, sum(failing)::bigint AS failing
FROM posguard.suite_results
WHERE run_id = (SELECT max(run_id) FROM posguard.suite_results)
GROUP BY suite, severity, result
ORDER BY suite, severity, result;

-- name: unsent_alerts
-- Those that wait for a sender, and those of a message that is not sent; what no route takes is nobody's.
SELECT o.severity, count(*) AS alerts, min(o.created_at) AS oldest
FROM posguard.alert_outbox AS o
WHERE
    o.sent_at IS NULL
    AND (
        o.routed_at IS NULL
        OR EXISTS (
            SELECT FROM posguard.alert_message_items AS i
            INNER JOIN posguard.alert_messages AS m ON i.message_id = m.id
            WHERE i.alert_id = o.id AND m.sent_at IS NULL AND m.given_up_at IS NULL
        )
    )
GROUP BY o.severity
ORDER BY o.severity;

-- name: core^
-- What the trading core has on record of this moment.
SELECT
    (SELECT engaged FROM posguard.kill_switch) AS kill_switch,
    (SELECT count(*) FROM posguard.protection_gaps WHERE ended IS NULL) AS open_gaps,
    (SELECT min(began) FROM posguard.protection_gaps WHERE ended IS NULL) AS oldest_gap;

-- name: newest_snapshot^
-- The newest one that was taken, and whether its run goes on; now is the server's clock, which took it.
SELECT s.snapshot, s.at, r.interval_seconds, r.finished_at IS NULL AS running, clock_timestamp() AS now
FROM posguard.monitor_snapshots AS s
INNER JOIN posguard.monitor_runs AS r ON s.run_id = r.id
WHERE s.taken_at IS NOT NULL
ORDER BY s.at DESC, s.run_id DESC
LIMIT 1;

-- name: monitor_alerts
-- Raised and not cleared.
SELECT kind, severity, count(*) AS alerts
FROM posguard.monitor_alerts
WHERE cleared_at IS NULL
GROUP BY kind, severity
ORDER BY kind, severity;
