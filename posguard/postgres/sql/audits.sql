-- name: keep$
-- Keeps a report; made again for the same interval, or by the same run without one, it takes the place of the one before.
INSERT INTO posguard.audits (
    window_start, window_end, built_at, identity, external_id, light, headline, counts, missing, document
)
VALUES (
    :window_start, :window_end, :built_at, :identity, :external_id, :light, :headline, :counts, :missing, :document
)
ON CONFLICT (identity) DO UPDATE
SET
    external_id = excluded.external_id,
    window_start = excluded.window_start,
    window_end = excluded.window_end,
    built_at = excluded.built_at,
    light = excluded.light,
    headline = excluded.headline,
    counts = excluded.counts,
    missing = excluded.missing,
    document = excluded.document
RETURNING id;

-- name: recent
-- The newest window first, without the reports themselves; before_end and before_id are those of the last one already shown.
SELECT
    id,
    window_start,
    window_end,
    built_at,
    external_id,
    light,
    headline,
    counts,
    missing
FROM posguard.audits
WHERE :before_id::bigint IS NULL OR (window_end, id) < (:before_end::timestamptz, :before_id)
ORDER BY window_end DESC, id DESC
LIMIT :limit;

-- name: by_id^
SELECT * FROM posguard.audits WHERE id = :id;

-- name: id_of_dag_run$
SELECT max(id) FROM posguard.audits WHERE external_id = :dag_run_id;
