-- check: opens_within_people
-- severity: critical
-- Nobody opens the message of one occurrence twice.
SELECT campaign_id, arm
FROM experiments
WHERE n_opened > n_users;
