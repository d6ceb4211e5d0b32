-- Takes the core's tables away, with all they record. Refused before it starts while the bot's tables carry the upgrade.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

DROP TABLE posguard.bot_upgrade_steps;
DROP TABLE posguard.kill_switch;
DROP TABLE posguard.alert_outbox;
DROP TABLE posguard.protection_gaps;
DROP TABLE posguard.transitions;
