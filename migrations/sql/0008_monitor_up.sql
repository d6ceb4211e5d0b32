-- What the monitor sees: its runs, their snapshots, the alerts it raised and the counts of all time. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.monitor_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    interval_seconds double precision NOT NULL CHECK (interval_seconds > 0),
    log text NOT NULL DEFAULT '',
    owner text NOT NULL CHECK (owner <> ''),
    beats bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    report jsonb,
    CHECK (ends_at > started_at),
    CHECK ((finished_at IS NULL) = (report IS NULL))
);
COMMENT ON TABLE posguard.monitor_runs IS 'Watches of the monitor. owner is the process that goes on with it: one that takes a run over writes its own name, and the one before stops at its next write.';
CREATE UNIQUE INDEX monitor_runs_one_at_a_time ON posguard.monitor_runs ((true)) WHERE finished_at IS NULL;
CREATE INDEX monitor_runs_by_time ON posguard.monitor_runs (started_at);

CREATE TABLE posguard.monitor_snapshots (
    run_id bigint NOT NULL REFERENCES posguard.monitor_runs ON DELETE CASCADE,
    number bigint NOT NULL CHECK (number > 0),
    at timestamptz NOT NULL,
    taken_at timestamptz,
    missed text NOT NULL DEFAULT '',
    snapshot jsonb NOT NULL CHECK (jsonb_typeof(snapshot) = 'object'),
    PRIMARY KEY (run_id, number),
    CHECK ((taken_at IS NULL) = (missed <> ''))
);
COMMENT ON TABLE posguard.monitor_snapshots IS 'One row for each moment at which a snapshot was due, missed ones with the reason. snapshot is the line of the JSONL file.';
CREATE INDEX monitor_snapshots_by_time ON posguard.monitor_snapshots (at);

CREATE TABLE posguard.monitor_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES posguard.monitor_runs ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind <> ''),
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    exchange text NOT NULL DEFAULT '',
    position_id bigint,
    text text NOT NULL,
    raised_at timestamptz NOT NULL,
    cleared_at timestamptz CHECK (cleared_at > raised_at)
);
COMMENT ON TABLE posguard.monitor_alerts IS 'Alerts of the monitor, from the snapshot that raised each to the one that cleared it. Written with their rows of posguard.alert_outbox.';
CREATE UNIQUE INDEX monitor_alerts_raised_once ON posguard.monitor_alerts (kind, subject) WHERE cleared_at IS NULL;
CREATE INDEX monitor_alerts_by_time ON posguard.monitor_alerts (raised_at);
CREATE INDEX monitor_alerts_by_run ON posguard.monitor_alerts (run_id);

CREATE TABLE posguard.monitor_counters (
    part text PRIMARY KEY CHECK (part IN ('events', 'positions', 'closings')),
    settled_id bigint NOT NULL DEFAULT 0 CHECK (settled_id >= 0),
    settled_at timestamptz,
    mark_id bigint CHECK (mark_id >= settled_id),
    mark_at timestamptz,
    mark_xid bigint,
    rules text NOT NULL DEFAULT '',
    counts jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counts) = 'object'),
    CHECK (mark_xid IS NULL OR mark_id IS NOT NULL OR mark_at IS NOT NULL)
);
COMMENT ON TABLE posguard.monitor_counters IS 'Counts of all time: counts holds what lies up to settled, of which no transaction can add any more; what is behind is read anew each time. mark becomes the next settled once every transaction before mark_xid has ended.';
