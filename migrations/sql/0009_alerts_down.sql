-- Takes the messages away, with what is known of their sending; the alerts themselves stay.
-- squawk-ignore-file ban-drop-column, adding-field-with-default, require-concurrent-index-creation, require-concurrent-index-deletion
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.alert_watch;
DROP TABLE posguard.alert_message_items;
DROP TABLE posguard.alert_messages;
DROP INDEX posguard.alert_outbox_by_kind;
ALTER TABLE posguard.alert_outbox
DROP COLUMN topic,
DROP COLUMN event,
DROP COLUMN owner,
DROP COLUMN routed_at,
ADD COLUMN attempts bigint NOT NULL DEFAULT 0,
ADD COLUMN next_try timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX alert_outbox_unsent ON posguard.alert_outbox (next_try) WHERE sent_at IS NULL;
