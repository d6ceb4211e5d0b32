-- name: newest
-- The last alert of each topic, with the worst severity that was told since the topic last began to stand.
SELECT
    last.id,
    last.topic,
    last.event,
    coalesce(
        (
            SELECT o.severity FROM posguard.alert_outbox AS o
            WHERE
                o.topic = last.topic
                AND o.event = 'raised'
                AND o.id > coalesce(
                    (
                        SELECT max(ended.id) FROM posguard.alert_outbox AS ended
                        WHERE ended.topic = last.topic AND ended.event = 'resolved'
                    ),
                    0
                )
            ORDER BY array_position(ARRAY['critical', 'warning', 'info'], o.severity)
            LIMIT 1
        ),
        last.severity
    ) AS severity
FROM unnest(:topics::text []) AS asked (topic)
CROSS JOIN LATERAL (
    SELECT o.id, o.topic, o.event, o.severity FROM posguard.alert_outbox AS o
    WHERE o.topic = asked.topic
    ORDER BY o.id DESC
    LIMIT 1
) AS last;

-- name: put
-- The same key twice is one alert.
INSERT INTO posguard.alert_outbox (key, severity, kind, text, payload, topic, event, owner)
SELECT key, severity, kind, text, payload, topic, event, owner
FROM unnest(
    :keys::text [], :severities::text [], :kinds::text [], :texts::text [], :payloads::jsonb [], :topics::text [],
    :events::text [], :owners::text []
) AS given (key, severity, kind, text, payload, topic, event, owner)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- name: standing
-- The topics of a kind that were raised and not resolved since; an empty kind means all.
SELECT last.*, NULL AS later FROM (
    SELECT DISTINCT ON (topic) * FROM posguard.alert_outbox
    WHERE topic IS NOT NULL AND (:kind = '' OR kind = :kind)
    ORDER BY topic, id DESC
) AS last
WHERE last.event = 'raised'
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], last.severity), last.id
LIMIT :limit;

-- name: take_turns$
-- Two senders at once put waiting alerts into messages one after the other; the lock goes with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('posguard.alerts.route', 0));

-- name: unrouted
-- The oldest first. age: how long the oldest of them has waited.
SELECT o.*, NULL AS later, clock_timestamp() - min(o.created_at) OVER () AS age
FROM posguard.alert_outbox AS o
WHERE o.routed_at IS NULL
ORDER BY o.id
LIMIT :limit;

-- name: mark_routed!
UPDATE posguard.alert_outbox SET routed_at = clock_timestamp()
WHERE id = ANY(:ids::bigint []) AND routed_at IS NULL;

-- name: add_message$
INSERT INTO posguard.alert_messages (key, route, subject, severity, alerts)
VALUES (:key, :route, :subject, :severity, :alerts)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- name: add_items!
INSERT INTO posguard.alert_message_items (message_id, alert_id)
SELECT :message_id, alert_id FROM unnest(:alert_ids::bigint []) AS given (alert_id);

-- name: claim
-- Messages that are due and nobody is sending, leased to the caller. Whoever died while sending loses his lease to time.
-- A route gets its messages in order: one waits for those before it, but for such as have failed some times.
UPDATE posguard.alert_messages AS m
SET lease_owner = :owner, lease_until = clock_timestamp() + :lease::interval, attempts = m.attempts + 1
WHERE m.id IN (
    SELECT due.id FROM posguard.alert_messages AS due
    WHERE
        due.sent_at IS NULL
        AND due.given_up_at IS NULL
        AND due.next_try <= clock_timestamp()
        AND (due.lease_until IS NULL OR due.lease_until <= clock_timestamp())
        AND due.route = ANY(:routes::text [])
        AND NOT EXISTS (
            SELECT FROM posguard.alert_messages AS before
            WHERE
                before.route = due.route
                AND before.sent_at IS NULL
                AND before.given_up_at IS NULL
                AND before.id < due.id
                AND before.attempts < :patience
        )
    ORDER BY array_position(ARRAY['critical', 'warning', 'info'], due.severity), due.id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
RETURNING m.*;

-- name: renew!
UPDATE posguard.alert_messages SET lease_until = clock_timestamp() + :lease::interval
WHERE id = ANY(:ids::bigint []) AND lease_owner = :owner;

-- name: alerts_of
-- What a message tells of, the worst first, beginnings before ends; later: what the newest alert of its topic says, where it is another.
SELECT
    o.*,
    (
        SELECT l.event FROM posguard.alert_outbox AS l
        WHERE l.topic = o.topic AND l.id > o.id
        ORDER BY l.id DESC
        LIMIT 1
    ) AS later
FROM posguard.alert_message_items AS i
INNER JOIN posguard.alert_outbox AS o ON i.alert_id = o.id
WHERE i.message_id = :message_id
ORDER BY array_position(ARRAY['raised', 'resolved'], o.event),
    array_position(ARRAY['critical', 'warning', 'info'], o.severity), o.id
LIMIT :limit;

-- name: mark_sent$
-- Only for whoever still holds the lease; another one sends it again, under the same key.
UPDATE posguard.alert_messages
SET sent_at = clock_timestamp(), last_error = :note, lease_owner = NULL, lease_until = NULL
WHERE id = :id AND lease_owner = :owner AND sent_at IS NULL
RETURNING id;

-- name: mark_alerts_sent!
-- An alert is sent when every message that tells of it is, but for those that were given up.
UPDATE posguard.alert_outbox AS o
SET sent_at = clock_timestamp()
FROM posguard.alert_message_items AS mine
WHERE
    mine.message_id = :id
    AND o.id = mine.alert_id
    AND o.sent_at IS NULL
    AND NOT EXISTS (
        SELECT FROM posguard.alert_message_items AS i
        INNER JOIN posguard.alert_messages AS m ON i.message_id = m.id
        WHERE i.alert_id = o.id AND m.sent_at IS NULL AND m.given_up_at IS NULL AND m.id <> :id
    );

-- name: mark_failed!
UPDATE posguard.alert_messages
SET last_error = :error, next_try = clock_timestamp() + :delay::interval, lease_owner = NULL, lease_until = NULL
WHERE id = :id AND lease_owner = :owner AND sent_at IS NULL;

-- name: messages
-- What is not sent yet, the worst first, then what was sent or given up, the newest first.
SELECT * FROM posguard.alert_messages
WHERE :sent_too OR (sent_at IS NULL AND given_up_at IS NULL)
ORDER BY
    sent_at IS NOT NULL OR given_up_at IS NOT NULL,
    CASE WHEN sent_at IS NULL AND given_up_at IS NULL THEN array_position(ARRAY['critical', 'warning', 'info'], severity) END,
    CASE WHEN sent_at IS NULL AND given_up_at IS NULL THEN id END,
    id DESC
LIMIT :limit;

-- name: totals^
SELECT
    (SELECT count(*) FROM posguard.alert_outbox WHERE routed_at IS NULL) AS waiting,
    count(*) AS unsent,
    count(*) FILTER (WHERE last_error <> '') AS failing,
    min(created_at) FILTER (WHERE last_error <> '') AS oldest_failing
FROM posguard.alert_messages
WHERE sent_at IS NULL AND given_up_at IS NULL;

-- name: unsent_by_route
-- The messages of each route that are not sent, the route whose oldest has waited longest first.
SELECT
    route,
    count(*) AS messages,
    min(created_at) AS oldest,
    clock_timestamp() - min(created_at) AS age,
    (array_agg(severity ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity)))[1] AS severity
FROM posguard.alert_messages
WHERE sent_at IS NULL AND given_up_at IS NULL
GROUP BY route
ORDER BY oldest, route;

-- name: reroute
-- What is not sent of a route goes by another one, at once, under the keys it has; what is being sent stays where it is.
UPDATE posguard.alert_messages
SET
    route = :to,
    attempts = 0,
    next_try = clock_timestamp(),
    last_error = :note,
    lease_owner = NULL,
    lease_until = NULL
WHERE
    route = :route
    AND sent_at IS NULL
    AND given_up_at IS NULL
    AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING *;

-- name: give_up
-- What is not sent of a route is not to be sent any more; what is being sent stays as it is.
UPDATE posguard.alert_messages
SET given_up_at = clock_timestamp(), given_up_by = :by, lease_owner = NULL, lease_until = NULL
WHERE
    route = :route
    AND sent_at IS NULL
    AND given_up_at IS NULL
    AND (lease_until IS NULL OR lease_until <= clock_timestamp())
RETURNING *;

-- name: mark_rest_sent!
-- The alerts of messages that were given up, where another message of theirs was sent and none waits.
UPDATE posguard.alert_outbox AS o
SET sent_at = clock_timestamp()
WHERE
    o.sent_at IS NULL
    AND o.id IN (SELECT i.alert_id FROM posguard.alert_message_items AS i WHERE i.message_id = ANY(:ids::bigint []))
    AND EXISTS (
        SELECT FROM posguard.alert_message_items AS i
        INNER JOIN posguard.alert_messages AS m ON i.message_id = m.id
        WHERE i.alert_id = o.id AND m.sent_at IS NOT NULL
    )
    AND NOT EXISTS (
        SELECT FROM posguard.alert_message_items AS i
        INNER JOIN posguard.alert_messages AS m ON i.message_id = m.id
        WHERE i.alert_id = o.id AND m.sent_at IS NULL AND m.given_up_at IS NULL
    );

-- name: forget_alerts
-- Alerts that were sent before a time. Kept is every alert of a topic that stands, or of which something still waits: what stands
-- is known by them, and a late message tells by them what came after it.
DELETE FROM posguard.alert_outbox
WHERE id IN (
    SELECT o.id FROM posguard.alert_outbox AS o
    WHERE
        o.sent_at < :before
        AND o.created_at < :before
        AND (
            o.topic IS NULL
            OR (
                SELECT last.event FROM posguard.alert_outbox AS last
                WHERE last.topic = o.topic
                ORDER BY last.id DESC
                LIMIT 1
            ) = 'resolved'
            AND NOT EXISTS (
                SELECT FROM posguard.alert_outbox AS other
                WHERE
                    other.topic = o.topic
                    AND other.sent_at IS NULL
                    AND (
                        other.routed_at IS NULL
                        OR EXISTS (
                            SELECT FROM posguard.alert_message_items AS i
                            INNER JOIN posguard.alert_messages AS m ON i.message_id = m.id
                            WHERE i.alert_id = other.id AND m.sent_at IS NULL AND m.given_up_at IS NULL
                        )
                    )
            )
        )
    ORDER BY o.id
    LIMIT :limit
)
RETURNING id;

-- name: forget_messages
-- Messages that were sent before a time and whose alerts are all gone.
DELETE FROM posguard.alert_messages
WHERE id IN (
    SELECT m.id FROM posguard.alert_messages AS m
    WHERE
        m.sent_at < :before
        AND NOT EXISTS (SELECT FROM posguard.alert_message_items AS i WHERE i.message_id = m.id)
    ORDER BY m.id
    LIMIT :limit
)
RETURNING id;

-- name: begin_watch!
INSERT INTO posguard.alert_watch DEFAULT VALUES ON CONFLICT (only_row) DO NOTHING;

-- name: watch^
-- The last complete run over everything, and the last one that ended at all.
SELECT
    clock_timestamp() AS now,
    w.since,
    (
        SELECT finished_at FROM posguard.runs
        WHERE job = 'reconcile' AND outcome IN ('clean', 'problems') AND scope_exchange = '' AND scope_symbol = ''
        ORDER BY id DESC LIMIT 1
    ) AS complete,
    (
        SELECT finished_at FROM posguard.runs
        WHERE job = 'reconcile' AND outcome <> 'running' AND scope_exchange = '' AND scope_symbol = ''
        ORDER BY id DESC LIMIT 1
    ) AS ended
FROM posguard.alert_watch AS w;
