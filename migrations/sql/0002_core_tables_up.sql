-- What the trading core records beside the bot's rows. No reference reaches into the bot's tables: a row of theirs may go, and
-- what is known of it stays.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

CREATE TABLE posguard.transitions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position_id bigint NOT NULL,
    operation text NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),
    from_status text,
    to_status text,
    version bigint,
    origin text,
    actor text NOT NULL DEFAULT session_user,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    backend_pid bigint NOT NULL DEFAULT pg_backend_pid(),
    app text NOT NULL DEFAULT '',
    reason text,
    core_managed boolean NOT NULL DEFAULT false,
    changed jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE posguard.transitions IS 'Every change of a decision column of monitoring.positions, written by its trigger. changed: column -> [before, after].';
CREATE INDEX transitions_by_position ON posguard.transitions (position_id, id);
CREATE INDEX transitions_by_time ON posguard.transitions (at);

CREATE TABLE posguard.protection_gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position_id bigint NOT NULL,
    began timestamptz NOT NULL,
    ended timestamptz CHECK (ended >= began),
    length interval GENERATED ALWAYS AS (ended - began) STORED,
    reason text NOT NULL
);
COMMENT ON TABLE posguard.protection_gaps IS 'Times in which a position stood without a stop-loss; ended and length NULL: it still does.';
CREATE UNIQUE INDEX protection_gaps_one_open ON posguard.protection_gaps (position_id) WHERE ended IS NULL;
CREATE INDEX protection_gaps_by_time ON posguard.protection_gaps (began);

CREATE TABLE posguard.alert_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    kind text NOT NULL,
    position_id bigint,
    text text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    attempts bigint NOT NULL DEFAULT 0,
    next_try timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE posguard.alert_outbox IS 'Alerts, written in the transaction of what they tell of; key makes sending one twice harmless.';
CREATE INDEX alert_outbox_unsent ON posguard.alert_outbox (next_try) WHERE sent_at IS NULL;

CREATE TABLE posguard.kill_switch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    engaged boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL DEFAULT session_user,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE posguard.kill_switch IS 'While engaged the core sends nothing. One row, always.';
INSERT INTO posguard.kill_switch DEFAULT VALUES;

CREATE TABLE posguard.bot_upgrade_steps (
    step text PRIMARY KEY,
    digest text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    actor text NOT NULL DEFAULT session_user,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
COMMENT ON TABLE posguard.bot_upgrade_steps IS 'The steps of target bot that the bot''s tables carry; detail holds what the way back needs.';
