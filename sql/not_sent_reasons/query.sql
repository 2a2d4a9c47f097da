-- What became of every considered pair. Grain: campaign x outcome. Reads considered.
SELECT
    campaign_id,
    outcome,
    count(*) AS n
FROM considered
GROUP BY campaign_id, outcome
ORDER BY campaign_id, n DESC, outcome
