-- Target bot, step `status_check_valid`: reads the table under a lock that lets it be written.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '10min';

ALTER TABLE monitoring.positions VALIDATE CONSTRAINT posguard_known_status;
