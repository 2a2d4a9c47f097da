-- Every figure of a night by every dimension, published as the dataset of the same name. Grain: campaign x audience x side x arm x material x
-- channel x vendor x country x tenure x hour. Reads decisions, attribution_campaigns, attribution_touches, attribution_credits,
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
    SELECT user_id, map(list(event_type), list(amount)) AS amounts
    FROM (
        SELECT user_id, event_type, sum(amount) AS amount
        FROM attribution_events
        WHERE role = 'conversion' AND event_ts >= $plan_start AND event_ts < $window_end
        GROUP BY user_id, event_type
    ) AS by_type
    GROUP BY user_id
),

people AS (
    -- Joined by person before the choices are unfolded: a third of the rows.
    SELECT
        decisions.choices,
        features.device_vendor,
        features.country,
        CASE
            WHEN features.days_since_signup <= 28 THEN 'new'
            WHEN features.days_since_signup > 28 THEN 'known'
            ELSE 'unknown'
        END AS tenure,
        behaviour.amounts
    FROM decisions
    LEFT JOIN user_features AS features ON decisions.ordinal = features.ordinal
    LEFT JOIN behaviour ON decisions.user_id = behaviour.user_id
),

unfolded AS (
    SELECT device_vendor, country, tenure, amounts, unnest(choices) AS choice
    FROM people
),

chosen AS MATERIALIZED (
    SELECT
        unfolded.choice.campaign_id AS campaign_id,
        windows.audience,
        CASE WHEN unfolded.choice.outcome IN ('holdout_global', 'holdout_campaign') THEN unfolded.choice.outcome ELSE 'treated' END AS side,
        unfolded.choice.arm AS arm,
        unfolded.device_vendor,
        unfolded.country,
        unfolded.tenure,
        unfolded.amounts[windows.conversion] IS NOT NULL AS has_converted,
        coalesce(unfolded.amounts[windows.conversion], 0) AS pair_amount,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.message_id END AS message_id,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.material_id END AS material_id,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.channel END AS channel,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.slot END AS slot
    FROM unfolded
    LEFT JOIN attribution_campaigns AS windows ON unfolded.choice.campaign_id = windows.campaign_id
    WHERE unfolded.choice.outcome NOT IN ('suppressed', 'opted_out', 'unreachable')
),

-- Most pairs were not planned and have few dimensions, so they are added up by themselves.
not_planned AS (
    SELECT
        campaign_id, audience, side, arm, device_vendor, country, tenure,
        count(*) AS n_pairs,
        count(*) FILTER (WHERE has_converted) AS n_pairs_converted,
        sum(pair_amount) AS pair_amount
    FROM chosen
    WHERE message_id IS NULL
    GROUP BY campaign_id, audience, side, arm, device_vendor, country, tenure
),

planned AS (
    SELECT
        chosen.campaign_id,
        chosen.audience,
        chosen.side,
        chosen.arm,
        chosen.material_id,
        coalesce(sent.channel, chosen.channel) AS channel,
        chosen.device_vendor,
        chosen.country,
        chosen.tenure,
        coalesce(date_trunc('hour', sent.sent_ts), chosen.slot) AS send_hour,
        1 AS n_pairs,
        1 AS n_planned,
        (sent.touch IS NOT NULL)::INTEGER AS n_sent,
        coalesce(sent.is_delivered, FALSE)::INTEGER AS n_delivered,
        coalesce(sent.is_displayed, FALSE)::INTEGER AS n_displayed,
        coalesce(sent.is_bounced, FALSE)::INTEGER AS n_bounced,
        (sent.opened_ts IS NOT NULL)::INTEGER AS n_opened,
        (coalesce(credited.is_influenced, FALSE) AND sent.opened_ts IS NULL)::INTEGER AS n_influenced,
        coalesce(credited.n_conversions, 0) AS n_conversions,
        coalesce(credited.amount, 0) AS amount,
        coalesce(sent.has_unsubscribed, FALSE)::INTEGER AS n_unsubscribed,
        coalesce(sent.has_complained, FALSE)::INTEGER AS n_complained,
        chosen.has_converted::INTEGER AS n_pairs_converted,
        chosen.pair_amount
    FROM chosen
    LEFT JOIN sent ON chosen.message_id = sent.message_id
    LEFT JOIN credited ON sent.touch = credited.touch
    WHERE chosen.message_id IS NOT NULL
),

pairs AS (
    SELECT * FROM planned
    UNION ALL BY NAME
    SELECT * FROM not_planned
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
    sum(n_pairs)::BIGINT AS n_pairs,
    coalesce(sum(n_planned), 0)::BIGINT AS n_planned,
    coalesce(sum(n_sent), 0)::BIGINT AS n_sent,
    coalesce(sum(n_delivered), 0)::BIGINT AS n_delivered,
    coalesce(sum(n_displayed), 0)::BIGINT AS n_displayed,
    coalesce(sum(n_bounced), 0)::BIGINT AS n_bounced,
    coalesce(sum(n_opened), 0)::BIGINT AS n_opened,
    coalesce(sum(n_influenced), 0)::BIGINT AS n_influenced,
    coalesce(sum(n_conversions), 0)::BIGINT AS n_conversions,
    coalesce(sum(amount), 0)::DOUBLE AS conversion_value,
    coalesce(sum(n_unsubscribed), 0)::BIGINT AS n_unsubscribed,
    coalesce(sum(n_complained), 0)::BIGINT AS n_complained,
    coalesce(sum(n_pairs_converted), 0)::BIGINT AS n_pairs_converted,
    coalesce(sum(pair_amount), 0)::DOUBLE AS pair_value
FROM pairs
GROUP BY ALL
ORDER BY ALL
