-- check: interval_holds_estimate
-- severity: critical
-- The estimate lies within its own interval.
SELECT scope, metric
FROM holdout_lift
WHERE NOT (low <= difference + 1e-12 AND difference <= high + 1e-12);

-- check: holdout_share_as_configured
-- severity: warning
-- The share held out is the policy's, within four standard errors: else something other than the hash decided who is in.
WITH policy AS (
    SELECT json_extract(body, '$.holdout.share_pct')::DOUBLE / 100 AS share
    FROM catalog_snapshot
    WHERE kind = 'policy'
),

sides AS (
    SELECT sum(is_holdout::INTEGER) AS held, count(*) AS n
    FROM (
        SELECT user_id, bool_or(outcome = 'holdout_global') AS is_holdout
        FROM considered
        WHERE is_marketing AND was_eligible
        GROUP BY user_id
    ) AS people
)

SELECT sides.held, sides.n, policy.share AS expected_share
FROM sides
CROSS JOIN policy
WHERE sides.n > 0 AND abs(sides.held - sides.n * policy.share) > 4 * sqrt(sides.n * policy.share * (1 - policy.share)) + 1;
