-- How long after a message what a person does may be credited to it. Grain: campaign. Reads catalog_snapshot.
-- Without windows of its own a marketing campaign has 24 hours each, a transactional one none: it takes no credit from the others.
-- A template that clients send without a campaign is one by itself, named by its class.
WITH written AS (
    SELECT
        id AS campaign_id,
        body,
        coalesce(json_extract_string(body, '$.guarantee'), 'at_most_once') = 'at_most_once' AS is_marketing
    FROM catalog_snapshot
    WHERE kind = 'campaign'
),

direct AS (
    SELECT
        id AS template_id,
        coalesce(json_extract_string(body, '$.direct.guarantee'), 'at_most_once') = 'at_most_once' AS is_marketing
    FROM catalog_snapshot
    WHERE kind = 'template' AND json_extract_string(body, '$.direct.topic') IS NOT NULL
),

documents AS (
    SELECT campaign_id, body, is_marketing FROM written
    UNION ALL
    SELECT if(is_marketing, 'marketing__', 'transactional__') || template_id AS campaign_id, '{}' AS body, is_marketing FROM direct
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
