-- check: pair_once
-- severity: critical
-- A person is considered for a campaign once a night.
SELECT campaign_id, count(*) AS n
FROM (SELECT campaign_id FROM considered GROUP BY user_id, campaign_id HAVING count(*) > 1) AS twice
GROUP BY campaign_id;

-- check: sent_has_slot_and_channel
-- severity: critical
-- What is sent has an hour and a channel.
SELECT campaign_id, count(*) AS n
FROM considered
WHERE outcome = 'sent' AND (slot IS NULL OR channel IS NULL)
GROUP BY campaign_id;

-- check: slot_in_plan
-- severity: critical
-- Every hour given lies within the planned day.
SELECT campaign_id, count(*) AS n
FROM considered
WHERE outcome = 'sent' AND (slot < $plan_start OR slot >= $plan_end)
GROUP BY campaign_id;

-- check: campaign_known
-- severity: warning
-- Every campaign decided about stands in the night's catalog.
SELECT campaign_id, count(*) AS n
FROM considered
WHERE campaign_id NOT IN (SELECT campaign_id FROM campaigns)
GROUP BY campaign_id;
