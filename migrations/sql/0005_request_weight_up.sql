-- The request budget that all processes on one address share. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.request_weight (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL CHECK (exchange <> ''),
    address text NOT NULL CHECK (address <> ''),
    weight bigint NOT NULL CHECK (weight >= 0),
    spend_from timestamptz NOT NULL,
    spend_until timestamptz NOT NULL,
    CHECK (spend_until >= spend_from)
);
COMMENT ON TABLE posguard.request_weight IS 'Request weight that a process may spend at an address between two times; it counts until one window after the second.';
CREATE INDEX request_weight_by_address ON posguard.request_weight (exchange, address, spend_until);

CREATE TABLE posguard.request_pauses (
    exchange text NOT NULL CHECK (exchange <> ''),
    address text NOT NULL CHECK (address <> ''),
    only_reading boolean NOT NULL,
    until timestamptz NOT NULL,
    why text NOT NULL,
    PRIMARY KEY (exchange, address, only_reading)
);
COMMENT ON TABLE posguard.request_pauses IS 'Until when a venue wants no requests from an address, or no reading ones.';

-- Books weight at the earliest time at which the bookings of no window hold more than the allowance, first come first served.
-- What `settled` booked is first cut down to what was spent of it. `at_once` is for what was sent already.
CREATE FUNCTION posguard.book_weight(
    the_exchange text, the_address text, wanted bigint, allowance bigint, span interval, life interval, at_once boolean,
    settled bigint, spent bigint,
    OUT booking bigint, OUT delay double precision, OUT paused double precision, OUT paused_why text,
    OUT barred double precision, OUT barred_why text
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    present timestamptz;
    begins timestamptz;
    total bigint;
    held record;
BEGIN
    -- One transaction at a time for an address; the lock ends with it, so that a pooler in transaction mode is fine.
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'posguard weight', the_exchange, the_address), 0));
    present := clock_timestamp();
    UPDATE posguard.request_weight AS w
    SET weight = spent, spend_from = least(w.spend_from, present), spend_until = least(w.spend_until, present)
    WHERE w.id = settled AND w.weight >= spent;
    DELETE FROM posguard.request_weight AS w
    WHERE w.exchange = the_exchange AND w.address = the_address AND (w.spend_until + span <= present OR w.weight = 0);

    SELECT extract(EPOCH FROM p.until - present), p.why INTO paused, paused_why FROM posguard.request_pauses AS p
    WHERE p.exchange = the_exchange AND p.address = the_address AND p.until > present
    ORDER BY p.until DESC LIMIT 1;
    SELECT extract(EPOCH FROM p.until - present), p.why INTO barred, barred_why FROM posguard.request_pauses AS p
    WHERE p.exchange = the_exchange AND p.address = the_address AND p.until > present AND NOT p.only_reading;

    begins := present;
    IF NOT at_once AND wanted > 0 THEN
        SELECT greatest(present + make_interval(secs => coalesce(paused, 0)), max(w.spend_from)), coalesce(sum(w.weight), 0)
        INTO begins, total
        FROM posguard.request_weight AS w WHERE w.exchange = the_exchange AND w.address = the_address;
        FOR held IN
            SELECT w.weight, w.spend_until + span AS counts_until FROM posguard.request_weight AS w
            WHERE w.exchange = the_exchange AND w.address = the_address ORDER BY w.spend_until
        LOOP
            EXIT WHEN held.counts_until > begins AND total + wanted <= allowance;
            begins := greatest(begins, held.counts_until);
            total := total - held.weight;
        END LOOP;
    END IF;
    delay := extract(EPOCH FROM begins - present);
    IF wanted > 0 THEN
        INSERT INTO posguard.request_weight (exchange, address, weight, spend_from, spend_until)
        VALUES (the_exchange, the_address, wanted, begins, begins + CASE WHEN at_once THEN interval '0' ELSE life END)
        RETURNING id INTO booking;
    END IF;
END
$function$;
