-- name: make_partition$
SELECT posguard.make_log_partition(:of_time);

-- name: commit_later!
-- A batch need not be on disk when the next one begins: the transaction that ends the load waits for all before it.
SET LOCAL synchronous_commit TO off;

-- name: make_staging!
-- For one transaction, so that a pooler in transaction mode is fine.
CREATE TEMPORARY TABLE log_events_staging (LIKE posguard.log_events INCLUDING DEFAULTS) ON COMMIT DROP;

-- name: take_over!
-- In the order of the key: two loads of the same records at once wait for each other and never in a circle.
INSERT INTO posguard.log_events
SELECT * FROM pg_temp.log_events_staging
ORDER BY source, at, content_hash, ordinal
ON CONFLICT (source, at, content_hash, ordinal) DO NOTHING;

-- name: complete!
-- What was read when it was the last of its file, and is longer now or is followed by another record.
UPDATE posguard.log_events AS e
SET
    complete = s.complete, kind = s.kind, category = s.category, message = s.message, pattern = s.pattern, symbol = s.symbol,
    exchange = s.exchange, side = s.side, status = s.status, position_id = s.position_id, order_id = s.order_id,
    quantity = s.quantity, price = s.price, latency_ms = s.latency_ms, fields = s.fields, file_id = s.file_id,
    file_offset = s.file_offset, file_size = s.file_size
FROM pg_temp.log_events_staging AS s
WHERE
    e.source = s.source AND e.at = s.at AND e.content_hash = s.content_hash AND e.ordinal = s.ordinal
    AND NOT e.complete
    AND (s.complete OR s.file_size > e.file_size);

-- name: incomplete
SELECT at, content_hash, ordinal FROM posguard.log_events
WHERE source = :source AND NOT complete;

-- name: take_source_turn$
SELECT pg_advisory_xact_lock(hashtextextended('posguard.log_events.source ' || :source::text, 0));

-- name: drop_outgrown_edges!
-- The end of a file that has grown since is no end any more; its beginning stays.
DELETE FROM posguard.log_edges
WHERE source = :source AND head_hash = :head_hash AND edge <> 'first' AND bytes_read < :bytes_read;

-- name: is_outgrown$
-- Whether a longer sight of the file is known, so that its end is not where this one ends.
SELECT EXISTS (
    SELECT 1 FROM posguard.log_files
    WHERE source = :source AND head_hash = :head_hash AND bytes_read > :bytes_read AND finished_at IS NOT NULL
);

-- name: add_edge!
INSERT INTO posguard.log_edges (source, head_hash, edge, at, content_hash, count, bytes_read)
VALUES (:source, :head_hash, :edge, :at, :content_hash, :count, :bytes_read)
ON CONFLICT (source, at, content_hash, head_hash, edge) DO UPDATE
SET count = greatest(log_edges.count, excluded.count), bytes_read = greatest(log_edges.bytes_read, excluded.bytes_read);

-- name: edges_at
SELECT head_hash, edge, count FROM posguard.log_edges
WHERE source = :source AND at = :at AND content_hash = :content_hash;

-- name: between
SELECT
    e.*,
    coalesce(f.path, '') AS path
FROM posguard.log_events AS e
LEFT JOIN posguard.log_files AS f ON e.file_id = f.id
WHERE
    e.at >= :start AND e.at < :end
    AND (cardinality(:sources::text []) = 0 OR e.source = ANY(:sources::text []))
ORDER BY e.at, e.source, e.file_id, e.file_offset, e.ordinal;

-- name: count_before$
SELECT count(*) FROM posguard.log_events WHERE at < :before;

-- name: oldest$
SELECT min(at) FROM posguard.log_events;

-- name: drop_partitions$
SELECT posguard.drop_log_partitions(:before);

-- name: delete_before!
DELETE FROM posguard.log_events WHERE at < :before;

-- name: delete_edges_before!
DELETE FROM posguard.log_edges WHERE at < :before;
