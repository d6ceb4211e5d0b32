-- Whether nobody is at work on target `bot`, and nobody begins until this transaction has ended. The number is its migrators' own.
SELECT pg_try_advisory_xact_lock(7305808869229538405)
