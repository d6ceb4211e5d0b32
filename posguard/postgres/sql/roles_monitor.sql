-- posguard_monitor: what `posguard monitor` and `posguard metrics` log in with. It reads the bot's tables and cannot change them; of posguard's it
-- keeps the monitor's own, adds alerts, and sends them. Run it after posguard_migration's part, as the same user, and once more after
-- `posguard db upgrade` or when the bot has new tables; again is fine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'posguard_monitor') THEN
        CREATE ROLE posguard_monitor LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO posguard_monitor', current_database());
END
$$;
GRANT USAGE ON SCHEMA monitoring, posguard TO posguard_monitor;
GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO posguard_monitor;
DO $$
BEGIN
    IF to_regclass('posguard.monitor_runs') IS NULL THEN
        RAISE NOTICE 'posguard''s tables are not there yet: run this once more after `posguard db upgrade`';
        RETURN;
    END IF;
    GRANT SELECT ON posguard.schema_version TO posguard_monitor;
    -- for `posguard metrics`
    GRANT SELECT
    ON posguard.runs, posguard.run_venues, posguard.findings, posguard.suite_results, posguard.protection_gaps,
    posguard.kill_switch
    TO posguard_monitor;
    GRANT SELECT, INSERT, UPDATE, DELETE
    ON posguard.monitor_runs, posguard.monitor_snapshots, posguard.monitor_alerts, posguard.monitor_counters
    TO posguard_monitor;
    GRANT SELECT, INSERT ON posguard.alert_outbox TO posguard_monitor;
    -- for `posguard alerts send`
    IF to_regclass('posguard.alert_messages') IS NOT NULL THEN
        GRANT SELECT, INSERT, UPDATE
        ON posguard.alert_outbox, posguard.alert_messages, posguard.alert_message_items, posguard.alert_watch
        TO posguard_monitor;
        -- what was sent long ago
        GRANT DELETE ON posguard.alert_outbox, posguard.alert_messages TO posguard_monitor;
    END IF;
END
$$;
