-- posguard's own tables. Nothing of the bot's is touched: no reference, no trigger, no lock on its tables.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    source text NOT NULL CHECK (source IN ('cli', 'airflow')),
    external_id text NOT NULL DEFAULT '',
    interval_start timestamptz,
    interval_end timestamptz,
    world text NOT NULL,
    database_fingerprint text NOT NULL,
    outcome text NOT NULL DEFAULT 'running'
        CHECK (outcome IN ('running', 'clean', 'problems', 'inconclusive', 'failed')),
    rows_read bigint,
    rows_compared bigint,
    skipped jsonb NOT NULL DEFAULT '[]',
    counts jsonb NOT NULL DEFAULT '{}',
    notes jsonb NOT NULL DEFAULT '[]',
    statistics jsonb NOT NULL DEFAULT '{}',
    scope_exchange text NOT NULL DEFAULT '',
    scope_symbol text NOT NULL DEFAULT ''
);
COMMENT ON TABLE posguard.runs IS 'One row per reconciliation pass; outcome running is a pass under way or one that died.';
CREATE INDEX runs_by_time ON posguard.runs (started_at DESC);
CREATE INDEX runs_by_external_id ON posguard.runs (external_id) WHERE external_id <> '';

CREATE TABLE posguard.run_venues (
    run_id bigint NOT NULL REFERENCES posguard.runs (id) ON DELETE CASCADE,
    exchange text NOT NULL,
    account text NOT NULL,
    world text NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('conclusive', 'inconclusive')),
    reasons jsonb NOT NULL DEFAULT '[]',
    snapshots bigint NOT NULL,
    positions bigint NOT NULL,
    orders bigint NOT NULL,
    clock_skew_ms bigint,
    looked_at timestamptz,
    PRIMARY KEY (run_id, exchange, account)
);

CREATE TABLE posguard.findings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text NOT NULL UNIQUE,
    kind text NOT NULL,
    exchange text NOT NULL,
    account text NOT NULL,
    symbol text NOT NULL,
    position_side text NOT NULL,
    subject text NOT NULL DEFAULT '',
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    proof text NOT NULL CHECK (proof IN ('suspected', 'proven')),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'dismissed', 'resolved')),
    title text NOT NULL,
    row_ids bigint [] NOT NULL DEFAULT '{}',
    order_ids text [] NOT NULL DEFAULT '{}',
    detail jsonb NOT NULL DEFAULT '{}',
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    first_run bigint NOT NULL REFERENCES posguard.runs (id),
    last_run bigint NOT NULL REFERENCES posguard.runs (id),
    clean_passes bigint NOT NULL DEFAULT 0,
    resolved_at timestamptz,
    reopened bigint NOT NULL DEFAULT 0,
    decided_by text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    until timestamptz
);
COMMENT ON TABLE posguard.findings IS 'One row per problem, found again by its fingerprint; never deleted.';
CREATE INDEX findings_unresolved ON posguard.findings (severity, kind) WHERE state <> 'resolved';
CREATE INDEX findings_by_last_run ON posguard.findings (last_run);

CREATE TABLE posguard.finding_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    finding_id bigint NOT NULL REFERENCES posguard.findings (id),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event text NOT NULL CHECK (event IN (
        'found', 'proven', 'suspected', 'changed', 'acknowledged', 'dismissed', 'resolved', 'reopened'
    )),
    run_id bigint REFERENCES posguard.runs (id),
    actor text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT ''
);
COMMENT ON TABLE posguard.finding_events IS 'What happened to a finding, beside its present state.';
CREATE INDEX finding_events_by_finding ON posguard.finding_events (finding_id, id);
CREATE INDEX finding_events_by_run ON posguard.finding_events (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE posguard.ignore_rules (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL,
    account text NOT NULL DEFAULT 'main',
    symbol text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz
);
COMMENT ON TABLE posguard.ignore_rules IS 'Positions traded by hand: their findings are dismissed and never enter a plan.';
CREATE INDEX ignore_rules_by_key ON posguard.ignore_rules (exchange, account, symbol);

CREATE TABLE posguard.suite_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL REFERENCES posguard.runs (id) ON DELETE CASCADE,
    suite text NOT NULL,
    expectation text NOT NULL,
    title text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    owner text NOT NULL,
    result text NOT NULL CHECK (result IN ('pass', 'violation', 'error', 'not_applicable')),
    rows_checked bigint,
    failing bigint NOT NULL DEFAULT 0,
    failing_keys jsonb NOT NULL DEFAULT '[]',
    message text NOT NULL DEFAULT '',
    query text NOT NULL DEFAULT '',
    UNIQUE (run_id, suite, expectation)
);
COMMENT ON TABLE posguard.suite_results IS 'One row per expectation and run; error means it could not be judged, which is not a violation; not_applicable that the deployment lacks its column.';
