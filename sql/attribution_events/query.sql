-- Events that may be credited, each once, whenever and however often it arrived. Grain: event x role. Reads user_events, attribution_roles.
-- role: `open` (the app was opened), or `conversion`. An event that is both has both roles, and is credited at most once in each.
WITH happened AS (
    SELECT
        user_id,
        event_type,
        event_ts,
        event_id,
        CASE WHEN isfinite(value) THEN value ELSE 0 END AS amount
    FROM user_events
    WHERE
        user_id IS NOT NULL
        AND event_ts >= $touches_from
        AND event_ts < $credits_until
        AND event_type IN (SELECT event_type FROM attribution_roles)
),

unique_events AS (
    SELECT user_id, event_type, event_ts, amount
    FROM happened
    QUALIFY event_id IS NULL OR row_number() OVER (PARTITION BY event_id ORDER BY event_ts, user_id) = 1
)

SELECT
    row_number() OVER () AS event,
    wanted.role,
    unique_events.user_id,
    unique_events.event_type,
    unique_events.event_ts,
    unique_events.amount
FROM unique_events
INNER JOIN attribution_roles AS wanted ON unique_events.event_type = wanted.event_type
