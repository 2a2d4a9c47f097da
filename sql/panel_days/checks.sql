-- check: money_only_with_conversion
-- severity: critical
-- A day with money is a day with a conversion.
SELECT bucket, count(*) AS n
FROM panel_days
WHERE amount <> 0 AND has_converted = 0
GROUP BY bucket;
