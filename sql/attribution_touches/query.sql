-- What reached a person, and how far it got. Grain: message sent. Reads attribution_campaigns, delivery_ledger, push_receipts.
-- touch_ts: when its windows begin, by the campaign: its delivery report (without any: the send), or its display (without any: null, no credit).
-- What reaches somebody more than five days after the planned day is too late for credit: so a night knows which others compete with it.
-- opened_ts: first open by a person within 24 hours of the send, as in the report; a tap is a touch, too. A bounce is no delivery.
WITH sent AS (
    -- A message that fell over to another channel stands in the ledger twice; the last one that may have arrived counts.
    SELECT
        message_id,
        user_id,
        arg_max(campaign_id, (sent_ts, dispatch_id)) AS campaign_id,
        arg_max(channel, (sent_ts, dispatch_id)) AS channel,
        max(sent_ts) AS sent_ts
    FROM delivery_ledger
    WHERE outcome IN ('accepted', 'ambiguous')
    GROUP BY message_id, user_id
),

numbered AS (
    -- Before the joins, so that few columns are sorted.
    SELECT *, $first_touch + row_number() OVER (ORDER BY message_id) AS touch
    FROM sent
),

answers AS (
    SELECT
        message_id,
        min(receipt_ts) FILTER (WHERE kind = 'delivered') AS delivered_ts,
        min(receipt_ts) FILTER (WHERE kind = 'displayed') AS displayed_ts,
        min(receipt_ts) FILTER (
            WHERE kind = 'opened' AND reason IS DISTINCT FROM 'machine' AND receipt_ts < sent_ts + INTERVAL 24 HOUR
        ) AS opened_ts,
        bool_or(kind = 'bounced') AS is_bounced,
        bool_or(kind = 'unsubscribed') AS has_unsubscribed,
        bool_or(kind = 'unsubscribed' AND reason IS NOT DISTINCT FROM 'complaint') AS has_complained
    FROM push_receipts
    WHERE kind IN ('delivered', 'displayed', 'opened', 'bounced', 'unsubscribed')
    GROUP BY message_id
)

SELECT
    sent.touch,
    sent.message_id,
    sent.user_id,
    sent.channel,
    sent.sent_ts,
    CASE
        WHEN windows.since = 'displayed' THEN answers.displayed_ts
        WHEN NOT coalesce(answers.is_bounced, FALSE) THEN coalesce(answers.delivered_ts, sent.sent_ts)
    END AS touch_ts,
    answers.opened_ts,
    $plan_end::TIMESTAMPTZ + INTERVAL 120 HOUR AS touches_until,
    answers.delivered_ts IS NOT NULL AS is_delivered,
    answers.displayed_ts IS NOT NULL AS is_displayed,
    coalesce(answers.is_bounced, FALSE) AS is_bounced,
    coalesce(answers.has_unsubscribed, FALSE) AS has_unsubscribed,
    coalesce(answers.has_complained, FALSE) AS has_complained,
    coalesce(windows.open_hours, 0) AS open_hours,
    coalesce(windows.conversion_hours, 0) AS conversion_hours,
    coalesce(windows.conversion, $conversion) AS conversion
FROM numbered AS sent
LEFT JOIN attribution_campaigns AS windows ON sent.campaign_id = windows.campaign_id
LEFT JOIN answers ON sent.message_id = answers.message_id
