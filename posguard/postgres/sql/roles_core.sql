-- posguard_core: what the bot's trading core logs in with. It reads, adds and changes rows of the bot's positions and deletes
-- none; of posguard's tables it adds alerts, keeps the protection gaps, the kill switch and the request budget, and reads the transitions that the
-- trigger writes. Run it after posguard_migration's part, as the same user, and once more after `posguard db upgrade`; again is
-- fine. The bot's own role may be granted it instead: GRANT posguard_core TO the_bots_role.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'posguard_core') THEN
        CREATE ROLE posguard_core LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO posguard_core', current_database());
END
$$;
GRANT USAGE ON SCHEMA monitoring, posguard TO posguard_core;
GRANT SELECT, INSERT, UPDATE ON monitoring.positions TO posguard_core;
-- New rows take their ids from the bot's sequence.
GRANT USAGE ON ALL SEQUENCES IN SCHEMA monitoring TO posguard_core;
DO $$
BEGIN
    IF to_regclass('posguard.kill_switch') IS NULL THEN
        RAISE NOTICE 'posguard''s tables are not there yet: run this once more after `posguard db upgrade`';
        RETURN;
    END IF;
    GRANT SELECT ON posguard.transitions, posguard.ignore_rules TO posguard_core;
    GRANT SELECT, INSERT ON posguard.alert_outbox TO posguard_core;
    GRANT SELECT, INSERT, UPDATE ON posguard.protection_gaps TO posguard_core;
    GRANT SELECT, UPDATE ON posguard.kill_switch TO posguard_core;
    IF to_regclass('posguard.request_weight') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON posguard.request_weight, posguard.request_pauses TO posguard_core;
    END IF;
END
$$;
