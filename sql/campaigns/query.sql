-- Campaigns of the night. Grain: campaign. Reads catalog_snapshot.
SELECT
    id AS campaign_id,
    json_extract_string(body, '$.name') AS name,
    json_extract_string(body, '$.audience') AS audience,
    json_extract_string(body, '$.experiment') AS experiment,
    coalesce(json_extract_string(body, '$.guarantee'), 'at_most_once') = 'at_most_once' AS is_marketing
FROM catalog_snapshot
WHERE kind = 'campaign'
ORDER BY campaign_id
