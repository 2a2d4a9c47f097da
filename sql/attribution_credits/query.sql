-- Last touch: each event goes to the message that touched the person last before it, if its window was still open, across campaigns, channels and
-- nights. Grain: event x role. Reads attribution_spans, attribution_events.
-- Touches with windows of the same length compete by time alone (an as-of join each); of those lengths that still hold, the latest touch wins.
WITH candidates AS (
    SELECT
        events.event,
        events.role,
        events.amount,
        spans.touch_ts,
        spans.touch
    FROM (
        SELECT attribution_events.*, lengths.hours
        FROM attribution_events
        INNER JOIN (SELECT DISTINCT role, event_type, hours FROM attribution_spans) AS lengths
            ON attribution_events.role = lengths.role AND attribution_events.event_type = lengths.event_type
    ) AS events
    ASOF INNER JOIN attribution_spans AS spans
        ON
            events.user_id = spans.user_id
            AND events.role = spans.role
            AND events.event_type = spans.event_type
            AND events.hours = spans.hours
            AND events.event_ts >= spans.touch_ts
    WHERE events.event_ts < spans.touch_ts + to_hours(spans.hours)
)

SELECT
    event,
    role,
    any_value(amount) AS amount,
    arg_max(touch, (touch_ts, touch)) AS touch
FROM candidates
GROUP BY event, role
