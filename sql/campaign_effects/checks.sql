-- check: everyone_once
-- severity: critical
-- People sent to and held out are counted once each.
SELECT effects.n AS counted, pairs.n AS expected
FROM (SELECT coalesce(sum(n_users), 0) AS n FROM campaign_effects) AS effects
CROSS JOIN (SELECT count(*) AS n FROM considered WHERE outcome IN ('sent', 'holdout_global', 'holdout_campaign')) AS pairs
WHERE effects.n <> pairs.n;

-- check: holdout_gets_nothing
-- severity: critical
-- Nobody in a holdout was sent the campaign's message.
SELECT campaign_id, n_sent
FROM campaign_effects
WHERE arm = 'holdout' AND n_sent > 0;

-- check: unsubscribes_below_two_percent
-- severity: warning
-- A campaign that drives away more than two percent of those it reached needs a look.
SELECT campaign_id, sum(n_unsubscribed) AS n_unsubscribed, sum(n_sent) AS n_sent
FROM campaign_effects
GROUP BY campaign_id
HAVING sum(n_unsubscribed) > 0.02 * sum(n_sent) AND sum(n_unsubscribed) > 5;
