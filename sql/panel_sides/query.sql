-- The sides of one night. Grain: scope x user. Reads considered.
-- Scope `all` compares the global holdout with the rest; a campaign's scope its own holdout. Only what a hash decided before planning counts.
SELECT
    'all' AS scope,
    user_id,
    bool_or(outcome = 'holdout_global') AS is_holdout
FROM considered
WHERE is_marketing AND was_eligible
GROUP BY user_id
UNION ALL
SELECT
    campaign_id AS scope,
    user_id,
    bool_or(outcome = 'holdout_campaign') AS is_holdout
FROM considered
WHERE is_marketing AND was_eligible AND outcome <> 'holdout_global'
GROUP BY campaign_id, user_id
