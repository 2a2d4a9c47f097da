-- check: everyone_once
-- severity: critical
-- Every eligible pair of the night stands in one cell.
SELECT cells.n AS counted, pairs.n AS expected
FROM (SELECT coalesce(sum(n_pairs), 0) AS n FROM effects_mart) AS cells
CROSS JOIN (SELECT count(*) AS n FROM considered WHERE was_eligible) AS pairs
WHERE cells.n <> pairs.n;

-- check: holdout_gets_nothing
-- severity: critical
-- Nothing was sent to, or credited by, anybody held out.
SELECT campaign_id, side, sum(n_sent) AS n_sent
FROM effects_mart
WHERE side <> 'treated'
GROUP BY campaign_id, side
HAVING sum(n_sent) > 0 OR sum(n_conversions) > 0;

-- check: opened_of_sent
-- severity: critical
-- A message is opened directly, influenced, or neither, and only if it was sent.
SELECT campaign_id, sum(n_sent) AS n_sent
FROM effects_mart
GROUP BY campaign_id
HAVING sum(n_opened) + sum(n_influenced) > sum(n_sent);
