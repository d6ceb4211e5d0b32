-- Target bot, step `status_check`: a row that the core manages has a status that the core knows. Rows of the bot's old code are
-- not held to it: on them a strange status is a finding. NOT VALID, so that nothing is read under the lock.
SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore ban-drop-constraint
ALTER TABLE monitoring.positions DROP CONSTRAINT IF EXISTS posguard_known_status;
ALTER TABLE monitoring.positions ADD CONSTRAINT posguard_known_status CHECK (
    NOT core_managed
    OR (
        status IS NOT NULL
        AND status IN (
            'pending_entry', 'submitting', 'entry_placed', 'pending_sl', 'active', 'closing', 'unresolved',
            'closed', 'failed', 'rolled_back', 'canceled'
        )
    )
) NOT VALID;
