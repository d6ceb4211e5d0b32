-- First in a transaction that is already REPEATABLE READ, READ ONLY. All of it ends with the transaction, so nothing is
-- left on a connection that a pooler hands to somebody else.
SET TRANSACTION SNAPSHOT {snapshot};
SET LOCAL search_path TO {schema};
SET LOCAL statement_timeout TO {milliseconds};
