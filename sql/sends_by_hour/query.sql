-- Planned, sent and opened by the hour of the send. Grain: UTC hour. Reads dispatch_manifest, delivery_ledger, opened.
-- sent: accepted, and ambiguous, which counts as sent. opened: within 24 hours, shown at the hour of its send.
WITH hours AS (
    SELECT unnest(generate_series($plan_start::TIMESTAMPTZ, $plan_end::TIMESTAMPTZ - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS hour
),

planned AS (
    SELECT date_trunc('hour', send_ts) AS hour, count(DISTINCT message_id) AS n
    FROM dispatch_manifest
    GROUP BY hour
),

messages AS (
    -- A message to several devices was sent when the first of them was.
    SELECT message_id, min(sent_ts) AS sent_ts
    FROM delivery_ledger
    WHERE outcome IN ('accepted', 'ambiguous')
    GROUP BY message_id
),

sent AS (
    SELECT date_trunc('hour', sent_ts) AS hour, count(*) AS n
    FROM messages
    GROUP BY hour
),

opens AS (
    SELECT date_trunc('hour', sent_ts) AS hour, count(*) AS n
    FROM opened
    GROUP BY hour
),

every_hour AS (
    SELECT hour FROM hours
    UNION
    SELECT hour FROM sent
    WHERE hour IS NOT NULL
)

SELECT
    every_hour.hour,
    coalesce(planned.n, 0) AS planned,
    coalesce(sent.n, 0) AS sent,
    coalesce(opens.n, 0) AS opened,
    100.0 * opens.n / nullif(sent.n, 0) AS open_pct
FROM every_hour
LEFT JOIN planned ON every_hour.hour = planned.hour
LEFT JOIN sent ON every_hour.hour = sent.hour
LEFT JOIN opens ON every_hour.hour = opens.hour
ORDER BY every_hour.hour
