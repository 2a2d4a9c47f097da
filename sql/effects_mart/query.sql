-- Every figure of a night by every dimension, published as the dataset of the same name. Grain: campaign x audience x side x arm x material x
-- channel x vendor x country x tenure x hour. Reads decisions, attribution_campaigns, attribution_touches, attribution_gains,
-- attribution_conversions, user_features. All figures are sums, so any dimension may be left out by adding up. Pairs that nobody could have
-- been told about (suppressed, opted out, unreachable) are left out. n_pairs_converted, pair_value: what people did from plan_start to
-- window_end, whoever is credited.
WITH behaviour AS (
    SELECT user_id, map(list(event_type), list(amount)) AS amounts
    FROM (
        SELECT user_id, event_type, sum(amount) AS amount
        FROM attribution_conversions
        WHERE event_ts >= $plan_start AND event_ts < $window_end
        GROUP BY user_id, event_type
    ) AS by_type
    GROUP BY user_id
),

features AS (
    SELECT
        ordinal,
        device_vendor,
        country,
        CASE
            WHEN days_since_signup <= 28 THEN 'new'
            WHEN days_since_signup > 28 THEN 'known'
            ELSE 'unknown'
        END AS tenure
    FROM user_features
),

kinds AS MATERIALIZED (
    -- Kinds of people by number: millions of pairs are counted by one number instead of three words.
    SELECT (row_number() OVER ())::INTEGER AS kind, device_vendor, country, tenure
    FROM (SELECT DISTINCT device_vendor, country, tenure FROM features) AS each_once
),

people AS (
    -- Joined by person before the choices are unfolded: a third of the rows.
    SELECT decisions.choices, kinds.kind, behaviour.amounts
    FROM decisions
    LEFT JOIN features ON decisions.ordinal = features.ordinal
    LEFT JOIN kinds
        ON
            features.device_vendor IS NOT DISTINCT FROM kinds.device_vendor
            AND features.country IS NOT DISTINCT FROM kinds.country
            AND features.tenure = kinds.tenure
    LEFT JOIN behaviour ON decisions.user_id = behaviour.user_id
),

unfolded AS (
    SELECT kind, amounts, unnest(choices) AS choice
    FROM people
),

pairs AS (
    SELECT
        unfolded.choice.campaign_id AS campaign_id,
        CASE unfolded.choice.outcome
            WHEN 'sent' THEN 0 WHEN 'holdout_global' THEN 1 WHEN 'holdout_campaign' THEN 2 ELSE 3
        END::UTINYINT AS side,
        unfolded.choice.arm AS arm,
        unfolded.kind,
        unfolded.amounts[windows.conversion] AS pair_amount,
        unfolded.choice.message_id AS message_id,
        unfolded.choice.material_id AS material_id,
        unfolded.choice.channel AS channel,
        unfolded.choice.slot AS slot
    FROM unfolded
    LEFT JOIN attribution_campaigns AS windows ON unfolded.choice.campaign_id = windows.campaign_id
    WHERE unfolded.choice.outcome NOT IN ('suppressed', 'opted_out', 'unreachable')
),

shown AS (
    -- What became of a message, joined once, so that a pair needs one look-up.
    SELECT
        touches.*,
        coalesce(gains.is_influenced, FALSE) AND touches.opened_ts IS NULL AS is_influenced,
        gains.n_conversions,
        gains.amount
    FROM attribution_touches AS touches
    LEFT JOIN attribution_gains AS gains ON touches.touch = gains.touch
    WHERE touches.touch > $first_touch AND touches.touch <= $last_touch
),

sent_cells AS (
    SELECT
        pairs.campaign_id,
        pairs.side,
        pairs.arm,
        pairs.kind,
        pairs.material_id,
        coalesce(shown.channel, pairs.channel) AS channel,
        coalesce(date_trunc('hour', shown.sent_ts), pairs.slot) AS send_hour,
        count(*) AS n_pairs,
        count(pairs.message_id) AS n_planned,
        count(shown.touch) AS n_sent,
        count(*) FILTER (WHERE shown.is_delivered) AS n_delivered,
        count(*) FILTER (WHERE shown.is_displayed) AS n_displayed,
        count(*) FILTER (WHERE shown.is_bounced) AS n_bounced,
        count(shown.opened_ts) AS n_opened,
        count(*) FILTER (WHERE shown.is_influenced) AS n_influenced,
        sum(shown.n_conversions) AS n_conversions,
        sum(shown.amount) AS conversion_value,
        count(*) FILTER (WHERE shown.has_unsubscribed) AS n_unsubscribed,
        count(*) FILTER (WHERE shown.has_complained) AS n_complained,
        count(pairs.pair_amount) AS n_pairs_converted,
        sum(pairs.pair_amount) AS pair_value
    FROM pairs
    LEFT JOIN shown ON pairs.message_id = shown.message_id
    WHERE pairs.side = 0
    GROUP BY ALL
),

other_cells AS (
    -- Nine pairs in ten: with neither message nor hour there is nothing to look up, and little to count by.
    SELECT
        campaign_id,
        side,
        arm,
        kind,
        count(*) AS n_pairs,
        count(pair_amount) AS n_pairs_converted,
        sum(pair_amount) AS pair_value
    FROM pairs
    WHERE side > 0
    GROUP BY ALL
),

cells AS (
    SELECT * FROM sent_cells
    UNION ALL BY NAME
    SELECT * FROM other_cells
)

SELECT
    $ds AS night,
    cells.campaign_id,
    windows.audience,
    CASE cells.side WHEN 1 THEN 'holdout_global' WHEN 2 THEN 'holdout_campaign' ELSE 'treated' END AS side,
    cells.arm,
    cells.material_id,
    cells.channel,
    kinds.device_vendor,
    kinds.country,
    coalesce(kinds.tenure, 'unknown') AS tenure,
    cells.send_hour,
    sum(cells.n_pairs)::BIGINT AS n_pairs,
    coalesce(sum(cells.n_planned), 0)::BIGINT AS n_planned,
    coalesce(sum(cells.n_sent), 0)::BIGINT AS n_sent,
    coalesce(sum(cells.n_delivered), 0)::BIGINT AS n_delivered,
    coalesce(sum(cells.n_displayed), 0)::BIGINT AS n_displayed,
    coalesce(sum(cells.n_bounced), 0)::BIGINT AS n_bounced,
    coalesce(sum(cells.n_opened), 0)::BIGINT AS n_opened,
    coalesce(sum(cells.n_influenced), 0)::BIGINT AS n_influenced,
    coalesce(sum(cells.n_conversions), 0)::BIGINT AS n_conversions,
    coalesce(sum(cells.conversion_value), 0)::DOUBLE AS conversion_value,
    coalesce(sum(cells.n_unsubscribed), 0)::BIGINT AS n_unsubscribed,
    coalesce(sum(cells.n_complained), 0)::BIGINT AS n_complained,
    sum(cells.n_pairs_converted)::BIGINT AS n_pairs_converted,
    coalesce(sum(cells.pair_value), 0)::DOUBLE AS pair_value
FROM cells
LEFT JOIN kinds ON cells.kind = kinds.kind
LEFT JOIN attribution_campaigns AS windows ON cells.campaign_id = windows.campaign_id
GROUP BY ALL
ORDER BY ALL
