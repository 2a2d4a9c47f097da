-- check: touch_once
-- severity: critical
-- A number stands for one message.
SELECT touch, count(*) AS n
FROM attribution_touches
GROUP BY touch
HAVING count(*) > 1;
