-- check: every_pair_has_a_reason
-- severity: critical
-- No pair is without an outcome.
SELECT campaign_id, n
FROM not_sent_reasons
WHERE outcome IS NULL;
