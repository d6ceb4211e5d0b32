-- The reports of audits that were made in Airflow, one for each window and run. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.audits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    built_at timestamptz NOT NULL,
    identity text NOT NULL UNIQUE CHECK (identity <> ''),
    external_id text NOT NULL CHECK (external_id <> ''),
    light text NOT NULL CHECK (light IN ('critical', 'warning', 'clear', 'inconclusive')),
    headline text NOT NULL,
    counts jsonb NOT NULL CHECK (jsonb_typeof(counts) = 'object'),
    missing jsonb NOT NULL CHECK (jsonb_typeof(missing) = 'array'),
    document jsonb NOT NULL CHECK (jsonb_typeof(document) = 'object'),
    CHECK (window_start < window_end)
);
COMMENT ON TABLE posguard.audits IS 'One row per data interval, or per DAG run that had none; made again it takes the place of the one before.';
COMMENT ON COLUMN posguard.audits.external_id IS 'The DAG run that made it last; identity is the data interval, or that run.';
COMMENT ON COLUMN posguard.audits.document IS 'The report, as posguard.report.document writes it; missing names what could not be looked at.';
CREATE INDEX audits_by_external_id ON posguard.audits (external_id);
CREATE INDEX audits_by_window ON posguard.audits (window_end DESC, id DESC);
