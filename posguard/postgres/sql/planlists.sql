-- Lists of cleanup plans for the page: what each is about and how far it came, without its lines.

-- name: summaries
-- The newest plans first: all, those about one finding, those of one DAG run (by the end of who made or began it), or those with
-- a backup.
SELECT p.*, l.lines, l.done, l.irreversible, l.trouble
FROM (
    SELECT
        q.id,
        q.code,
        q.mode,
        q.options,
        q.worlds,
        q.state,
        q.source,
        q.created_at,
        q.created_by,
        q.expires_at,
        q.started_at,
        coalesce(q.started_by, '') AS started_by,
        q.finished_at,
        q.backup,
        q.backup_checksum
    FROM posguard.plans AS q
    WHERE
        (:before::bigint IS NULL OR q.id < :before)
        AND (NOT :backed_up::boolean OR q.backup <> '')
        AND (
            :fingerprint::text = ''
            OR EXISTS (
                SELECT FROM posguard.plan_lines AS about
                WHERE about.plan_id = q.id AND about.detail ->> 'fingerprint' = :fingerprint
            )
        )
        AND (
            :of_run::text = ''
            OR right(q.created_by, length(:of_run)) = :of_run
            OR right(q.started_by, length(:of_run)) = :of_run
        )
    ORDER BY q.id DESC
    LIMIT :limit
) AS p
CROSS JOIN LATERAL (
    SELECT
        count(*) AS lines,
        count(*) FILTER (WHERE one.state = 'done') AS done,
        count(*) FILTER (WHERE NOT one.reversible) AS irreversible,
        count(*) FILTER (WHERE one.state IN ('failed', 'unresolved') OR one.verified IS FALSE) AS trouble
    FROM posguard.plan_lines AS one
    WHERE one.plan_id = p.id
) AS l
ORDER BY p.id DESC;

-- name: findings_of
-- The newest finding of each fingerprint.
SELECT fingerprint, max(id) AS id FROM posguard.findings WHERE fingerprint = ANY(:fingerprints::text []) GROUP BY fingerprint;
