-- The request budget that all processes share. Its function does the work, so that a booking is one statement.

-- name: usable$
SELECT
    NOT pg_is_in_recovery()
    AND bool_and(coalesce(has_table_privilege(to_regclass(t.name), p.privilege), FALSE)) AS usable
FROM unnest(ARRAY['posguard.request_weight', 'posguard.request_pauses']) AS t (name)
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (privilege);

-- name: book^
SELECT
    b.booking,
    b.delay,
    b.paused,
    b.paused_why,
    b.barred,
    b.barred_why
FROM posguard.book_weight(
    :exchange, :address, :weight, :allowance, :span, :life, :at_once, :settled, :spent
) AS b;

-- name: pause!
INSERT INTO posguard.request_pauses AS p (exchange, address, only_reading, until, why)
VALUES (:exchange, :address, :only_reading, clock_timestamp() + :seconds, :why)
ON CONFLICT (exchange, address, only_reading) DO UPDATE
    SET until = excluded.until, why = excluded.why
    WHERE p.until < excluded.until;
