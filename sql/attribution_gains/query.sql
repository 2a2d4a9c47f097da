-- What each message is credited with. Grain: message sent that is credited with anything. Reads attribution_credits.
-- In the order of the messages, so that a night reads its own part.
SELECT
    touch,
    count(*) FILTER (WHERE is_open) > 0 AS is_influenced,
    count(*) FILTER (WHERE NOT is_open) AS n_conversions,
    coalesce(sum(amount) FILTER (WHERE NOT is_open), 0) AS amount
FROM attribution_credits
GROUP BY touch
ORDER BY touch
