-- What people did that converts, whoever is credited. Grain: event x event type. Reads attribution_events, attribution_roles.
-- A twentieth of the events, in the order of time, so that a night reads its own part.
SELECT
    attribution_events.user_id,
    wanted.event_type,
    attribution_events.event_ts,
    attribution_events.amount
FROM attribution_events
INNER JOIN attribution_roles AS wanted ON attribution_events.kind = wanted.kind
WHERE wanted.role = 'conversion'
ORDER BY attribution_events.event_ts
