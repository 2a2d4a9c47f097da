-- Experiment read-outs. Grain: campaign x arm. Reads considered, campaigns, delivery_ledger, opened. Everyone of an arm who was not held out counts,
-- told or not; a message that several devices took is one. Interval of the open rate per person: Wilson 1927, z = 1.96.
WITH accepted AS (
    SELECT DISTINCT message_id
    FROM delivery_ledger
    WHERE outcome = 'accepted'
),

people AS (
    SELECT
        considered.campaign_id,
        campaigns.experiment,
        considered.arm,
        count(*) AS n_users,
        count(*) FILTER (WHERE considered.outcome = 'sent') AS n_planned,
        count(accepted.message_id) AS n_sent,
        count(opened.message_id) AS n_opened
    FROM considered
    INNER JOIN campaigns ON considered.campaign_id = campaigns.campaign_id AND campaigns.experiment IS NOT NULL
    LEFT JOIN accepted ON considered.message_id = accepted.message_id
    LEFT JOIN opened ON considered.message_id = opened.message_id
    WHERE considered.was_eligible AND considered.arm IS NOT NULL AND considered.outcome NOT IN ('holdout_global', 'holdout_campaign')
    GROUP BY considered.campaign_id, campaigns.experiment, considered.arm
)

SELECT
    campaign_id,
    experiment,
    arm,
    n_users,
    n_planned,
    n_sent,
    n_opened,
    n_opened / n_users AS open_rate,
    (n_opened + 1.9208) / (n_users + 3.8416)
    - 1.96 * sqrt(greatest(n_opened * (n_users - n_opened), 0) / n_users + 0.9604) / (n_users + 3.8416) AS low,
    (n_opened + 1.9208) / (n_users + 3.8416)
    + 1.96 * sqrt(greatest(n_opened * (n_users - n_opened), 0) / n_users + 0.9604) / (n_users + 3.8416) AS high
FROM people
ORDER BY campaign_id, arm
