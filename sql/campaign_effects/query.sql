-- Effects of the night's messages, published as the dataset of the same name. Grain: campaign x arm x material x channel.
-- Reads considered, delivery_ledger, opened, push_receipts, user_events. Held-out people stand under arm `holdout` without material and channel.
WITH people AS (
    SELECT
        campaign_id,
        user_id,
        message_id,
        CASE WHEN outcome = 'sent' THEN coalesce(arm, 'treated') ELSE 'holdout' END AS arm,
        CASE WHEN outcome = 'sent' THEN material_id END AS material_id,
        CASE WHEN outcome = 'sent' THEN channel END AS channel
    FROM considered
    WHERE outcome IN ('sent', 'holdout_global', 'holdout_campaign')
),

delivered AS (
    SELECT message_id, bool_or(outcome = 'accepted') AS is_accepted
    FROM delivery_ledger
    GROUP BY message_id
),

refused AS (
    SELECT DISTINCT message_id
    FROM push_receipts
    WHERE kind = 'unsubscribed'
),

behaviour AS (
    SELECT
        user_id,
        bool_or(event_type = $conversion) AS has_converted,
        count(DISTINCT event_ts::DATE) AS n_active_days
    FROM user_events
    WHERE event_ts >= $plan_start AND event_ts < $window_end
    GROUP BY user_id
)

SELECT
    people.campaign_id,
    people.arm,
    people.material_id,
    people.channel,
    count(*) AS n_users,
    count(*) FILTER (WHERE delivered.is_accepted) AS n_sent,
    count(opened.message_id) AS n_opened,
    count(*) FILTER (WHERE behaviour.has_converted) AS n_converted,
    coalesce(sum(behaviour.n_active_days), 0)::BIGINT AS n_active_days,
    count(refused.message_id) AS n_unsubscribed
FROM people
LEFT JOIN delivered ON people.message_id = delivered.message_id
LEFT JOIN opened ON people.message_id = opened.message_id
LEFT JOIN refused ON people.message_id = refused.message_id
LEFT JOIN behaviour ON people.user_id = behaviour.user_id
GROUP BY people.campaign_id, people.arm, people.material_id, people.channel
ORDER BY people.campaign_id, people.arm, people.material_id, people.channel
