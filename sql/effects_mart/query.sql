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
    -- Of whom nothing is known is kind 0, with or without a row of features.
    SELECT
        device_vendor,
        country,
        tenure,
        ordinals,
        CASE
            WHEN device_vendor IS NULL AND country IS NULL AND tenure = 'unknown' THEN 0
            ELSE row_number() OVER ()
        END::INTEGER AS kind
    FROM (
        SELECT device_vendor, country, tenure, list(ordinal) AS ordinals
        FROM features
        GROUP BY device_vendor, country, tenure
    ) AS each_once
),

people AS (
    SELECT kind, unnest(ordinals) AS ordinal
    FROM kinds
),

windows AS (
    SELECT *, list_position($campaigns::VARCHAR[], campaign_id) - 1 AS campaign
    FROM attribution_campaigns
),

behaviour AS (
    SELECT user_id, map(list(event_type), list(amount)) AS amounts
    FROM (
        SELECT user_id, event_type, sum(amount) AS amount
        FROM attribution_conversions
        WHERE event_ts >= $plan_start AND event_ts < $window_end
        GROUP BY user_id, event_type
    ) AS by_type
    GROUP BY user_id
),

converted AS (
    -- One person in twenty, so that amounts are looked up for their pairs only.
    SELECT decisions.ordinal, behaviour.amounts
    FROM behaviour
    INNER JOIN decisions ON behaviour.user_id = decisions.user_id
),

told AS (
    SELECT pairs.others, pairs.sent, coalesce(people.kind, 0) AS kind, converted.amounts
    FROM decided_pairs AS pairs
    LEFT JOIN people ON pairs.ordinal = people.ordinal
    LEFT JOIN converted ON pairs.ordinal = converted.ordinal
),

shown AS (
    -- What became of a message, in few columns: they are copied once a message.
    SELECT
        touches.message_id,
        touches.channel,
        date_trunc('hour', touches.sent_ts) AS send_hour,
        touches.is_delivered::UTINYINT
        + touches.is_displayed::UTINYINT * 2
        + touches.is_bounced::UTINYINT * 4
        + (touches.opened_ts IS NOT NULL)::UTINYINT * 8
        + (coalesce(gains.is_influenced, FALSE) AND touches.opened_ts IS NULL)::UTINYINT * 16
        + touches.has_unsubscribed::UTINYINT * 32
        + touches.has_complained::UTINYINT * 64 AS flags,
        gains.n_conversions,
        gains.amount
    FROM attribution_touches AS touches
    LEFT JOIN attribution_gains AS gains ON touches.touch = gains.touch
    WHERE touches.touch > $first_touch AND touches.touch <= $last_touch
),

messages AS (
    SELECT planned.*, planned.message.message_id AS message_id
    FROM (
        SELECT kind, amounts, unnest(sent) AS message
        FROM told
        WHERE len(sent) > 0
    ) AS planned
),

sent_pairs AS (
    SELECT
        messages.message.pair AS pair,
        messages.kind,
        messages.message.material AS material,
        coalesce(shown.channel, ($channels::VARCHAR[])[messages.message.channel + 1]) AS channel,
        coalesce(shown.send_hour, messages.message.slot) AS send_hour,
        shown.flags,
        shown.n_conversions,
        shown.amount,
        messages.amounts[windows.conversion] AS pair_amount
    FROM messages
    LEFT JOIN shown ON messages.message_id = shown.message_id
    LEFT JOIN windows ON messages.message.pair // (4 * len($arms::VARCHAR[]) + 4) = windows.campaign
),

sent_cells AS (
    SELECT
        pair,
        kind,
        material,
        channel,
        send_hour,
        count(*) AS n_pairs,
        count(*) AS n_planned,
        count(flags) AS n_sent,
        count(*) FILTER (WHERE flags & 1 > 0) AS n_delivered,
        count(*) FILTER (WHERE flags & 2 > 0) AS n_displayed,
        count(*) FILTER (WHERE flags & 4 > 0) AS n_bounced,
        count(*) FILTER (WHERE flags & 8 > 0) AS n_opened,
        count(*) FILTER (WHERE flags & 16 > 0) AS n_influenced,
        sum(n_conversions) AS n_conversions,
        sum(amount) AS conversion_value,
        count(*) FILTER (WHERE flags & 32 > 0) AS n_unsubscribed,
        count(*) FILTER (WHERE flags & 64 > 0) AS n_complained,
        count(pair_amount) AS n_pairs_converted,
        sum(pair_amount) AS pair_value
    FROM sent_pairs
    GROUP BY ALL
),

other_pairs AS (
    -- Nine pairs in ten: with neither message nor hour there is nothing to look up, and little to count by.
    SELECT pair, kind, count(*) AS n_pairs
    FROM (SELECT unnest(others) AS pair, kind FROM told) AS unfolded
    GROUP BY ALL
),

other_gains AS (
    -- One person in twenty: only for their pairs amounts are looked up.
    SELECT unfolded.pair, unfolded.kind, count(*) AS n_pairs_converted, sum(unfolded.amounts[windows.conversion]) AS pair_value
    FROM (SELECT unnest(others) AS pair, kind, amounts FROM told WHERE amounts IS NOT NULL) AS unfolded
    INNER JOIN windows ON unfolded.pair // (4 * len($arms::VARCHAR[]) + 4) = windows.campaign
    WHERE unfolded.amounts[windows.conversion] IS NOT NULL
    GROUP BY ALL
),

cells AS (
    SELECT * FROM sent_cells
    UNION ALL BY NAME
    SELECT other_pairs.*, other_gains.n_pairs_converted, other_gains.pair_value
    FROM other_pairs
    LEFT JOIN other_gains ON other_pairs.pair = other_gains.pair AND other_pairs.kind = other_gains.kind
),

worded AS (
    SELECT
        *,
        pair % (len($arms::VARCHAR[]) + 1) AS arm,
        pair // (len($arms::VARCHAR[]) + 1) % 4 AS side,
        pair // (4 * len($arms::VARCHAR[]) + 4) AS campaign
    FROM cells
)

SELECT
    $ds AS night,
    ($campaigns::VARCHAR[])[cells.campaign + 1] AS campaign_id,
    windows.audience,
    CASE cells.side WHEN 1 THEN 'holdout_global' WHEN 2 THEN 'holdout_campaign' ELSE 'treated' END AS side,
    ($arms::VARCHAR[])[cells.arm] AS arm,
    ($materials::VARCHAR[])[cells.material + 1] AS material_id,
    cells.channel,
    kinds.device_vendor,
    kinds.country,
    coalesce(kinds.tenure, 'unknown') AS tenure,
    cells.send_hour,
    cells.n_pairs,
    coalesce(cells.n_planned, 0)::BIGINT AS n_planned,
    coalesce(cells.n_sent, 0)::BIGINT AS n_sent,
    coalesce(cells.n_delivered, 0)::BIGINT AS n_delivered,
    coalesce(cells.n_displayed, 0)::BIGINT AS n_displayed,
    coalesce(cells.n_bounced, 0)::BIGINT AS n_bounced,
    coalesce(cells.n_opened, 0)::BIGINT AS n_opened,
    coalesce(cells.n_influenced, 0)::BIGINT AS n_influenced,
    coalesce(cells.n_conversions, 0)::BIGINT AS n_conversions,
    coalesce(cells.conversion_value, 0)::DOUBLE AS conversion_value,
    coalesce(cells.n_unsubscribed, 0)::BIGINT AS n_unsubscribed,
    coalesce(cells.n_complained, 0)::BIGINT AS n_complained,
    coalesce(cells.n_pairs_converted, 0)::BIGINT AS n_pairs_converted,
    coalesce(cells.pair_value, 0)::DOUBLE AS pair_value
FROM worded AS cells
LEFT JOIN kinds ON cells.kind = kinds.kind
LEFT JOIN windows ON cells.campaign = windows.campaign
ORDER BY ALL
