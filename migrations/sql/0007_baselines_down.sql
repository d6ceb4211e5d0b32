-- Takes the named baselines away.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.baselines;
