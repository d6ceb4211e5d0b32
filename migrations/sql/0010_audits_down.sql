-- Takes the stored reports away; what they were made from stays, and each can be made again.
-- squawk-ignore-file ban-drop-table
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.audits;
