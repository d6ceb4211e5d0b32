-- Named baselines: how the bot did over a past period, for later periods to be measured against. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.baselines (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,39}$'),
    period_from timestamptz NOT NULL,
    period_to timestamptz NOT NULL,
    measures jsonb NOT NULL CHECK (jsonb_typeof(measures) = 'object'),
    created_by text NOT NULL CHECK (created_by <> ''),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (period_to > period_from)
);
COMMENT ON TABLE posguard.baselines IS 'How the bot did over a period that somebody named; a name never changes its meaning.';
