-- Touches by what they may be credited with. Grain: user x role x event type x hours x touch. Reads attribution_touches.
-- A delivery (or display) and a tap each are a touch, and a window runs from each. Of touches at the same instant the higher number counts.
WITH touched AS (
    SELECT user_id, touch, touch_ts, open_hours, conversion_hours, conversion
    FROM attribution_touches
    WHERE touch_ts >= $touches_from AND touch_ts < touches_until
    UNION ALL
    SELECT user_id, touch, opened_ts AS touch_ts, open_hours, conversion_hours, conversion
    FROM attribution_touches
    WHERE opened_ts >= $touches_from AND opened_ts < touches_until
),

roles AS (
    SELECT user_id, touch, touch_ts, 'open' AS role, 'open' AS event_type, open_hours AS hours
    FROM touched
    UNION ALL
    SELECT user_id, touch, touch_ts, 'conversion' AS role, conversion AS event_type, conversion_hours AS hours
    FROM touched
)

SELECT
    user_id,
    role,
    event_type,
    hours,
    touch_ts,
    max(touch) AS touch
FROM roles
WHERE hours > 0
GROUP BY user_id, role, event_type, hours, touch_ts
