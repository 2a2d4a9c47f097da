-- check: event_once
-- severity: critical
-- No event is credited twice.
SELECT role, count(*) AS n
FROM (SELECT event, role FROM attribution_credits GROUP BY event, role HAVING count(*) > 1) AS twice
GROUP BY role;

-- check: no_more_than_happened
-- severity: critical
-- No more is credited than happened.
SELECT credited.role
FROM (SELECT role, count(*) AS n FROM attribution_credits GROUP BY role) AS credited
LEFT JOIN (SELECT role, count(*) AS n FROM attribution_events GROUP BY role) AS happened ON credited.role = happened.role
WHERE credited.n > coalesce(happened.n, 0);
