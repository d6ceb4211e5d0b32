-- Takes the cleanup's record away, with every plan and every step it tells of.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.cleanup_actions;
DROP TABLE posguard.plan_lines;
DROP TABLE posguard.plans;
-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.keep_record();
-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.guard_plan_line();
-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.guard_plan();
