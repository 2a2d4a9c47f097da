-- check: pairs_once
-- severity: critical
-- Each pair of the plan is counted once: a person stands once in the night's features, and a message was sent to one person.
SELECT counted.n AS n_counted, planned.n AS n_planned
FROM (SELECT coalesce(sum(n_pairs), 0) AS n FROM effects_mart) AS counted
CROSS JOIN (SELECT coalesce(sum(len(others) + len(sent)), 0) AS n FROM decided_pairs) AS planned
WHERE counted.n <> planned.n;

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
