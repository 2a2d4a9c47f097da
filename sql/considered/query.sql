-- Every pair that the plan looked at. Grain: user x campaign. Reads decisions, campaigns.
-- was_eligible: what the person is, allows or can receive; decided before the holdouts are drawn, so both sides of a comparison have it.
WITH choices AS (
    SELECT
        user_id,
        unnest(choices) AS choice
    FROM decisions
)

SELECT
    choices.user_id,
    choices.choice.campaign_id AS campaign_id,
    choices.choice.message_id AS message_id,
    choices.choice.material_id AS material_id,
    choices.choice.channel AS channel,
    choices.choice.slot AS slot,
    choices.choice.outcome AS outcome,
    choices.choice.arm AS arm,
    choices.choice.is_explore AS is_explore,
    coalesce(campaigns.is_marketing, TRUE) AS is_marketing,
    choices.choice.outcome NOT IN ('suppressed', 'opted_out', 'unreachable') AS was_eligible
FROM choices
LEFT JOIN campaigns ON choices.choice.campaign_id = campaigns.campaign_id
