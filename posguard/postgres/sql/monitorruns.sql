-- What the monitor keeps for itself. Whoever writes holds the run's row first (beat), so that a process which was replaced
-- writes nothing more.

-- name: latest_run^
SELECT id, started_at, ends_at, interval_seconds, log, finished_at
FROM posguard.monitor_runs
ORDER BY id DESC
LIMIT 1;

-- name: report_of$
SELECT report FROM posguard.monitor_runs
WHERE id = :id;

-- name: begin^
INSERT INTO posguard.monitor_runs (started_at, ends_at, interval_seconds, log, owner)
VALUES (:started_at, :ends_at, :interval_seconds, :log, :owner)
RETURNING id, started_at, ends_at, interval_seconds, log, finished_at;

-- name: take_over^
-- A run that was stopped goes on, too: its report is written anew at its end.
UPDATE posguard.monitor_runs
SET owner = :owner, finished_at = NULL, report = NULL
WHERE id = :id
RETURNING id, started_at, ends_at, interval_seconds, log, finished_at;

-- name: beat$
-- Whether the run is still this process's; holds it until the transaction ends.
UPDATE posguard.monitor_runs
SET beats = beats + 1
WHERE id = :id AND owner = :owner AND finished_at IS NULL
RETURNING beats;

-- name: finish!
UPDATE posguard.monitor_runs
SET finished_at = :finished_at, report = :report
WHERE id = :id;

-- name: add_snapshot$
INSERT INTO posguard.monitor_snapshots (run_id, number, at, taken_at, missed, snapshot)
VALUES (:run_id, :number, :at, :taken_at, :missed, :snapshot)
ON CONFLICT (run_id, number) DO NOTHING
RETURNING number;

-- name: last_number$
SELECT coalesce(max(number), 0) FROM posguard.monitor_snapshots
WHERE run_id = :run_id;

-- name: snapshots_behind
SELECT number, snapshot
FROM posguard.monitor_snapshots
WHERE run_id = :run_id AND number > :after
ORDER BY number;

-- name: snapshots_between
-- Of all runs, by time: what the audit draws.
SELECT snapshot
FROM posguard.monitor_snapshots
WHERE at > :since AND at <= :until
ORDER BY at, run_id, number;

-- name: latest^
-- The newest snapshot that was taken, its run's interval, and the server's clock.
SELECT s.snapshot, s.run_id, s.at, r.interval_seconds, r.finished_at, clock_timestamp() AS now
FROM posguard.monitor_snapshots AS s
INNER JOIN posguard.monitor_runs AS r ON s.run_id = r.id
WHERE s.missed = ''
ORDER BY s.at DESC, s.run_id DESC
LIMIT 1;

-- name: standing
SELECT kind, subject, exchange, position_id, text, raised_at, cleared_at
FROM posguard.monitor_alerts
WHERE cleared_at IS NULL
ORDER BY id;

-- name: alerts_of
SELECT kind, subject, exchange, position_id, text, raised_at, cleared_at
FROM posguard.monitor_alerts
WHERE run_id = :run_id
ORDER BY id;

-- name: alerts_between
SELECT kind, subject, exchange, position_id, text, raised_at, cleared_at
FROM posguard.monitor_alerts
WHERE raised_at <= :until AND (cleared_at IS NULL OR cleared_at > :since)
ORDER BY raised_at, id;

-- name: raise_!
INSERT INTO posguard.monitor_alerts (run_id, kind, subject, severity, exchange, position_id, text, raised_at)
VALUES (:run_id, :kind, :subject, :severity, :exchange, :position_id, :text, :raised_at);

-- name: clear!
UPDATE posguard.monitor_alerts
SET cleared_at = :cleared_at
WHERE kind = :kind AND subject = :subject AND cleared_at IS NULL;

-- name: counters
SELECT part, settled_id, settled_at, mark_id, mark_at, mark_xid, rules, counts
FROM posguard.monitor_counters;

-- name: keep_counter!
INSERT INTO posguard.monitor_counters (part, settled_id, settled_at, mark_id, mark_at, mark_xid, rules, counts)
VALUES (:part, :settled_id, :settled_at, :mark_id, :mark_at, :mark_xid, :rules, :counts)
ON CONFLICT (part) DO UPDATE SET
settled_id = excluded.settled_id,
settled_at = excluded.settled_at,
mark_id = excluded.mark_id,
mark_at = excluded.mark_at,
mark_xid = excluded.mark_xid,
rules = excluded.rules,
counts = excluded.counts;

-- name: forget!
-- Runs that ended before a moment, with their snapshots and alerts.
DELETE FROM posguard.monitor_runs
WHERE finished_at IS NOT NULL AND finished_at < :before;
