-- How alerts reach people: what each is about and whether it stands, the messages they go out in, and since when the
-- reconciliation is watched. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

ALTER TABLE posguard.alert_outbox
ADD COLUMN topic text CHECK (topic <> ''),
ADD COLUMN event text NOT NULL DEFAULT 'raised' CHECK (event IN ('raised', 'resolved')),
ADD COLUMN owner text NOT NULL DEFAULT 'operations' CHECK (owner <> ''),
ADD COLUMN routed_at timestamptz;
COMMENT ON COLUMN posguard.alert_outbox.topic IS 'What stands until it is resolved: its alerts take turns of raised and resolved. NULL: it happened, and nothing resolves it.';
COMMENT ON COLUMN posguard.alert_outbox.routed_at IS 'When a sender put it into its messages; sent_at: when the last of them was sent.';
-- Sending is tried again by message, not by alert; nothing has ever read these.
-- squawk-ignore ban-drop-column
ALTER TABLE posguard.alert_outbox DROP COLUMN attempts, DROP COLUMN next_try;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX alert_outbox_unrouted ON posguard.alert_outbox (id) WHERE routed_at IS NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX alert_outbox_by_topic ON posguard.alert_outbox (topic, id) WHERE topic IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX alert_outbox_by_kind ON posguard.alert_outbox (kind, id);

CREATE TABLE posguard.alert_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE CHECK (key <> ''),
    route text NOT NULL CHECK (route <> ''),
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'info')),
    alerts bigint NOT NULL CHECK (alerts > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    attempts bigint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_try timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text NOT NULL DEFAULT '',
    lease_owner text,
    lease_until timestamptz,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK (sent_at IS NULL OR lease_owner IS NULL)
);
COMMENT ON TABLE posguard.alert_messages IS 'What goes to one route at once. key is the same at every try. Whoever holds the lease sends it; after lease_until anybody may.';
CREATE INDEX alert_messages_unsent ON posguard.alert_messages (next_try) WHERE sent_at IS NULL;

CREATE TABLE posguard.alert_message_items (
    message_id bigint NOT NULL REFERENCES posguard.alert_messages ON DELETE CASCADE,
    alert_id bigint NOT NULL REFERENCES posguard.alert_outbox ON DELETE CASCADE,
    PRIMARY KEY (message_id, alert_id)
);
COMMENT ON TABLE posguard.alert_message_items IS 'Which alerts a message tells of.';
CREATE INDEX alert_message_items_by_alert ON posguard.alert_message_items (alert_id);

CREATE TABLE posguard.alert_watch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE posguard.alert_watch IS 'From when on a complete reconciliation is expected where none was ever recorded. One row, always.';
INSERT INTO posguard.alert_watch DEFAULT VALUES;
