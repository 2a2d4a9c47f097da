-- How the channels fared. Grain: channel x outcome x reason. Reads delivery_ledger.
SELECT
    channel,
    outcome,
    coalesce(reason, '') AS reason,
    count(*) AS n,
    100.0 * count(*) / sum(count(*)) OVER (PARTITION BY channel) AS of_channel_pct,
    avg(n_attempts) AS mean_attempts
FROM delivery_ledger
GROUP BY channel, outcome, reason
ORDER BY channel, n DESC, outcome, reason
