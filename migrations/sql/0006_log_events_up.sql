-- What the bot's logs say, month by month, and which file said it. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.log_events (
    source text NOT NULL CHECK (source <> ''),
    at timestamptz NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 16),
    ordinal bigint NOT NULL CHECK (ordinal >= 0),
    complete boolean NOT NULL,
    kind text NOT NULL CHECK (kind <> ''),
    category text NOT NULL CHECK (category <> ''),
    level text NOT NULL,
    module text NOT NULL,
    message text NOT NULL,
    pattern text NOT NULL,
    symbol text,
    exchange text,
    side text,
    status text,
    position_id bigint,
    order_id text,
    quantity numeric,
    price numeric,
    latency_ms double precision,
    fields jsonb NOT NULL DEFAULT '{}',
    file_id bigint NOT NULL,
    file_offset bigint NOT NULL CHECK (file_offset >= 0),
    file_size bigint NOT NULL CHECK (file_size >= 0),
    PRIMARY KEY (source, at, content_hash, ordinal)
) PARTITION BY RANGE (at);
COMMENT ON TABLE posguard.log_events IS 'One row per record of the bot''s logs that a pattern knows; loaded again it is the same row. Partitions are months in UTC, made by posguard.make_log_partition.';
COMMENT ON COLUMN posguard.log_events.ordinal IS 'Which of the records with the same source, time and content it is, from 0.';
COMMENT ON COLUMN posguard.log_events.complete IS 'False for what was the last record of its file: further lines of it may come.';
COMMENT ON COLUMN posguard.log_events.file_id IS 'The row of posguard.log_files whose load brought it; file_offset and file_size are bytes of that file as it reads uncompressed.';
CREATE INDEX log_events_by_symbol ON posguard.log_events (symbol, at) WHERE symbol IS NOT NULL;
CREATE INDEX log_events_incomplete ON posguard.log_events (source, at) WHERE NOT complete;

CREATE TABLE posguard.log_files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL CHECK (source <> ''),
    path text NOT NULL CHECK (path <> ''),
    head_hash bytea NOT NULL CHECK (octet_length(head_hash) = 16),
    size bigint CHECK (size >= 0),
    interval_start timestamptz,
    interval_end timestamptz,
    program text NOT NULL CHECK (program IN ('cli', 'airflow')),
    external_id text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    bytes_read bigint CHECK (bytes_read >= 0),
    bytes_skipped bigint CHECK (bytes_skipped >= 0),
    first_at timestamptz,
    last_at timestamptz,
    earliest timestamptz,
    latest timestamptz,
    events bigint CHECK (events >= 0),
    new_events bigint CHECK (new_events >= 0),
    refused bigint CHECK (refused >= 0),
    CHECK ((interval_start IS NULL) = (interval_end IS NULL) AND interval_start < interval_end),
    CHECK (finished_at IS NULL OR (bytes_read IS NOT NULL AND events IS NOT NULL AND new_events IS NOT NULL))
);
COMMENT ON TABLE posguard.log_files IS 'One row per load of a file; without finished_at it is under way or died, and what it had loaded stays.';
COMMENT ON COLUMN posguard.log_files.head_hash IS 'Of the first record''s line: it tells a file again under another name, compressed or grown.';
COMMENT ON COLUMN posguard.log_files.first_at IS 'The time of the file''s first record, whether an event or not; last_at that of the last one; earliest and latest are those of its events.';
CREATE INDEX log_files_by_head ON posguard.log_files (source, head_hash) WHERE finished_at IS NOT NULL;

CREATE TABLE posguard.log_edges (
    source text NOT NULL,
    head_hash bytea NOT NULL,
    edge text NOT NULL CHECK (edge IN ('first', 'last', 'both')),
    at timestamptz NOT NULL,
    content_hash bytea NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    bytes_read bigint NOT NULL,
    PRIMARY KEY (source, at, content_hash, head_hash, edge)
);
COMMENT ON TABLE posguard.log_edges IS 'How many identical records a file has at the very time of its first or last record: where a set of files is cut, the rest is in the neighbour.';
CREATE INDEX log_edges_by_file ON posguard.log_edges (source, head_hash);

CREATE TABLE posguard.log_intervals (
    source text NOT NULL CHECK (source <> ''),
    interval_start timestamptz NOT NULL,
    interval_end timestamptz NOT NULL,
    external_id text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, interval_start, interval_end),
    CHECK (interval_start < interval_end)
);
COMMENT ON TABLE posguard.log_intervals IS 'The data intervals whose loading ended well, by source: what turns up in them later is a late line.';

CREATE TABLE posguard.log_races (
    fingerprint text PRIMARY KEY REFERENCES posguard.findings (fingerprint),
    source text NOT NULL CHECK (source <> ''),
    at timestamptz NOT NULL,
    symbol text NOT NULL,
    race jsonb NOT NULL
);
COMMENT ON TABLE posguard.log_races IS 'What the log tells of each race that is a finding: its creates and its time line, as posguard.model.race writes them.';
CREATE INDEX log_races_by_time ON posguard.log_races (at);

-- Findings of what a log tells belong to a run as well; it looked at no venue, and says nothing of how things stand.
ALTER TABLE posguard.runs ADD COLUMN job text NOT NULL DEFAULT 'reconcile';
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE posguard.runs ADD CONSTRAINT runs_job_check CHECK (job IN ('reconcile', 'logs'));

-- Makes the partition of a month where it is not there. The loader's role owns nothing here, so the owner's rights are lent; who
-- may not insert may not make a partition either. Attached rather than created in place: that waits for no reader or writer.
CREATE FUNCTION posguard.make_log_partition(of_time timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '10s'
AS $function$
DECLARE
    month_start timestamptz := date_trunc('month', of_time);
    month_end timestamptz := date_trunc('month', of_time) + interval '1 month';
    named text := 'log_events_' || to_char(date_trunc('month', of_time), 'YYYY_MM');
BEGIN
    IF NOT has_table_privilege(session_user, 'posguard.log_events', 'INSERT') THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'permission denied to make a partition of posguard.log_events';
    END IF;
    IF of_time IS NULL OR of_time < '2000-01-01' OR of_time >= '2200-01-01' THEN
        RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow', MESSAGE = concat('no log has a record at ', of_time);
    END IF;
    IF to_regclass('posguard.' || named) IS NOT NULL THEN
        RETURN named;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('posguard.log_events.partitions', 0));
    -- Asked of the table and not of to_regclass, whose cache need not know yet what the lock was waited for.
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'posguard'::regnamespace AND relname = named) THEN
        EXECUTE concat('CREATE TABLE posguard.', quote_ident(named), ' (LIKE posguard.log_events INCLUDING ALL)');
        EXECUTE concat(
            'ALTER TABLE posguard.log_events ATTACH PARTITION posguard.', quote_ident(named),
            ' FOR VALUES FROM (', quote_literal(month_start), ') TO (', quote_literal(month_end), ')'
        );
    END IF;
    RETURN named;
END
$function$;

-- Drops the partitions that lie wholly before a time; returns their names. Who may not delete may not drop.
CREATE FUNCTION posguard.drop_log_partitions(before timestamptz) RETURNS text []
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '10s'
AS $function$
DECLARE
    dropped text [] := '{}';
    named text;
BEGIN
    IF NOT has_table_privilege(session_user, 'posguard.log_events', 'DELETE') THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'permission denied to drop a partition of posguard.log_events';
    END IF;
    IF before IS NULL OR before > clock_timestamp() - interval '7 days' THEN
        RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'log events are kept for seven days at least';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('posguard.log_events.partitions', 0));
    FOR named IN
        SELECT c.relname FROM pg_inherits AS i
        INNER JOIN pg_class AS c ON i.inhrelid = c.oid
        WHERE
            i.inhparent = 'posguard.log_events'::regclass
            AND c.relname ~ '^log_events_[0-9]{4}_[0-9]{2}$'
            AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE concat('DROP TABLE posguard.', quote_ident(named));
        dropped := dropped || named;
    END LOOP;
    RETURN dropped;
END
$function$;
