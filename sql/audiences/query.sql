-- Audiences and how many people they hold. Grain: audience. Reads audience_members, catalog_snapshot, considered.
WITH sizes AS (
    SELECT audience, sum(cardinality)::BIGINT AS n_users
    FROM audience_members
    GROUP BY audience
),

documents AS (
    SELECT
        id AS audience,
        json_extract_string(body, '$.description') AS description,
        json_extract_string(body, '$.predicate') AS predicate
    FROM catalog_snapshot
    WHERE kind = 'audience'
),

users AS (
    SELECT count(*) AS n FROM user_index
)

SELECT
    sizes.audience,
    sizes.n_users,
    documents.description,
    documents.predicate,
    100.0 * sizes.n_users / nullif(users.n, 0) AS of_users_pct
FROM sizes
CROSS JOIN users
LEFT JOIN documents ON sizes.audience = documents.audience
ORDER BY sizes.n_users DESC, sizes.audience
