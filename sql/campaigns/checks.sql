-- check: campaign_once
-- severity: critical
-- A campaign stands in a snapshot once.
SELECT campaign_id, count(*) AS n
FROM campaigns
GROUP BY campaign_id
HAVING count(*) > 1;
