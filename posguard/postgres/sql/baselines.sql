-- name: add$
-- Keeps a baseline; nothing comes back where one of this name is there already.
INSERT INTO posguard.baselines (name, period_from, period_to, measures, created_by)
VALUES (:name, :period_from, :period_to, :measures, :created_by)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- name: by_name^
SELECT
    name,
    period_from,
    period_to,
    measures,
    created_by,
    created_at
FROM posguard.baselines
WHERE name = :name;

-- name: every
SELECT
    name,
    period_from,
    period_to,
    measures,
    created_by,
    created_at
FROM posguard.baselines
ORDER BY created_at DESC, name;
