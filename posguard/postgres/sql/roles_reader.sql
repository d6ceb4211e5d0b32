-- posguard_reader: what the hourly reconciliation, `posguard check`, `diagnose`, `reconcile`, `findings` and the page log in
-- with. It reads the bot's tables and cannot change them; it writes posguard's own. Run it after posguard_migration's part, as
-- the same user, and once more when the bot has new tables; again is fine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'posguard_reader') THEN
        CREATE ROLE posguard_reader LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO posguard_reader', current_database());
END
$$;
GRANT USAGE ON SCHEMA monitoring, posguard TO posguard_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO posguard_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA posguard TO posguard_reader;
-- Tables that later upgrades add.
ALTER DEFAULT PRIVILEGES FOR ROLE posguard_migration IN SCHEMA posguard
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO posguard_reader;
