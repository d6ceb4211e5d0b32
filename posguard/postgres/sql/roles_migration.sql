-- posguard_migration: runs `posguard db upgrade` and `posguard db downgrade`, and owns the schema posguard. It reads nothing of
-- the bot's but that monitoring.positions exists. Run this as a superuser or the database's owner; again is fine.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'posguard_migration') THEN
        CREATE ROLE posguard_migration LOGIN;
    END IF;
END
$$;
DO $$
DECLARE
    owned record;
BEGIN
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO posguard_migration', current_database());
    -- Whoever makes a schema for another role must be a member of it; a superuser is one of every role.
    IF NOT pg_has_role(current_user, 'posguard_migration', 'MEMBER') THEN
        EXECUTE format('GRANT posguard_migration TO %I', current_user);
    END IF;
    CREATE SCHEMA IF NOT EXISTS posguard AUTHORIZATION posguard_migration;
    ALTER SCHEMA posguard OWNER TO posguard_migration;
    FOR owned IN SELECT c.relname FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'posguard'::regnamespace AND c.relkind IN ('r', 'p')
    LOOP
        EXECUTE format('ALTER TABLE posguard.%I OWNER TO posguard_migration', owned.relname);
    END LOOP;
    -- They make and drop partitions of a table of this schema, with the rights of their own owner.
    FOR owned IN SELECT p.oid::regprocedure AS signature FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'posguard'::regnamespace AND p.proname IN ('make_log_partition', 'drop_log_partitions')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO posguard_migration', owned.signature);
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA monitoring TO posguard_migration;
GRANT SELECT ON monitoring.positions TO posguard_migration;
