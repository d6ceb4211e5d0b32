-- Messages whose route is gone can be given up by a person. Nothing of the bot's is touched.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

ALTER TABLE posguard.alert_messages
ADD COLUMN given_up_at timestamptz CHECK (given_up_at IS NULL OR sent_at IS NULL),
ADD COLUMN given_up_by text CHECK ((given_up_by IS NULL) = (given_up_at IS NULL));
COMMENT ON COLUMN posguard.alert_messages.given_up_at IS 'When a person decided that it is not to be sent any more; who it was is in given_up_by.';
