-- check: event_once
-- severity: critical
-- No event is credited twice.
SELECT count(*) AS n
FROM (SELECT event FROM attribution_credits GROUP BY event HAVING count(*) > 1) AS twice
HAVING count(*) > 0;

-- check: no_more_than_happened
-- severity: critical
-- No more is credited than happened.
SELECT credited.is_open
FROM (SELECT is_open, count(*) AS n FROM attribution_credits GROUP BY is_open) AS credited
LEFT JOIN (
    SELECT wanted.role = 'open' AS is_open, count(*) AS n
    FROM attribution_events
    INNER JOIN attribution_roles AS wanted ON attribution_events.kind = wanted.kind
    GROUP BY wanted.role = 'open'
) AS happened ON credited.is_open = happened.is_open
WHERE credited.n > coalesce(happened.n, 0);
