-- Takes what was loaded from the logs away, with the tables; the logs themselves are files, and can be loaded again.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.drop_log_partitions(timestamptz);
-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.make_log_partition(timestamptz);
-- squawk-ignore ban-drop-column
ALTER TABLE posguard.runs DROP COLUMN job;
DROP TABLE posguard.log_races;
DROP TABLE posguard.log_intervals;
DROP TABLE posguard.log_edges;
DROP TABLE posguard.log_files;
DROP TABLE posguard.log_events;
