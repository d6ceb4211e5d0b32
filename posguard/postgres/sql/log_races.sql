-- name: keep!
INSERT INTO posguard.log_races (fingerprint, source, at, symbol, race)
VALUES (:fingerprint, :source, :at, :symbol, :race)
ON CONFLICT (fingerprint) DO UPDATE SET source = excluded.source, at = excluded.at, symbol = excluded.symbol, race = excluded.race;

-- name: of_finding$
SELECT r.race FROM posguard.log_races AS r
INNER JOIN posguard.findings AS f ON r.fingerprint = f.fingerprint
WHERE f.id = :finding_id;

-- name: recent
-- The newest first, with the finding of each.
SELECT f.id AS finding_id, r.race FROM posguard.log_races AS r
INNER JOIN posguard.findings AS f ON r.fingerprint = f.fingerprint
ORDER BY r.at DESC, f.id DESC
LIMIT :limit;

-- name: past
-- What happened before a time and is not resolved.
SELECT r.fingerprint, r.at FROM posguard.log_races AS r
INNER JOIN posguard.findings AS f ON r.fingerprint = f.fingerprint
WHERE f.state <> 'resolved' AND r.at <= :before
ORDER BY f.id;
