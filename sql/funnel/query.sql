-- From everyone considered to those who acted; a message to several devices is one. Grain: step.
-- Reads considered, dispatch_manifest, delivery_ledger, opened.
WITH steps AS (
    SELECT 1 AS step, 'considered' AS name, 'people x campaigns the plan looked at' AS meaning, count(*) AS n
    FROM considered
    UNION ALL
    SELECT 2, 'may be told', 'reachable, not suppressed, topic not refused', count(*) FILTER (WHERE was_eligible)
    FROM considered
    UNION ALL
    SELECT
        3, 'not held out', 'outside the global and the campaign''s holdout',
        count(*) FILTER (WHERE was_eligible AND outcome NOT IN ('holdout_global', 'holdout_campaign'))
    FROM considered
    UNION ALL
    SELECT 4, 'planned', 'messages the joint plan chose', count(*) FILTER (WHERE outcome = 'sent')
    FROM considered
    UNION ALL
    SELECT 5, 'in manifests', 'messages written to dispatch manifests', count(DISTINCT message_id)
    FROM dispatch_manifest
    UNION ALL
    SELECT 6, 'accepted', 'taken by the provider', count(DISTINCT message_id) FILTER (WHERE outcome = 'accepted')
    FROM delivery_ledger
    UNION ALL
    SELECT 7, 'opened', 'opened within 24 hours', count(*)
    FROM opened
)

SELECT
    step,
    name,
    meaning,
    n,
    100.0 * n / nullif(lag(n) OVER (ORDER BY step), 0) AS of_previous_pct
FROM steps
ORDER BY step
