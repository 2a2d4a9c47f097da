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

chosen AS (
    SELECT
        unfolded.choice.campaign_id AS campaign_id,
        windows.audience,
        CASE WHEN unfolded.choice.outcome IN ('holdout_global', 'holdout_campaign') THEN unfolded.choice.outcome ELSE 'treated' END AS side,
        unfolded.choice.arm AS arm,
        unfolded.device_vendor,
        unfolded.country,
        unfolded.tenure,
        unfolded.amounts[windows.conversion] AS pair_amount,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.message_id END AS message_id,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.material_id END AS material_id,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.channel END AS channel,
        CASE WHEN unfolded.choice.outcome = 'sent' THEN unfolded.choice.slot END AS slot
    FROM unfolded
    LEFT JOIN attribution_campaigns AS windows ON unfolded.choice.campaign_id = windows.campaign_id
    WHERE unfolded.choice.outcome NOT IN ('suppressed', 'opted_out', 'unreachable')
),

shown AS (
    -- What became of a message, joined once, so that a pair needs one look-up.
    SELECT
        sent.*,
        coalesce(credited.is_influenced, FALSE) AND sent.opened_ts IS NULL AS is_influenced,
        credited.n_conversions,
        credited.amount
    FROM sent
    LEFT JOIN credited ON sent.touch = credited.touch
)

SELECT
    $ds AS night,
    chosen.campaign_id,
    chosen.audience,
    chosen.side,
    chosen.arm,
    chosen.material_id,
    coalesce(shown.channel, chosen.channel) AS channel,
    chosen.device_vendor,
    chosen.country,
    chosen.tenure,
    coalesce(date_trunc('hour', shown.sent_ts), chosen.slot) AS send_hour,
    count(*) AS n_pairs,
    count(chosen.message_id) AS n_planned,
    count(shown.touch) AS n_sent,
    count(*) FILTER (WHERE shown.is_delivered) AS n_delivered,
    count(*) FILTER (WHERE shown.is_displayed) AS n_displayed,
    count(*) FILTER (WHERE shown.is_bounced) AS n_bounced,
    count(shown.opened_ts) AS n_opened,
    count(*) FILTER (WHERE shown.is_influenced) AS n_influenced,
    coalesce(sum(shown.n_conversions), 0)::BIGINT AS n_conversions,
    coalesce(sum(shown.amount), 0)::DOUBLE AS conversion_value,
    count(*) FILTER (WHERE shown.has_unsubscribed) AS n_unsubscribed,
    count(*) FILTER (WHERE shown.has_complained) AS n_complained,
    count(chosen.pair_amount) AS n_pairs_converted,
    coalesce(sum(chosen.pair_amount), 0)::DOUBLE AS pair_value
FROM chosen
LEFT JOIN shown ON chosen.message_id = shown.message_id
GROUP BY ALL
ORDER BY ALL
