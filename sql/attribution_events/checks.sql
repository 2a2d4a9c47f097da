-- check: role_known
-- severity: critical
-- An event opens the app or converts.
SELECT role, count(*) AS n
FROM attribution_events
WHERE role NOT IN ('open', 'conversion')
GROUP BY role;
