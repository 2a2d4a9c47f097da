-- How long after a message what a person does may be credited to it. Grain: campaign. Reads catalog_snapshot.
-- Without windows of its own a marketing campaign has 24 hours each, a transactional one none: it takes no credit from the others.
WITH documents AS (
    SELECT
        id AS campaign_id,
        body,
        coalesce(json_extract_string(body, '$.guarantee'), 'at_most_once') = 'at_most_once' AS is_marketing
    FROM catalog_snapshot
    WHERE kind = 'campaign'
)

SELECT
    campaign_id,
    json_extract_string(body, '$.audience') AS audience,
    is_marketing,
    coalesce(json_extract_string(body, '$.attribution.since'), 'delivered') AS since,
    coalesce(json_extract_string(body, '$.attribution.open_hours')::INTEGER, if(is_marketing, 24, 0)) AS open_hours,
    coalesce(json_extract_string(body, '$.attribution.conversion_hours')::INTEGER, if(is_marketing, 24, 0)) AS conversion_hours,
    coalesce(json_extract_string(body, '$.attribution.conversion'), $conversion) AS conversion
FROM documents
ORDER BY campaign_id
