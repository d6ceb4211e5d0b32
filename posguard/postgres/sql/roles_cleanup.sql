-- posguard_cleanup: for `posguard cleanup --confirm` and `posguard restore`; leave this part out until you use them. Beside what
-- posguard_reader may, it changes and adds rows of the bot's positions, orders and events, and deletes none. Run it after the
-- reader's part, as the same user; again is fine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'posguard_cleanup') THEN
        CREATE ROLE posguard_cleanup LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO posguard_cleanup', current_database());
END
$$;
GRANT posguard_reader TO posguard_cleanup;
GRANT INSERT, UPDATE ON monitoring.positions, monitoring.orders, monitoring.events TO posguard_cleanup;
-- Taking a cleanup of rows that the core manages back; granted where posguard's schema is new enough to know it.
DO $$
BEGIN
    IF to_regprocedure('posguard.announce_restore(bigint, bigint)') IS NOT NULL THEN
        GRANT EXECUTE ON FUNCTION posguard.announce_restore(bigint, bigint) TO posguard_cleanup;
    END IF;
END
$$;
-- New rows take their ids from the bot's sequences.
GRANT USAGE ON ALL SEQUENCES IN SCHEMA monitoring TO posguard_cleanup;
