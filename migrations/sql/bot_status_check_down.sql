-- Target bot, way back of `status_check` and `status_check_valid`.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-constraint
ALTER TABLE monitoring.positions DROP CONSTRAINT IF EXISTS posguard_known_status;
