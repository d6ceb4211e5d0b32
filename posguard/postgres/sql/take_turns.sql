-- Migrators take turns; the lock goes with the transaction. The number spells nothing: it is posguard's own namespace.
SELECT pg_advisory_xact_lock(7305808869229538404)
