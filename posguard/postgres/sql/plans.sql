-- Cleanup plans and what became of them.

-- name: insert_plan$
INSERT INTO posguard.plans (
    code, digest, mode, options, database_fingerprint, worlds, created_at, created_by, source, expires_at, left_out,
    inconclusive, notes
)
VALUES (
    :code, :digest, :mode, :options, :database_fingerprint, :worlds, :created_at, :created_by, :source, :expires_at,
    :left_out, :inconclusive, :notes
)
RETURNING id;

-- name: insert_lines
INSERT INTO posguard.plan_lines (
    plan_id, number, mode, action, exchange, account, symbol, position_side, row_id, decision, detail, reversible
)
SELECT
    :plan_id,
    place,
    line -> 'detail' ->> 'mode',
    line -> 'detail' ->> 'action',
    line -> 'detail' ->> 'exchange',
    line -> 'detail' ->> 'account',
    line -> 'detail' ->> 'symbol',
    line -> 'detail' ->> 'position_side',
    (line -> 'detail' -> 'row' ->> 'id')::bigint,
    line ->> 'decision',
    line -> 'detail',
    (line ->> 'reversible')::boolean
FROM jsonb_array_elements(:lines::jsonb) WITH ORDINALITY AS said (line, place)
RETURNING number, id;

-- name: by_code^
SELECT * FROM posguard.plans WHERE code = :code;

-- name: by_id^
SELECT * FROM posguard.plans WHERE id = :id;

-- name: recent
SELECT * FROM posguard.plans ORDER BY id DESC LIMIT :limit;

-- name: lines_of
SELECT id, number, state, reason, verified, fencing, made_row, detail FROM posguard.plan_lines WHERE plan_id = :plan_id ORDER BY number;

-- name: start$
-- The plan becomes one under way; a second starter gets nothing.
UPDATE posguard.plans
SET state = 'applying', started_at = clock_timestamp(), started_by = :actor
WHERE id = :id AND state = 'planned' AND expires_at > :now
RETURNING id;

-- name: keep_backup!
UPDATE posguard.plans SET backup = :backup, backup_checksum = :checksum WHERE id = :id AND state = 'applying';

-- name: finish$
-- Only where every line has ended.
UPDATE posguard.plans AS p
SET
    state = CASE
        WHEN EXISTS (
            SELECT FROM posguard.plan_lines AS l
            WHERE l.plan_id = p.id AND (l.state <> 'done' OR l.verified IS FALSE)
        ) THEN 'partly'
        ELSE 'applied'
    END,
    finished_at = clock_timestamp()
WHERE
    p.id = :id
    AND p.state = 'applying'
    AND NOT EXISTS (
        SELECT FROM posguard.plan_lines AS l
        WHERE l.plan_id = p.id AND l.state IN ('planned', 'intended', 'unresolved')
    )
RETURNING p.state;

-- name: claim$
-- A line for one worker, for a while; who held it before and let the lease run out is fenced off by the number.
UPDATE posguard.plan_lines
SET lease_owner = :owner, lease_until = clock_timestamp() + :length::interval, fencing = fencing + 1
WHERE
    id = :id
    AND state IN ('planned', 'intended', 'unresolved')
    AND (lease_until IS NULL OR lease_until < clock_timestamp() OR lease_owner = :owner)
RETURNING fencing;

-- name: holds$
-- Whether a claim still stands; extended when it does. One that ran out and that nobody else took stands: the number tells.
UPDATE posguard.plan_lines
SET lease_until = clock_timestamp() + :length::interval
WHERE id = :id AND lease_owner = :owner AND fencing = :fencing
RETURNING true;

-- name: end_line$
-- The line's new state, where the claim still is the present one.
UPDATE posguard.plan_lines
SET
    state = :state,
    reason = :reason,
    made_row = coalesce(:made_row, made_row),
    lease_owner = CASE WHEN :state = 'intended' THEN lease_owner END,
    lease_until = CASE WHEN :state = 'intended' THEN lease_until END
WHERE id = :id AND fencing = :fencing AND state IN ('planned', 'intended', 'unresolved')
RETURNING id;

-- name: verify_line!
UPDATE posguard.plan_lines SET verified = :verified, reason = :reason WHERE id = :id AND state = 'done' AND verified IS NULL;

-- name: note!
INSERT INTO posguard.cleanup_actions (
    plan_id, line_id, actor, event, client_order_id, row_id, before, after, detail
)
VALUES (
    :plan_id, :line_id, :actor, :event, :client_order_id, :row_id, :before::text::jsonb, :after::text::jsonb, :detail
);

-- name: actions_of
SELECT * FROM posguard.cleanup_actions WHERE plan_id = :plan_id ORDER BY id;

-- name: intents_of
-- The orders that a line has meant so far, with the last outcome of each.
SELECT
    i.client_order_id,
    i.at,
    i.detail,
    clock_timestamp() - i.at AS age,
    (
        SELECT o.detail FROM posguard.cleanup_actions AS o
        WHERE o.line_id = i.line_id AND o.event = 'outcome' AND o.client_order_id = i.client_order_id
        ORDER BY o.id DESC
        LIMIT 1
    ) AS outcome
FROM posguard.cleanup_actions AS i
WHERE i.line_id = :line_id AND i.event = 'intent'
ORDER BY i.id;

-- name: line_state$
SELECT state FROM posguard.plan_lines WHERE id = :id;

-- name: release!
UPDATE posguard.plan_lines SET lease_owner = NULL, lease_until = NULL WHERE id = :id AND fencing = :fencing;
