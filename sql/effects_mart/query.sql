-- Every figure of a night by every dimension, published as the dataset of the same name. Grain: campaign x audience x side x arm x material x
-- channel x vendor x country x tenure x hour. Reads considered, attribution_campaigns, attribution_touches, attribution_credits,
-- attribution_events, user_features. All figures are sums, so any dimension may be left out by adding up. Pairs that nobody could have been told
-- about (suppressed, opted out, unreachable) are left out. n_pairs_converted, pair_value: what people did from plan_start to window_end,
-- whoever is credited.
WITH sent AS (
    SELECT *
    FROM attribution_touches
    WHERE touch > $first_touch AND touch <= $last_touch
),

credited AS (
    SELECT
        touch,
        count(*) FILTER (WHERE role = 'open') > 0 AS is_influenced,
        count(*) FILTER (WHERE role = 'conversion') AS n_conversions,
        coalesce(sum(amount) FILTER (WHERE role = 'conversion'), 0) AS amount
    FROM attribution_credits
    WHERE touch > $first_touch AND touch <= $last_touch
    GROUP BY touch
),

behaviour AS (
    SELECT user_id, event_type, sum(amount) AS amount
    FROM attribution_events
    WHERE role = 'conversion' AND event_ts >= $plan_start AND event_ts < $window_end
    GROUP BY user_id, event_type
),

pairs AS (
    SELECT
        considered.campaign_id,
        windows.audience,
        CASE WHEN considered.outcome IN ('holdout_global', 'holdout_campaign') THEN considered.outcome ELSE 'treated' END AS side,
        considered.arm,
        CASE WHEN considered.outcome = 'sent' THEN considered.material_id END AS material_id,
        CASE WHEN considered.outcome = 'sent' THEN coalesce(sent.channel, considered.channel) END AS channel,
        features.device_vendor,
        features.country,
        CASE
            WHEN features.days_since_signup <= 28 THEN 'new'
            WHEN features.days_since_signup > 28 THEN 'known'
            ELSE 'unknown'
        END AS tenure,
        CASE WHEN considered.outcome = 'sent' THEN coalesce(date_trunc('hour', sent.sent_ts), considered.slot) END AS send_hour,
        considered.outcome = 'sent' AS is_planned,
        sent.touch IS NOT NULL AS is_sent,
        coalesce(sent.is_delivered, FALSE) AS is_delivered,
        coalesce(sent.is_displayed, FALSE) AS is_displayed,
        coalesce(sent.is_bounced, FALSE) AS is_bounced,
        sent.opened_ts IS NOT NULL AS is_opened,
        coalesce(credited.is_influenced, FALSE) AND sent.opened_ts IS NULL AS is_influenced,
        coalesce(credited.n_conversions, 0) AS n_conversions,
        coalesce(credited.amount, 0) AS amount,
        coalesce(sent.has_unsubscribed, FALSE) AS has_unsubscribed,
        coalesce(sent.has_complained, FALSE) AS has_complained,
        behaviour.user_id IS NOT NULL AS has_converted,
        coalesce(behaviour.amount, 0) AS pair_amount
    FROM considered
    LEFT JOIN attribution_campaigns AS windows ON considered.campaign_id = windows.campaign_id
    LEFT JOIN user_features AS features ON considered.user_id = features.user_id
    LEFT JOIN sent ON considered.message_id = sent.message_id
    LEFT JOIN credited ON sent.touch = credited.touch
    LEFT JOIN behaviour ON considered.user_id = behaviour.user_id AND windows.conversion = behaviour.event_type
    WHERE considered.was_eligible
)

SELECT
    $ds AS night,
    campaign_id,
    audience,
    side,
    arm,
    material_id,
    channel,
    device_vendor,
    country,
    tenure,
    send_hour,
    count(*) AS n_pairs,
    count(*) FILTER (WHERE is_planned) AS n_planned,
    count(*) FILTER (WHERE is_sent) AS n_sent,
    count(*) FILTER (WHERE is_delivered) AS n_delivered,
    count(*) FILTER (WHERE is_displayed) AS n_displayed,
    count(*) FILTER (WHERE is_bounced) AS n_bounced,
    count(*) FILTER (WHERE is_opened) AS n_opened,
    count(*) FILTER (WHERE is_influenced) AS n_influenced,
    sum(n_conversions)::BIGINT AS n_conversions,
    sum(amount)::DOUBLE AS conversion_value,
    count(*) FILTER (WHERE has_unsubscribed) AS n_unsubscribed,
    count(*) FILTER (WHERE has_complained) AS n_complained,
    count(*) FILTER (WHERE has_converted) AS n_pairs_converted,
    sum(pair_amount)::DOUBLE AS pair_value
FROM pairs
GROUP BY ALL
ORDER BY ALL
