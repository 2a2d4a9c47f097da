-- Intention to treat: everyone eligible, by the side a hash put them on before planning, told or not. Grain: scope x metric.
-- Reads considered, user_events. scope `all` compares the global holdout with the rest; a campaign's scope its own holdout.
-- converted: share of people with a conversion event between plan_start and window_end; interval by Newcombe's hybrid score method
-- (Newcombe 1998, Statistics in Medicine 17, method 10). active_days: mean number of days with an event; Welch's interval.
WITH assigned AS (
    SELECT 'all' AS scope, user_id, bool_or(outcome = 'holdout_global') AS is_holdout
    FROM considered
    WHERE is_marketing AND was_eligible
    GROUP BY user_id
    UNION ALL
    SELECT campaign_id AS scope, user_id, outcome = 'holdout_campaign' AS is_holdout
    FROM considered
    WHERE is_marketing AND was_eligible AND outcome <> 'holdout_global'
),

behaviour AS (
    SELECT
        user_id,
        bool_or(event_type = $conversion)::INTEGER AS has_converted,
        count(DISTINCT event_ts::DATE) AS n_active_days
    FROM user_events
    WHERE event_ts >= $plan_start AND event_ts < $window_end
    GROUP BY user_id
),

measured AS (
    SELECT
        assigned.scope,
        assigned.is_holdout,
        unnest(['converted', 'active_days']) AS metric,
        unnest([coalesce(behaviour.has_converted, 0)::DOUBLE, coalesce(behaviour.n_active_days, 0)::DOUBLE]) AS amount
    FROM assigned
    LEFT JOIN behaviour ON assigned.user_id = behaviour.user_id
),

sides AS (
    SELECT
        scope,
        metric,
        count(*) FILTER (WHERE NOT is_holdout) AS n_treated,
        count(*) FILTER (WHERE is_holdout) AS n_holdout,
        avg(amount) FILTER (WHERE NOT is_holdout) AS mean_treated,
        avg(amount) FILTER (WHERE is_holdout) AS mean_holdout,
        var_samp(amount) FILTER (WHERE NOT is_holdout) AS var_treated,
        var_samp(amount) FILTER (WHERE is_holdout) AS var_holdout
    FROM measured
    GROUP BY scope, metric
    HAVING count(*) FILTER (WHERE is_holdout) > 1 AND count(*) FILTER (WHERE NOT is_holdout) > 1
),

scores AS (
    -- Wilson's interval of each side, z = 1.96
    SELECT
        *,
        1.96 * sqrt(var_treated / n_treated + var_holdout / n_holdout) AS welch,
        (mean_treated + 1.9208 / n_treated) / (1 + 3.8416 / n_treated) AS mid_treated,
        (mean_holdout + 1.9208 / n_holdout) / (1 + 3.8416 / n_holdout) AS mid_holdout,
        1.96 * sqrt(greatest(mean_treated * (1 - mean_treated), 0) / n_treated + 0.9604 / (n_treated * n_treated))
        / (1 + 3.8416 / n_treated) AS half_treated,
        1.96 * sqrt(greatest(mean_holdout * (1 - mean_holdout), 0) / n_holdout + 0.9604 / (n_holdout * n_holdout))
        / (1 + 3.8416 / n_holdout) AS half_holdout
    FROM sides
),

seen AS (
    SELECT count(*) > 0 AS is_observed
    FROM behaviour
)

SELECT
    scores.scope,
    scores.metric,
    scores.n_treated,
    scores.n_holdout,
    scores.mean_treated,
    scores.mean_holdout,
    scores.mean_treated - scores.mean_holdout AS difference,
    CASE
        WHEN scores.metric = 'active_days' THEN scores.mean_treated - scores.mean_holdout - scores.welch
        ELSE scores.mean_treated - scores.mean_holdout - sqrt(
            power(scores.mean_treated - (scores.mid_treated - scores.half_treated), 2)
            + power((scores.mid_holdout + scores.half_holdout) - scores.mean_holdout, 2)
        )
    END AS low,
    CASE
        WHEN scores.metric = 'active_days' THEN scores.mean_treated - scores.mean_holdout + scores.welch
        ELSE scores.mean_treated - scores.mean_holdout + sqrt(
            power((scores.mid_treated + scores.half_treated) - scores.mean_treated, 2)
            + power(scores.mean_holdout - (scores.mid_holdout - scores.half_holdout), 2)
        )
    END AS high
FROM scores
CROSS JOIN seen
WHERE seen.is_observed
ORDER BY scores.scope <> 'all', scores.scope, scores.metric
