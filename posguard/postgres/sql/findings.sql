-- name: take_turns$
-- Two runs at once record one after the other; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('posguard.findings.record', 0));

-- name: for_recording
SELECT * FROM posguard.findings
WHERE state <> 'resolved' OR fingerprint = ANY(:seen::text [])
ORDER BY id
FOR UPDATE;

-- name: by_fingerprints
SELECT * FROM posguard.findings WHERE fingerprint = ANY(:fingerprints::text []) ORDER BY id FOR UPDATE;

-- name: unresolved
SELECT * FROM posguard.findings
WHERE state <> 'resolved'
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), last_seen DESC, id;

-- name: list_findings
SELECT * FROM posguard.findings
WHERE
    (cardinality(:states::text []) = 0 OR state = ANY(:states))
    AND (cardinality(:severities::text []) = 0 OR severity = ANY(:severities))
    AND (:kind = '' OR kind = :kind)
    AND (:exchange = '' OR exchange = :exchange)
    AND (:symbol = '' OR symbol = :symbol)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), last_seen DESC, id
LIMIT :limit;

-- name: touching
-- The findings whose life touches the window, resolved ones too.
SELECT * FROM posguard.findings
WHERE first_seen < :until AND last_seen >= :start AND (resolved_at IS NULL OR resolved_at >= :start)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), first_seen, id;

-- name: by_id^
SELECT * FROM posguard.findings WHERE id = :id;

-- name: by_id_for_update^
SELECT * FROM posguard.findings WHERE id = :id FOR UPDATE;

-- name: events_of
SELECT * FROM posguard.finding_events WHERE finding_id = :finding_id ORDER BY id;

-- name: by_ids
SELECT * FROM posguard.findings WHERE id = ANY(:ids::bigint []) ORDER BY id;

-- name: events_of_run
-- What one run changed; a finding that was only seen again has no event.
SELECT * FROM posguard.finding_events WHERE run_id = :run_id ORDER BY id LIMIT :limit;

-- name: recent_events
SELECT * FROM posguard.finding_events ORDER BY id DESC LIMIT :limit;

-- name: insert_finding$
INSERT INTO posguard.findings (
    fingerprint, kind, exchange, account, symbol, position_side, subject, severity, proof, state, title, row_ids,
    order_ids, detail, first_seen, last_seen, first_run, last_run, decided_by, reason, until
)
VALUES (
    :fingerprint, :kind, :exchange, :account, :symbol, :position_side, :subject, :severity, :proof, :state, :title,
    :row_ids, :order_ids, :detail, :first_seen, :last_seen, :first_run, :last_run, :decided_by, :reason, :until
)
RETURNING id;

-- name: update_finding!
UPDATE posguard.findings
SET
    severity = :severity,
    proof = :proof,
    state = :state,
    title = :title,
    row_ids = :row_ids,
    order_ids = :order_ids,
    detail = :detail,
    last_seen = :last_seen,
    last_run = :last_run,
    clean_passes = :clean_passes,
    resolved_at = :resolved_at,
    reopened = :reopened,
    decided_by = :decided_by,
    reason = :reason,
    until = :until
WHERE id = :id;

-- name: touch_findings!
-- Seen again, nothing else changed.
UPDATE posguard.findings
SET last_seen = greatest(last_seen, :at), last_run = greatest(last_run, :run_id)
WHERE id = ANY(:ids::bigint []);

-- name: add_event!
INSERT INTO posguard.finding_events (finding_id, event, run_id, actor, note)
VALUES (:finding_id, :event, :run_id, :actor, :note);

-- name: ignore_rules
SELECT * FROM posguard.ignore_rules ORDER BY id;

-- name: add_ignore_rule$
INSERT INTO posguard.ignore_rules (exchange, account, symbol, reason, created_by, until)
VALUES (:exchange, :account, :symbol, :reason, :created_by, :until)
RETURNING id;

-- name: end_ignore_rule$
UPDATE posguard.ignore_rules
SET until = clock_timestamp()
WHERE id = :id AND (until IS NULL OR until > clock_timestamp())
RETURNING id;
