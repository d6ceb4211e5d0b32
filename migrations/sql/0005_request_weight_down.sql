-- Takes the shared request budget away; each process then keeps to a smaller one of its own.
SET lock_timeout = '2s';
SET statement_timeout = '60s';

-- squawk-ignore ban-drop-function
DROP FUNCTION posguard.book_weight(text, text, bigint, bigint, interval, interval, boolean, bigint, bigint);
DROP TABLE posguard.request_pauses;
DROP TABLE posguard.request_weight;
