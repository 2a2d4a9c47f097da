-- What messages are credited with, by campaign. Grain: campaign. Reads effects_mart; empty until the night's mart is made.
SELECT
    campaign_id,
    sum(n_sent)::BIGINT AS n_sent,
    sum(n_opened)::BIGINT AS n_opened,
    sum(n_influenced)::BIGINT AS n_influenced,
    sum(n_conversions)::BIGINT AS n_conversions,
    sum(conversion_value) AS conversion_value,
    sum(n_unsubscribed)::BIGINT AS n_unsubscribed,
    sum(n_complained)::BIGINT AS n_complained
FROM effects_mart
WHERE side = 'treated'
GROUP BY campaign_id
ORDER BY campaign_id
