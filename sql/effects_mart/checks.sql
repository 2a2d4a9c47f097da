-- check: person_once
-- severity: critical
-- A person stands once in the night's features, so no pair is counted twice.
SELECT count(*) - count(DISTINCT ordinal) AS n
FROM user_features
HAVING count(*) > count(DISTINCT ordinal);

-- check: message_once
-- severity: critical
-- A message of the night was sent to one person, so no pair is counted twice.
SELECT count(*) - count(DISTINCT message_id) AS n
FROM attribution_touches
WHERE touch > $first_touch AND touch <= $last_touch
HAVING count(*) > count(DISTINCT message_id);

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
