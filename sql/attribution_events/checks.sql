-- check: role_known
-- severity: critical
-- An event opens the app or converts.
SELECT wanted.role, count(*) AS n
FROM attribution_events
LEFT JOIN attribution_roles AS wanted ON attribution_events.kind = wanted.kind
WHERE wanted.role IS NULL OR wanted.role NOT IN ('open', 'conversion')
GROUP BY wanted.role;
