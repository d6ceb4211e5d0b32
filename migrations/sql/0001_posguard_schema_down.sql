-- Takes posguard's own tables away, with all they record. The bot's tables stay as they are.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.suite_results;
DROP TABLE posguard.ignore_rules;
DROP TABLE posguard.finding_events;
DROP TABLE posguard.findings;
DROP TABLE posguard.run_venues;
DROP TABLE posguard.runs;
