-- name: begin$
INSERT INTO posguard.log_files (source, path, head_hash, size, interval_start, interval_end, program, external_id)
VALUES (:source, :path, :head_hash, :size, :interval_start, :interval_end, :program, :external_id)
RETURNING id;

-- name: finish!
UPDATE posguard.log_files
SET
    finished_at = clock_timestamp(), bytes_read = :bytes_read, bytes_skipped = :bytes_skipped, first_at = :first_at,
    last_at = :last_at, earliest = :earliest, latest = :latest, events = :events, new_events = :new_events, refused = :refused
WHERE id = :id;

-- name: read_up_to$
-- How far loads that ended have read a file, whatever it was called then.
SELECT max(bytes_read) FROM posguard.log_files
WHERE source = :source AND head_hash = :head_hash AND finished_at IS NOT NULL;

-- name: known
-- The times that a file holds, by the longest look at it.
SELECT DISTINCT ON (head_hash) head_hash, size, path, bytes_read, earliest, latest FROM posguard.log_files
WHERE source = :source AND finished_at IS NOT NULL
ORDER BY head_hash, bytes_read DESC, id DESC;

-- name: recent
SELECT * FROM posguard.log_files ORDER BY id DESC LIMIT :limit;

-- name: covered
-- The stretches of time that loading has covered, each as long as its intervals meet.
SELECT lower(r) AS interval_start, upper(r) AS interval_end
FROM (
    SELECT unnest(range_agg(tstzrange(interval_start, interval_end))) AS r
    FROM posguard.log_intervals WHERE source = :source
) AS stretches
ORDER BY 1;

-- name: cover!
INSERT INTO posguard.log_intervals (source, interval_start, interval_end, external_id)
VALUES (:source, :interval_start, :interval_end, :external_id)
ON CONFLICT (source, interval_start, interval_end) DO UPDATE
SET external_id = excluded.external_id, at = clock_timestamp();

-- name: delete_files_before!
DELETE FROM posguard.log_files WHERE started_at < :before AND coalesce(last_at, started_at) < :before;

-- name: delete_intervals_before!
DELETE FROM posguard.log_intervals WHERE interval_end < :before;

-- name: newest
-- The newest event of each source, and when its log was last read.
SELECT
    f.source,
    (SELECT max(e.at) FROM posguard.log_events AS e WHERE e.source = f.source) AS newest,
    max(f.finished_at) AS read_at
FROM posguard.log_files AS f
GROUP BY f.source
ORDER BY f.source;
