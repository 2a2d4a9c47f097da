-- check: windows_are_open
-- severity: critical
-- A touch that may be credited has a window.
SELECT role, count(*) AS n
FROM attribution_spans
WHERE hours <= 0 OR touch_ts IS NULL
GROUP BY role;
