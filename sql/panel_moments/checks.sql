-- check: shares_are_shares
-- severity: critical
-- The mean of a share lies between zero and one.
SELECT scope, metric, mean_y
FROM panel_moments
WHERE metric IN ('converted', 'retained_7', 'retained_28', 'unsubscribed') AND NOT (mean_y BETWEEN 0 AND 1);
