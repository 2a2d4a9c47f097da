-- What people did, by day. Grain: user x bucket of 24 hours; bucket 0 begins with the first planned hour. Reads user_events, push_receipts.
-- An event that arrived twice counts once. amount: money of conversion events, uncapped. has_unsubscribed: a receipt says so.
WITH unique_events AS (
    SELECT user_id, event_type, value, event_ts
    FROM user_events
    WHERE user_id IS NOT NULL
    QUALIFY event_id IS NULL OR row_number() OVER (PARTITION BY event_id ORDER BY event_ts, user_id) = 1
),

happened AS (
    SELECT
        user_id,
        floor((epoch(event_ts) - epoch($first_start::TIMESTAMPTZ)) / 86400)::INTEGER AS bucket,
        (event_type = $conversion)::INTEGER AS has_converted,
        CASE WHEN event_type = $conversion AND isfinite(value) THEN value ELSE 0 END AS amount,
        1 AS is_active,
        0 AS has_unsubscribed
    FROM unique_events
    UNION ALL
    SELECT
        user_id,
        floor((epoch(receipt_ts) - epoch($first_start::TIMESTAMPTZ)) / 86400)::INTEGER AS bucket,
        0 AS has_converted,
        0 AS amount,
        0 AS is_active,
        1 AS has_unsubscribed
    FROM push_receipts
    WHERE kind = 'unsubscribed'
)

SELECT
    user_id,
    bucket,
    max(has_converted) AS has_converted,
    sum(amount) AS amount,
    max(is_active) AS is_active,
    max(has_unsubscribed) AS has_unsubscribed
FROM happened
GROUP BY user_id, bucket
