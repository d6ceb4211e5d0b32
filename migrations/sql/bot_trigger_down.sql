-- Target bot, way back of `transitions`. What was recorded stays in posguard.transitions.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

DROP TRIGGER IF EXISTS posguard_transition_update ON monitoring.positions;
DROP TRIGGER IF EXISTS posguard_transition ON monitoring.positions;
DROP TRIGGER IF EXISTS posguard_guard ON monitoring.positions;
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS posguard.record_transition();
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS posguard.guard_position();
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS posguard.decision_columns();
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS posguard.is_restored(bigint, text);
