-- Every figure of a night by every dimension, published as the dataset of the same name. Grain: campaign x audience x side x arm x material x
-- channel x vendor x country x tenure x hour. Reads decided_pairs, decisions, attribution_campaigns, attribution_touches, attribution_gains,
-- attribution_conversions, user_features. All figures are sums, so any dimension may be left out by adding up. Pairs that nobody could have
-- been told about (suppressed, opted out, unreachable) are left out. n_pairs_converted, pair_value: what people did from plan_start to
-- window_end, whoever is credited. Words stay numbers until the cells are counted: campaigns, arms, materials, channels are lists of words.
WITH features AS (
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

people AS MATERIALIZED (
    SELECT features.ordinal, kinds.kind
    FROM features
    INNER JOIN kinds
        ON
            features.device_vendor IS NOT DISTINCT FROM kinds.device_vendor
            AND features.country IS NOT DISTINCT FROM kinds.country
            AND features.tenure = kinds.tenure
),

windows AS (
    SELECT *, (list_position($campaigns::VARCHAR[], campaign_id) - 1)::INTEGER AS campaign
    FROM attribution_campaigns
),

behaviour AS MATERIALIZED (
    -- One person in twenty, so that only their pairs are looked at for amounts.
    SELECT decisions.ordinal, any_value(people.kind) AS kind, happened.event_type, sum(happened.amount) AS amount
    FROM attribution_conversions AS happened
    INNER JOIN decisions ON happened.user_id = decisions.user_id
    LEFT JOIN people ON decisions.ordinal = people.ordinal
    WHERE happened.event_ts >= $plan_start AND happened.event_ts < $window_end
    GROUP BY decisions.ordinal, happened.event_type
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
        pairs.campaign,
        pairs.side,
        pairs.arm,
        people.kind,
        pairs.material,
        coalesce(shown.channel, ($channels::VARCHAR[])[pairs.channel + 1]) AS channel,
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
        count(behaviour.amount) AS n_pairs_converted,
        sum(behaviour.amount) AS pair_value
    FROM decided_pairs AS pairs
    LEFT JOIN people ON pairs.ordinal = people.ordinal
    LEFT JOIN windows ON pairs.campaign = windows.campaign
    LEFT JOIN behaviour ON pairs.ordinal = behaviour.ordinal AND windows.conversion = behaviour.event_type
    LEFT JOIN shown ON pairs.message_id = shown.message_id
    WHERE pairs.side = 0
    GROUP BY ALL
),

other_cells AS (
    -- Nine pairs in ten: with neither message nor hour there is nothing to look up, and little to count by.
    SELECT
        pairs.campaign,
        pairs.side,
        pairs.arm,
        people.kind,
        count(*) AS n_pairs
    FROM decided_pairs AS pairs
    LEFT JOIN people ON pairs.ordinal = people.ordinal
    WHERE pairs.side > 0
    GROUP BY ALL
),

other_gains AS (
    SELECT
        pairs.campaign,
        pairs.side,
        pairs.arm,
        behaviour.kind,
        count(*) AS n_pairs_converted,
        sum(behaviour.amount) AS pair_value
    FROM decided_pairs AS pairs
    INNER JOIN windows ON pairs.campaign = windows.campaign
    INNER JOIN behaviour ON pairs.ordinal = behaviour.ordinal AND windows.conversion = behaviour.event_type
    WHERE pairs.side > 0
    GROUP BY ALL
),

cells AS (
    SELECT * FROM sent_cells
    UNION ALL BY NAME
    SELECT * FROM other_cells
    UNION ALL BY NAME
    SELECT * FROM other_gains
)

SELECT
    $ds AS night,
    ($campaigns::VARCHAR[])[cells.campaign + 1] AS campaign_id,
    windows.audience,
    CASE cells.side WHEN 1 THEN 'holdout_global' WHEN 2 THEN 'holdout_campaign' ELSE 'treated' END AS side,
    ($arms::VARCHAR[])[cells.arm + 1] AS arm,
    ($materials::VARCHAR[])[cells.material + 1] AS material_id,
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
    coalesce(sum(cells.n_pairs_converted), 0)::BIGINT AS n_pairs_converted,
    coalesce(sum(cells.pair_value), 0)::DOUBLE AS pair_value
FROM cells
LEFT JOIN kinds ON cells.kind = kinds.kind
LEFT JOIN windows ON cells.campaign = windows.campaign
GROUP BY ALL
ORDER BY ALL
