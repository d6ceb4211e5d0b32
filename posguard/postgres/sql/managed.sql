-- The rows of monitoring.positions that the trading core manages. Each statement is complete in itself, so that it may run
-- alone (a transaction of its own) or with others. The predicate over the statuses stands in literals everywhere: with a
-- parameter in it the server would find the guard's index five times and not the sixth.

-- name: lock_key!
-- Layer 1: held until the transaction ends, so that it works behind a pooler too.
SELECT pg_advisory_xact_lock(:lock_key);

-- name: standing^
-- Layer 1: the row of a request key, else the open row of the key, whatever its open status; and the kill switch.
WITH
asked AS (
    SELECT p.id FROM monitoring.positions AS p
    WHERE p.request_key = :request_key
),

held AS (
    SELECT p.id
    FROM monitoring.positions AS p
    WHERE
        lower(btrim(p.exchange) COLLATE "C") = :exchange
        AND p.account = :account
        AND upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        AND p.position_side = :position_side
        AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    ORDER BY p.id
    LIMIT 1
)

SELECT
    (SELECT asked.id FROM asked) AS asked,
    (SELECT held.id FROM held) AS held,
    k.engaged,
    k.reason
FROM posguard.kill_switch AS k;

-- name: give_birth^
-- Layer 2: the guard's index decides. A row that is adopted (unseen_since) is refused where any row of its key has changed
-- since the venue was looked at: what was seen may have been that row's.
WITH said AS MATERIALIZED (
    SELECT
        set_config('posguard.actor', :actor::text, true),
        set_config('posguard.origin', :origin::text, true),
        set_config('posguard.reason', :reason::text, true)
)

INSERT INTO monitoring.positions (
    exchange, account, symbol, position_side, side, quantity, entry_price, status, core_managed, request_key, attempt,
    entry_client_id, stop_client_id, stop_loss_order_id, stop_loss_price, has_stop_loss, signal_stop_loss_percent,
    signal_id, origin, lease_owner, lease_until, fencing, unprotected_since
)
SELECT
    :exchange::text,
    :account::text,
    :symbol::text,
    :position_side::text,
    :side::text,
    :quantity,
    :entry_price,
    :status::text,
    true,
    :request_key::text,
    :attempt,
    :entry_client_id::text,
    :stop_client_id::text,
    :stop_loss_order_id::text,
    :stop_loss_price,
    :status::text = 'active',
    :stop_percent,
    :signal_id,
    :origin::text,
    :lease_owner::text,
    clock_timestamp() + :lease::interval,
    1,
    CASE WHEN :status::text = 'pending_sl' THEN clock_timestamp() END
FROM said
WHERE
    :unseen_since::timestamptz IS NULL
    OR NOT EXISTS (
        SELECT
        FROM monitoring.positions AS p
        INNER JOIN posguard.transitions AS t ON p.id = t.position_id
        WHERE
            t.at >= :unseen_since::timestamptz
            AND lower(btrim(p.exchange) COLLATE "C") = :exchange::text
            AND p.account = :account::text
            AND upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol::text
    )
ON CONFLICT (
    lower(btrim(exchange) COLLATE "C"), account,
    upper(translate(split_part(symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C"), position_side
) WHERE coalesce(status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
DO NOTHING
RETURNING id, version, inserted_at, unprotected_since;

-- name: open_gap!
-- A position that was adopted without a stop is unprotected from its first sight.
INSERT INTO posguard.protection_gaps (position_id, began, reason)
VALUES (:id, :began, :reason)
ON CONFLICT (position_id) WHERE ended IS NULL DO NOTHING;

-- name: advance^
-- Compare and set on status, version and fencing. The change, its record (by the trigger), its alert and the protection gap
-- that it opens or ends are one transaction. alone (layer 3): not where a rival's row comes first, which is one that is older,
-- active, or not the core's.
WITH
said AS MATERIALIZED (
    SELECT
        set_config('posguard.actor', :actor::text, true),
        set_config('posguard.origin', :said_origin::text, true),
        set_config('posguard.reason', :reason::text, true)
),

moved AS (
    UPDATE monitoring.positions AS p
    SET
        status = :status::text,
        quantity = :quantity,
        entry_price = :entry_price,
        exchange_order_id = :exchange_order_id::text,
        attempt = :attempt,
        stop_client_id = :stop_client_id::text,
        stop_loss_order_id = :stop_loss_order_id::text,
        stop_loss_price = :stop_loss_price,
        has_stop_loss = :has_stop_loss,
        needs_attention = :needs_attention,
        attention_reason = :attention_reason::text,
        exit_reason = :exit_reason::text,
        closed_at = CASE WHEN :ended::boolean THEN clock_timestamp() ELSE p.closed_at END,
        unprotected_since = CASE
            WHEN :unprotected::boolean
                THEN coalesce(p.unprotected_since, least(:since::timestamptz, clock_timestamp()), clock_timestamp())
        END,
        lease_owner = CASE WHEN :keeps::boolean THEN p.lease_owner END,
        lease_until = CASE WHEN :keeps::boolean THEN clock_timestamp() + :lease::interval END,
        updated_at = clock_timestamp()
    FROM said
    WHERE
        p.id = :id
        AND p.status = :from_status::text
        AND p.version = :version
        AND p.fencing = :fencing
        AND (
            NOT :alone::boolean
            OR NOT EXISTS (
                SELECT
                FROM monitoring.positions AS r
                WHERE
                    lower(btrim(r.exchange) COLLATE "C") = :exchange::text
                    AND r.account = :account::text
                    AND upper(translate(split_part(r.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol::text
                    AND r.position_side = :position_side::text
                    AND coalesce(r.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
                    AND r.id <> :id
                    AND (r.id < :id OR r.status = 'active' OR NOT r.core_managed)
            )
        )
    RETURNING p.id, p.version, p.unprotected_since
),

told AS (
    INSERT INTO posguard.alert_outbox (key, severity, kind, position_id, text, payload)
    SELECT
        :alert_key::text,
        :alert_severity::text,
        :alert_kind::text,
        moved.id,
        :alert_text::text,
        jsonb_build_object('position_id', moved.id, 'version', moved.version)
    FROM moved
    WHERE :alert_key::text IS NOT NULL
    ON CONFLICT (key) DO NOTHING
),

gap_begun AS (
    INSERT INTO posguard.protection_gaps (position_id, began, reason)
    SELECT
        moved.id,
        moved.unprotected_since,
        :reason::text
    FROM moved
    WHERE moved.unprotected_since IS NOT NULL
    ON CONFLICT (position_id) WHERE ended IS NULL DO NOTHING
),

gap_ended AS (
    UPDATE posguard.protection_gaps AS g
    SET ended = greatest(clock_timestamp(), g.began)
    FROM moved
    WHERE g.position_id = moved.id AND g.ended IS NULL AND moved.unprotected_since IS NULL
)

SELECT
    moved.version,
    moved.unprotected_since,
    (SELECT k.engaged FROM posguard.kill_switch AS k) AS engaged
FROM moved;

-- name: rivals
-- Layer 3: other open rows of the key. For the loser's roll-back, how much of the venue's position is theirs.
SELECT
    p.id,
    p.status,
    p.side,
    p.quantity,
    p.core_managed
FROM monitoring.positions AS p
WHERE
    lower(btrim(p.exchange) COLLATE "C") = :exchange
    AND p.account = :account
    AND upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
    AND p.position_side = :position_side
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    AND p.id <> :id
ORDER BY p.id;

-- name: row^
SELECT
    p.id, p.exchange, p.account, p.symbol, p.position_side, p.side, p.quantity, p.entry_price, p.status, p.version,
    p.fencing, p.request_key, p.attempt, p.entry_client_id, p.stop_client_id, p.exchange_order_id, p.stop_loss_order_id,
    p.stop_loss_price, p.signal_stop_loss_percent, p.needs_attention, p.attention_reason, p.exit_reason, p.origin,
    p.unprotected_since, p.inserted_at, p.lease_owner, p.core_managed
FROM monitoring.positions AS p
WHERE p.id = :id;

-- name: others_orders
-- Which of some order ids are other rows' of the market, ended ones included.
SELECT
    p.exchange_order_id,
    p.stop_loss_order_id
FROM monitoring.positions AS p
WHERE
    lower(btrim(p.exchange) COLLATE "C") = :exchange
    AND p.account = :account
    AND upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
    AND p.id <> :id
    AND (p.exchange_order_id = ANY(:order_ids::text []) OR p.stop_loss_order_id = ANY(:order_ids::text []));

-- name: claim^
-- DB-6: work is claimed by lease and fencing. A lease that its owner did not give back is taken over only after it has run
-- out for as long as an order of his may still be executed.
UPDATE monitoring.positions AS p
SET
    lease_owner = :lease_owner,
    lease_until = clock_timestamp() + :lease::interval,
    fencing = p.fencing + 1
WHERE
    p.id = :id
    AND p.core_managed
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    AND (p.lease_owner IS NULL OR p.lease_until + :settle::interval < clock_timestamp())
RETURNING
    p.id, p.exchange, p.account, p.symbol, p.position_side, p.side, p.quantity, p.entry_price, p.status, p.version,
    p.fencing, p.request_key, p.attempt, p.entry_client_id, p.stop_client_id, p.exchange_order_id, p.stop_loss_order_id,
    p.stop_loss_price, p.signal_stop_loss_percent, p.needs_attention, p.attention_reason, p.exit_reason, p.origin,
    p.unprotected_since, p.inserted_at, p.lease_owner, p.core_managed;

-- name: renew$
UPDATE monitoring.positions AS p
SET lease_until = clock_timestamp() + :lease::interval
WHERE p.id = :id AND p.fencing = :fencing AND p.lease_owner IS NOT NULL
RETURNING p.id;

-- name: give_back!
-- Settled: whoever comes next may go on at once. Not settled: the lease ends now, and a successor waits as for a dead owner.
UPDATE monitoring.positions AS p
SET
    lease_owner = CASE WHEN :settled::boolean THEN NULL ELSE p.lease_owner END,
    lease_until = CASE WHEN :settled::boolean THEN NULL ELSE clock_timestamp() END
WHERE p.id = :id AND p.fencing = :fencing AND p.lease_owner IS NOT NULL;

-- name: due
-- Rows that somebody has to go on with, oldest first: unfinished ones that nobody works on, and those of an owner who died.
SELECT
    p.id,
    coalesce(k.engaged, false) AS engaged,
    coalesce(k.reason, '') AS reason
FROM monitoring.positions AS p
LEFT JOIN posguard.kill_switch AS k ON true
WHERE
    p.core_managed
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
    AND (
        (p.lease_owner IS NULL AND p.status <> 'active')
        OR p.lease_until + :settle::interval < clock_timestamp()
    )
ORDER BY p.id;

-- name: id_of_request$
SELECT p.id FROM monitoring.positions AS p
WHERE p.request_key = :request_key;

-- name: switch^
SELECT
    k.engaged,
    k.reason
FROM posguard.kill_switch AS k;

-- name: throw_switch!
UPDATE posguard.kill_switch
SET engaged = :engaged, reason = :reason, actor = :actor, changed_at = clock_timestamp();

-- name: tell!
INSERT INTO posguard.alert_outbox (key, severity, kind, position_id, text)
VALUES (:key, :severity, :kind, :position_id, :text)
ON CONFLICT (key) DO NOTHING;

-- name: owned
-- Every open row of a venue, of the old code's too, and the server's clock: what changed since is asked against it.
SELECT
    p.id,
    upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") AS symbol,
    p.position_side,
    p.side,
    p.quantity,
    p.status,
    p.request_key,
    p.stop_loss_order_id,
    p.core_managed,
    p.lease_owner IS NOT NULL AS leased
FROM monitoring.positions AS p
WHERE
    lower(btrim(p.exchange) COLLATE "C") = :exchange
    AND p.account = :account
    AND coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
ORDER BY p.id;

-- name: now$
SELECT clock_timestamp();
