-- Takes the monitor's tables away, with all that it saw; alerts that it put into the outbox stay.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.monitor_counters;
DROP TABLE posguard.monitor_alerts;
DROP TABLE posguard.monitor_snapshots;
DROP TABLE posguard.monitor_runs;
