-- What was given up waits to be sent again.
-- squawk-ignore-file ban-drop-column
SET lock_timeout = '2s';
SET statement_timeout = '60s';

ALTER TABLE posguard.alert_messages DROP COLUMN given_up_at, DROP COLUMN given_up_by;
