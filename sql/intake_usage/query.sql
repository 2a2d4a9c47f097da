-- What clients asked for in the plan's 24 hours, published as the dataset of that name. Reads intake_messages, intake_steps, dispatch_intake.
-- Grain: client x campaign x template x channel x class x priority. Template and channel are null for what was not handed to the worker,
-- but for a message that names a template in place of a campaign.
WITH steps AS (
    SELECT
        intake_id,
        arg_max(channel, at_ts) FILTER (WHERE step IN ('queued', 'sent', 'ambiguous', 'failed')) AS channel,
        min(at_ts) FILTER (WHERE step = 'queued') AS queued_ts,
        bool_or(step = 'delivered') AS is_delivered,
        bool_or(step = 'opened') AS is_opened
    FROM intake_steps
    GROUP BY intake_id
),

handed AS (
    SELECT message_id, min(template_id) AS template_id
    FROM dispatch_intake
    GROUP BY message_id
)

SELECT
    messages.client,
    messages.campaign_id,
    coalesce(handed.template_id, nullif(regexp_extract(messages.campaign_id, '^(transactional|marketing)__(.+)$', 2), '')) AS template_id,
    steps.channel,
    messages.class,
    messages.priority,
    count(*) AS n_messages,
    coalesce(sum(messages.n_variable_bytes), 0)::BIGINT AS n_variable_bytes,
    count(*) FILTER (WHERE messages.status IN ('accepted', 'claimed', 'queued')) AS n_waiting,
    count(*) FILTER (WHERE messages.status IN ('sent', 'delivered', 'opened', 'ambiguous')) AS n_sent,
    count(*) FILTER (WHERE messages.status IN ('failed', 'refused')) AS n_not_sent,
    count(*) FILTER (WHERE messages.status IN ('cancelled', 'expired')) AS n_withdrawn,
    count(*) FILTER (WHERE steps.is_delivered) AS n_delivered,
    count(*) FILTER (WHERE steps.is_opened) AS n_opened,
    count(steps.queued_ts) AS n_queued,
    coalesce(sum(greatest(epoch_ms(steps.queued_ts) - epoch_ms(messages.send_ts), 0)), 0)::BIGINT AS queued_after_ms
FROM intake_messages AS messages
LEFT JOIN steps ON messages.intake_id = steps.intake_id
LEFT JOIN handed ON messages.message_id = handed.message_id
WHERE messages.accepted_ts >= $plan_start AND messages.accepted_ts < $plan_end
GROUP BY ALL
ORDER BY n_messages DESC, messages.client, messages.campaign_id, template_id, steps.channel, messages.class, messages.priority
