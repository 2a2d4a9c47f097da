-- Means, variances and covariances up to one night. Grain: scope x metric x side. Reads panel, panel_days, panel_history.
-- y: what a person did from the night they entered to 24 hours after the planned day of night $night; p: the same up to night $night_before, for
-- those who had entered by then; x: the same in the history before the first plan. A day's money counts up to $cap either way (winsorised).
-- retained_7, retained_28: active in the 24 hours that begin 7 or 28 days after the entry; only people whose day has come are counted.
WITH days AS (
    -- Cut before the join: least() of nothing and the cap would be the cap.
    SELECT
        user_id,
        bucket,
        has_converted,
        greatest(least(amount, $cap), -$cap) AS amount,
        is_active,
        has_unsubscribed
    FROM panel_days
),

behaviour AS (
    SELECT
        panel.scope,
        panel.user_id,
        panel.is_holdout,
        panel.entry,
        coalesce(max(days.has_converted), 0) AS converted,
        coalesce(max(days.has_converted) FILTER (WHERE days.bucket <= $night_before + 1), 0) AS converted_before,
        coalesce(sum(days.amount), 0) AS revenue,
        coalesce(sum(days.amount) FILTER (WHERE days.bucket <= $night_before + 1), 0) AS revenue_before,
        coalesce(sum(days.is_active), 0) AS active_days,
        coalesce(sum(days.is_active) FILTER (WHERE days.bucket <= $night_before + 1), 0) AS active_days_before,
        coalesce(max(days.is_active) FILTER (WHERE days.bucket = panel.entry + 7), 0) AS retained_7,
        coalesce(max(days.is_active) FILTER (WHERE days.bucket = panel.entry + 28), 0) AS retained_28,
        coalesce(max(days.has_unsubscribed), 0) AS unsubscribed,
        coalesce(max(days.has_unsubscribed) FILTER (WHERE days.bucket <= $night_before + 1), 0) AS unsubscribed_before
    FROM panel
    LEFT JOIN days ON panel.user_id = days.user_id AND days.bucket BETWEEN panel.entry AND $night + 1
    WHERE panel.entry <= $night
    GROUP BY panel.scope, panel.user_id, panel.is_holdout, panel.entry
),

measured AS (
    SELECT
        behaviour.scope,
        behaviour.is_holdout,
        unnest(['converted', 'revenue', 'active_days', 'retained_7', 'retained_28', 'unsubscribed']) AS metric,
        -- Days until the metric is known of a person who enters.
        unnest([0, 0, 0, 6, 27, 0]) + behaviour.entry AS known,
        unnest([
            behaviour.converted::DOUBLE,
            behaviour.revenue::DOUBLE,
            behaviour.active_days::DOUBLE,
            behaviour.retained_7::DOUBLE,
            behaviour.retained_28::DOUBLE,
            behaviour.unsubscribed::DOUBLE
        ]) AS y,
        unnest([
            behaviour.converted_before::DOUBLE,
            behaviour.revenue_before::DOUBLE,
            behaviour.active_days_before::DOUBLE,
            behaviour.retained_7::DOUBLE,
            behaviour.retained_28::DOUBLE,
            behaviour.unsubscribed_before::DOUBLE
        ]) AS p,
        unnest([
            coalesce(history.converted, 0)::DOUBLE,
            coalesce(history.revenue, 0)::DOUBLE,
            coalesce(history.active_days, 0)::DOUBLE,
            coalesce(history.active_days, 0)::DOUBLE,
            coalesce(history.active_days, 0)::DOUBLE,
            0
        ]) AS x
    FROM behaviour
    LEFT JOIN panel_history AS history ON behaviour.user_id = history.user_id
)

SELECT
    scope,
    metric,
    is_holdout,
    count(*) AS n,
    count(*) FILTER (WHERE y <> 0) AS n_nonzero,
    avg(x) AS mean_x,
    avg(y) AS mean_y,
    coalesce(var_samp(x), 0) AS var_x,
    coalesce(var_samp(y), 0) AS var_y,
    coalesce(covar_samp(x, y), 0) AS cov_xy,
    coalesce(var_samp(x) FILTER (WHERE known <= $night_before), 0) AS old_var_x,
    coalesce(covar_samp(x, p) FILTER (WHERE known <= $night_before), 0) AS old_cov_xp,
    coalesce(covar_samp(x, y) FILTER (WHERE known <= $night_before), 0) AS old_cov_xy,
    coalesce(covar_samp(p, y) FILTER (WHERE known <= $night_before), 0) AS old_cov_py
FROM measured
WHERE known <= $night
GROUP BY scope, metric, is_holdout
ORDER BY scope, metric, is_holdout
