-- name: open_positions
-- Open rows of the bot, read through to_jsonb so that columns which a deployment lacks are NULL. The digest covers the
-- decision columns alone: prices, PnL and times of change never count. A column stop_loss_order_id that posguard added says so
-- in its comment: the bot's old code does not keep it, so on its rows an empty one tells nothing.
-- Which rows are open the first condition says. The ranges between the four statuses say the same again, so that an index over
-- status serves; NOT IN the planner takes for nearly all rows. Where a database sorts the four otherwise they hold nothing back.
WITH
open_rows AS (
    SELECT
        to_jsonb(p) AS j,
        lower(btrim(p.exchange)) AS exchange,
        upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") AS canonical
    FROM monitoring.positions AS p
    WHERE
        coalesce(p.status, '') NOT IN ('closed', 'failed', 'rolled_back', 'canceled')
        AND (
            p.status IS NULL
            OR p.status < 'canceled'
            OR (p.status > 'canceled' AND p.status < 'closed')
            OR (p.status > 'closed' AND p.status < 'failed')
            OR (p.status > 'failed' AND p.status < 'rolled_back')
            OR p.status > 'rolled_back'
            OR ('canceled'::varchar < 'closed' AND 'closed'::varchar < 'failed' AND 'failed'::varchar < 'rolled_back') IS NOT TRUE
        )
),

stop_column AS (
    SELECT bool_or(starts_with(coalesce(col_description(attrelid, attnum), ''), 'posguard')) AS added
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass('monitoring.positions') AND attname = 'stop_loss_order_id' AND NOT attisdropped
)

SELECT
    (j ->> 'id')::bigint AS id,
    coalesce(exchange, '') AS exchange,
    j ->> 'account' AS account,
    coalesce(j ->> 'symbol', '') AS raw_symbol,
    j ->> 'position_side' AS position_side,
    j ->> 'side' AS raw_side,
    j ->> 'quantity' AS quantity,
    j ->> 'entry_price' AS entry_price,
    j ->> 'status' AS status,
    nullif(j ->> 'exchange_order_id', '') AS exchange_order_id,
    nullif(j ->> 'stop_loss_order_id', '') AS stop_loss_order_id,
    j ->> 'stop_loss_price' AS stop_loss_price,
    (j ->> 'has_stop_loss')::boolean AS has_stop_loss,
    j ? 'stop_loss_order_id' AND (
        NOT stop_column.added
        OR coalesce((j ->> 'core_managed')::boolean, false)
        OR coalesce(j ->> 'stop_loss_order_id', '') <> ''
    ) AS records_stop_order,
    (j ->> 'created_at')::timestamptz AS created_at,
    (j ->> 'opened_at')::timestamptz AS opened_at,
    (j ->> 'updated_at')::timestamptz AS updated_at,
    encode(sha256(convert_to(jsonb_build_array(
        j -> 'symbol', j -> 'exchange', j -> 'account', j -> 'position_side', j -> 'status', j -> 'side',
        j -> 'quantity', j -> 'entry_price', j -> 'exchange_order_id', j -> 'stop_loss_order_id',
        j -> 'stop_loss_price', j -> 'stop_loss', j -> 'has_stop_loss'
    )::text, 'UTF8')), 'hex') AS digest,
    CASE WHEN jsonb_typeof(j -> 'version') = 'number' THEN (j ->> 'version')::numeric::bigint END AS version,
    coalesce((j ->> 'core_managed')::boolean, false) AS core_managed
FROM open_rows
CROSS JOIN stop_column
WHERE (:exchange = '' OR exchange = :exchange) AND (:symbol = '' OR canonical = :symbol)
ORDER BY id;

-- name: canonical$
-- The canonical symbol of a text: the same rule as posguard.model.symbol.
SELECT upper(translate(split_part(:raw::text, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C");

-- name: has_symbol$
-- Whether any row, open or not, bears a canonical symbol.
SELECT exists(
    SELECT FROM monitoring.positions AS p
    WHERE
        upper(translate(split_part(p.symbol, ':', 1), E'/_- \t\n\r\f\x0B', '') COLLATE "C") = :symbol
        AND (:exchange = '' OR lower(btrim(p.exchange)) = :exchange)
);
