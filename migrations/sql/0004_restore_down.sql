-- Takes the way back of cleanups away; their record stays.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.restore_row(bigint, jsonb);
-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.announce_restore(bigint, bigint);
DROP TABLE posguard.restoring;
