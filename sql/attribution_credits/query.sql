-- Last touch: each event goes to the message that touched the person last before it, of those whose window was still open, across campaigns,
-- channels and nights. Grain: event x role. Reads attribution_touches, attribution_events, attribution_roles.
-- A delivery (or display) and a tap each are a touch, and a window runs from each. Of touches at the same instant the higher number counts.
-- The events from credits_from on and before credits_before are credited: a stretch of days meets only the touches whose windows reach it.
WITH touched AS (
    SELECT user_id, touch, touch_ts, open_hours, conversion_hours, conversion
    FROM attribution_touches
    WHERE touch_ts >= $reaching_from AND touch_ts < $credits_before AND touch_ts < touches_until
    UNION ALL
    SELECT user_id, touch, opened_ts AS touch_ts, open_hours, conversion_hours, conversion
    FROM attribution_touches
    WHERE opened_ts >= $reaching_from AND opened_ts < $credits_before AND opened_ts < touches_until
),

happened AS (
    SELECT
        attribution_events.*,
        wanted.role = 'open' AS is_open,
        wanted.event_type
    FROM attribution_events
    INNER JOIN attribution_roles AS wanted ON attribution_events.kind = wanted.kind
    WHERE attribution_events.event_ts >= $credits_from AND attribution_events.event_ts < $credits_before
)

SELECT
    happened.event,
    any_value(happened.is_open) AS is_open,
    any_value(happened.amount) AS amount,
    arg_max(touched.touch, (touched.touch_ts, touched.touch)) AS touch
FROM happened
INNER JOIN touched ON happened.user_id = touched.user_id
WHERE
    happened.event_ts >= touched.touch_ts
    AND happened.event_ts < touched.touch_ts + to_hours(if(happened.is_open, touched.open_hours, touched.conversion_hours))
    AND (happened.is_open OR happened.event_type = touched.conversion)
GROUP BY happened.event
