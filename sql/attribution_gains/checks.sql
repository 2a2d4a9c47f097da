-- check: credit_kept
-- severity: critical
-- Every conversion that is credited to a message is counted there.
SELECT gains.n, credited.n AS n_credited
FROM (SELECT coalesce(sum(n_conversions), 0) AS n FROM attribution_gains) AS gains
CROSS JOIN (SELECT count(*) AS n FROM attribution_credits WHERE NOT is_open) AS credited
WHERE gains.n <> credited.n;
